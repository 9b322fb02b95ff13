-- Notes that a runner is about to run an event alone.
--
-- KEYS[1]  the partition's prefix
-- ARGV     event mark, runner
-- Reply    the number of distinct runners that noted it

local key, event, runner = KEYS[1] .. ':s', ARGV[1], ARGV[2]
local runners = redis.call('HGET', key, event) or ''
for i = 1, #runners, 16 do
  if string.sub(runners, i, i + 15) == runner then return #runners / 16 end
end
redis.call('HSET', key, event, runners .. runner)
return #runners / 16 + 1
