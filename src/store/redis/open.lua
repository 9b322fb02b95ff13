-- Checks that the store is this pipeline's and in a format we know, and notes the runner.
--
-- KEYS[1]  the pipeline's prefix {sluice:<pipeline>}
-- ARGV     runner, the runner this handle was before ('' for none), now ms, commands we need (comma separated),
--          then name, value, … of what the store is made with
-- Reply    {'DENIED', command}, {'DIFFERS', name, value held}, or {'OK', 1 when fresh, other runners}

local P, call = KEYS[1], redis.call
local META, RUNNERS = P .. ':meta', P .. ':runners'

-- A command that may not be used would end a commit half way: find out now.
if redis.acl_check_cmd then
  for command in string.gmatch(ARGV[4], '[^,]+') do
    for _, key in ipairs({ P .. ':meta', string.sub(P, 1, -2) .. ':0}:k' }) do
      if not redis.acl_check_cmd(command, key) then return { 'DENIED', command } end
    end
  end
end

local made = {}
for i = 5, #ARGV do made[#made + 1] = ARGV[i] end
local fresh = call('EXISTS', META) == 0
for i = 1, #made, 2 do
  local held = not fresh and (call('HGET', META, made[i]) or '')
  if held and held ~= made[i + 1] then return { 'DIFFERS', made[i], held } end
end
call('HLEN', RUNNERS)

call('HSET', RUNNERS, ARGV[1], ARGV[3])
if fresh then call('HSET', META, unpack(made)) end
if ARGV[2] ~= '' and ARGV[2] ~= ARGV[1] then call('HDEL', RUNNERS, ARGV[2]) end
local others = {}
for _, runner in ipairs(call('HKEYS', RUNNERS)) do
  if runner ~= ARGV[1] then others[#others + 1] = runner end
end
return { 'OK', fresh and 1 or 0, others }
