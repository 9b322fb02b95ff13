-- Raises a channel's position in one partition, if this is the server process that the runner opened, and the
-- partition still knows the position the runner believes it does: a server that restarted may have lost commits
-- below that position, and one that was emptied has lost all of them.
--
-- KEYS[1]  the partition's prefix
-- ARGV     run id, field, position, the position held ('' for none)
-- Reply    {'OK'}, {'TAIL', run id}, or {'LOST', position found ('' for none)}

local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or 'unknown'
if run_id ~= ARGV[1] then return { 'TAIL', run_id } end

-- Compared as decimal texts: exact beyond 2^53. No text is below any number.
local function below(a, b) return #a < #b or (#a == #b and a < b) end

local key, field, new = KEYS[1] .. ':m', ARGV[2], ARGV[3]
local found = redis.call('HGET', key, field) or ''
if below(found, ARGV[4]) then return { 'LOST', found } end
if below(found, new) then redis.call('HSET', key, field, new) end
return { 'OK' }
