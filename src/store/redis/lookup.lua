-- Reads marks, keys and dead letters of one partition: one consistent snapshot.
--
-- KEYS[1]  the partition's prefix
-- ARGV     n, n marks, n, n times (key, parked events to read), n, n dead letters
-- Reply    {marks, keys, dead}: a mark is nil, 'p' .. content or status .. content; a key is {nonce .. record or
--          nil, {mark, entry, …}}; a dead letter is nil or {'<generation>:<o|c>', body}

local T, call = KEYS[1], redis.call
local byte = string.byte
-- A key's line is read up to the entry that goes over this.
local LINE_BYTES = 1048576
local ARGUMENTS_AT_ONCE = 1000

local at = 0
local function take()
  at = at + 1
  return ARGV[at]
end

local marks, keys, dead = {}, {}, {}

local parked = call('HLEN', T .. ':p')
local n = tonumber(take())
if n > 0 then
  local generations = {}
  for id, shards in string.gmatch(call('HGET', T .. ':m', 'generations') or '', '(%d+):%-?%d+:(%d+);') do
    generations[#generations + 1] = { prefix = T .. ':d:' .. id .. ':', shards = tonumber(shards) }
  end
  for i = 1, n do
    local id = take()
    -- Parked first: an event that died, was replayed and waits again is waiting.
    local entry = parked > 0 and call('HGET', T .. ':p', id)
    local mark = entry and 'p' .. string.sub(entry, 9, 16)
    if not mark then
      local a, b, c = byte(id, 1, 3)
      local slot = a * 65536 + b * 256 + c
      for g = 1, #generations do
        local generation = generations[g]
        mark = call('HGET', generation.prefix .. string.format('%.0f', slot % generation.shards), id)
        if mark then break end
      end
    end
    marks[i] = mark or false
  end
end

-- All records in a few calls: a call costs more than what it does. (A foreign type reads as no record here; the
-- commit that follows finds it out.)
local names, lines = {}, {}
for i = 1, tonumber(take()) do
  local key, limit = take(), tonumber(take())
  names[i] = T .. ':k:' .. key
  local line, bytes = {}, 0
  if limit > 0 and parked > 0 then
    for _, mark in ipairs(call('ZRANGE', T .. ':q:' .. key, 0, limit - 1)) do
      local entry = call('HGET', T .. ':p', mark)
      if not entry then
        return redis.error_reply('SLUICE the line ' .. T .. ':q:' .. key .. ' names an event that is not parked')
      end
      line[#line + 1] = mark
      line[#line + 1] = entry
      bytes = bytes + #entry
      if bytes > LINE_BYTES then break end
    end
  end
  lines[i] = line
end
for from = 1, #names, ARGUMENTS_AT_ONCE do
  local records = call('MGET', unpack(names, from, math.min(from + ARGUMENTS_AT_ONCE - 1, #names)))
  for i = 1, #records do keys[from + i - 1] = { records[i], lines[from + i - 1] } end
end

for i = 1, tonumber(take()) do
  local id = take()
  local state = call('HGET', T .. ':ls', id)
  dead[i] = state and { state, call('HGET', T .. ':l', id) or '' } or false
end

return { marks, keys, dead }
