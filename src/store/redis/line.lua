-- Reads a page of a key's line.
--
-- KEYS[1]  the partition's prefix
-- ARGV     key, the place behind which to begin ('' from the head), most entries
-- Reply    {mark, entry, …}

local T, call = KEYS[1], redis.call
-- A page ends with the entry that goes over this.
local PAGE_BYTES = 1048576

local name = T .. ':q:' .. ARGV[1]
local from = ARGV[2] == '' and '-inf' or '(' .. ARGV[2]
local line, bytes = {}, 0
for _, mark in ipairs(call('ZRANGE', name, from, '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[3])) do
  local entry = call('HGET', T .. ':p', mark)
  if not entry then return redis.error_reply('SLUICE the line ' .. name .. ' names an event that is not parked') end
  line[#line + 1] = mark
  line[#line + 1] = entry
  bytes = bytes + #entry
  if bytes > PAGE_BYTES then break end
end
return line
