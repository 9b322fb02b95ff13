-- The lease of a pipeline, by the server's clock.
--
-- KEYS[1]  the pipeline's prefix {sluice:<pipeline>}
-- ARGV     runner; for how many ms ('0': give it back)
-- Reply    {who holds it, for how many ms from now}

local LEASE, call = KEYS[1] .. ':lease', redis.call
local holder = call('GET', LEASE)
if holder and holder ~= ARGV[1] then
  local left = call('PTTL', LEASE)
  -- One without an end was never ours to give.
  if left >= 0 then return { holder, left } end
  holder = false
end
if ARGV[2] == '0' then
  if holder then call('UNLINK', LEASE) end
elseif holder then
  -- A full server still takes this, and goes on being held by whoever runs.
  call('PEXPIRE', LEASE, ARGV[2])
else
  call('SET', LEASE, ARGV[1], 'PX', ARGV[2])
end
return { ARGV[1], tonumber(ARGV[2]) }
