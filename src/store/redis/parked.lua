-- Finds a parked event and its place.
--
-- KEYS[1]  the partition's prefix
-- ARGV     mark
-- Reply    nil, or {entry, places of its key's line before its own}

local T, byte, sub = KEYS[1], string.byte, string.sub
local entry = redis.call('HGET', T .. ':p', ARGV[1])
if not entry then return false end
local at = byte(entry, 9) == 1 and 60 or 35
local high, low = byte(entry, at, at + 1)
-- What is too short for a key is for the reader to refuse.
if not low then return { entry, false } end
local key = sub(entry, at + 2, at + 1 + high * 256 + low)
return { entry, redis.call('ZRANK', T .. ':q:' .. key, sub(entry, 10, 34) .. ARGV[1]) }
