-- The dead letters of one partition, one consistent snapshot.
--
-- KEYS[1]  the partition's prefix
-- ARGV     'open' or 'all'
-- Reply    {id, '<generation>:<o|c>', body, …}

local T, call = KEYS[1], redis.call
local ids = ARGV[1] == 'open' and call('SMEMBERS', T .. ':lo') or call('HKEYS', T .. ':ls')
local reply = {}
for _, id in ipairs(ids) do
  reply[#reply + 1] = id
  reply[#reply + 1] = call('HGET', T .. ':ls', id) or ''
  reply[#reply + 1] = call('HGET', T .. ':l', id) or ''
end
return reply
