-- One commit to one partition: all of it, or nothing when anything moved since it was read.
--
-- It writes what `sluice` writes: records with fresh nonces, marks, outbox entries under rising numbers, the entries
-- that are confirmed away, and the commit's number. Seven calls however many events, and no text is made here: what a
-- call costs, and what Lua makes, is what a commit costs Redis.
--
-- KEYS[1]  the partition's prefix
-- ARGV     writer, commits of it so far, outbox number so far, both of them afterwards, hash of marks, ms it lives;
--          n, n cleared outbox numbers; n, the nonces that were read in one, n names and records; n, n times mark and content;
--          n, n times number and body
-- Reply    1, or 0 when nothing was written

local T, call = KEYS[1], redis.call
local META, OUTBOX = T .. ':m', T .. ':o'
local AT_ONCE = 4000

local at = 7
local function list(width)
  local n = tonumber(ARGV[at + 1])
  local first = at + 2
  at = at + 1 + n * width
  return first, n * width
end
local function each(command, key, first, n)
  for from = first, first + n - 1, AT_ONCE do
    call(command, key, unpack(ARGV, from, math.min(from + AT_ONCE, first + n) - 1))
  end
end

local cleared_at, cleared = list(1)
at = at + 1
local nonces = ARGV[at]
local records_at, records = list(2)
local marks_at, marks = list(2)
local owed_at, owed = list(2)

local known = call('HMGET', META, ARGV[1], 'outbox_seq')
if (known[1] or '0') ~= ARGV[2] or (known[2] or '0') ~= ARGV[3] then return 0 end
if records > 0 then
  local names, found = {}, {}
  for i = 1, records / 2 do names[i] = ARGV[records_at + 2 * i - 2] end
  local now = call('MGET', unpack(names))
  for i = 1, #names do found[i] = now[i] and string.sub(now[i], 1, 16) or '' end
  if table.concat(found) ~= nonces then return 0 end
else
  -- Without a record there is no nonce that any other commit of this event would have changed.
  local ids = {}
  for i = 1, marks / 2 do ids[i] = ARGV[marks_at + 2 * i - 2] end
  local now = marks > 0 and call('HMGET', ARGV[6], unpack(ids)) or {}
  for i = 1, #ids do if now[i] then return 0 end end
end

call('HSET', META, ARGV[1], ARGV[4], 'outbox_seq', ARGV[5])
each('HDEL', OUTBOX, cleared_at, cleared)
if records > 0 then call('MSET', unpack(ARGV, records_at, records_at + records - 1)) end
each('HSET', ARGV[6], marks_at, marks)
each('HSET', OUTBOX, owed_at, owed)
if marks > 0 then call('PEXPIRE', ARGV[6], ARGV[7], 'NX') end
return 1
