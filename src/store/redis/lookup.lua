-- Reads marks, keys and dead letters of one partition: one consistent snapshot.
--
-- KEYS[1]  the partition's prefix
-- ARGV     n, n marks, n, n times (key, n, n parts of its line: first place, last place, most events), n, n dead letters
-- Reply    {marks, keys, dead, parked bytes}: a mark is nil, 'p' .. content or status .. content; a key is {nonce ..
--          record or nil, {{mark, entry, …} a part}}; a dead letter is nil or {'<generation>:<o|c>', body}

local T, call = KEYS[1], redis.call
local byte = string.byte
local PARKED = T .. ':p'
-- A part of a line is read up to the entry that goes over this.
local LINE_BYTES = 1048576
local LAST_MARK = string.rep('\255', 16)
local ARGUMENTS_AT_ONCE = 1000

local at = 0
local function take()
  at = at + 1
  return ARGV[at]
end

local marks, keys, dead = {}, {}, {}

local parked, parked_bytes = call('HLEN', PARKED), '0'
local n = tonumber(take())
local meta = {}
if n > 0 or parked > 0 then meta = call('HMGET', T .. ':m', 'generations', 'parked_bytes') end
if parked > 0 then parked_bytes = meta[2] or '0' end
if n > 0 then
  local generations = {}
  for id, shards in string.gmatch(meta[1] or '', '(%d+):%-?%d+:(%d+);') do
    generations[#generations + 1] = { prefix = T .. ':d:' .. id .. ':', shards = tonumber(shards) }
  end
  for i = 1, n do
    local id = take()
    -- Parked first: an event that died, was replayed and waits again is waiting.
    local entry = parked > 0 and call('HGET', PARKED, id)
    local mark = entry and 'p' .. string.sub(entry, 1, 8)
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

local garbled
local function part(line, from, to, most)
  local events, bytes = {}, 0
  if parked == 0 then return events end
  for _, member in ipairs(call('ZRANGE', line, '[' .. from, '[' .. to .. LAST_MARK, 'BYLEX', 'LIMIT', 0, most)) do
    local mark = string.sub(member, 26)
    local entry = call('HGET', PARKED, mark)
    if not entry then
      garbled = line
      break
    end
    events[#events + 1] = mark
    events[#events + 1] = entry
    bytes = bytes + #entry
    if bytes > LINE_BYTES then break end
  end
  return events
end

-- All records in a few calls: a call costs more than what it does. (A foreign type reads as no record here; the
-- commit that follows finds it out.)
local names, lines = {}, {}
for i = 1, tonumber(take()) do
  local key, parts = take(), {}
  names[i] = T .. ':k:' .. key
  for p = 1, tonumber(take()) do
    local from, to = take(), take()
    parts[p] = part(T .. ':q:' .. key, from, to, take())
  end
  lines[i] = parts
end
if garbled then return redis.error_reply('SLUICE the line ' .. garbled .. ' names an event that is not parked') end
for from = 1, #names, ARGUMENTS_AT_ONCE do
  local records = call('MGET', unpack(names, from, math.min(from + ARGUMENTS_AT_ONCE - 1, #names)))
  for i = 1, #records do keys[from + i - 1] = { records[i], lines[from + i - 1] } end
end

for i = 1, tonumber(take()) do
  local id = take()
  local state = call('HGET', T .. ':ls', id)
  dead[i] = state and { state, call('HGET', T .. ':l', id) or '' } or false
end

return { marks, keys, dead, parked_bytes }
