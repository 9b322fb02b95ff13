-- Raises a channel's position in one partition, if this is the server process that the runner opened: one that
-- restarted may have lost commits below that position.
--
-- KEYS[1]  the partition's prefix
-- ARGV     run id, field, position
-- Reply    {'OK'} or {'TAIL', run id}

local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or 'unknown'
if run_id ~= ARGV[1] then return { 'TAIL', run_id } end

local key, field, new = KEYS[1] .. ':m', ARGV[2], ARGV[3]
local held = redis.call('HGET', key, field)
-- Compared as decimal texts: exact beyond 2^53.
if not held or #held < #new or (#held == #new and held < new) then
  redis.call('HSET', key, field, new)
end
return { 'OK' }
