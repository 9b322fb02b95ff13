-- One atomic commit to one partition: everything is verified, then everything is written.
--
-- Lua does not roll back, so no call after the first write may fail. Hence: the type of every key that will be
-- written is checked by a read before; what is read is never assumed to be a number; and the first write is one
-- that the server refuses when it is out of memory (it asks only before the first). One check is a write: the mark
-- of a group that handles one new event is written where it is not there, before anything else of that group.
--
-- KEYS[1]  the partition's prefix {sluice:<pipeline>:<partition>}
-- ARGV     writer, expected number, now ms, retain ms, '1' when records are small enough to be read whole,
--          n, n outbox numbers to clear, n, n start marks to clear,
--          n, then per group: key ('' for none), expected nonce ('' for none), new nonce .. record, timer ms ('' for none);
--          then per group: n, n conditions, n, n writes
--            or, for one new event that owes n emissions, which is U and M of one mark and n times E: N, mark,
--            status .. content, n, n bodies
-- A condition is one argument: U<mark>, P<mark>, D<mark><generation>, O<number>.
-- A write is one or two: M<mark><status><content>; P<mark>, entry; U<mark>; E, body; O<number>;
--          D<mark>, body; C<mark>, body.
-- Reply    {'TAIL', number known} or {'OK', a 1 or 0 a group, outbox number before, outbox length, parked bytes}

local T, call, pcall, format = KEYS[1], redis.call, redis.pcall, string.format
local byte, sub = string.byte, string.sub
local META, PARKED, TIMERS, OUTBOX = T .. ':m', T .. ':p', T .. ':t', T .. ':o'
local DEAD, DEAD_STATE, DEAD_OPEN, STARTED = T .. ':l', T .. ':ls', T .. ':lo', T .. ':s'
local RECORD, LINE, WRITER = T .. ':k:', T .. ':q:', T .. ':w:' .. ARGV[1]

local MIN_SHARDS, MARKS_PER_SHARD, UNLINKS = 1024, 96, 64
local WRITER_EXPIRES_MS = 86400000
local ARGUMENTS_AT_ONCE = 1000

local known = call('GET', WRITER) or '0'
if known ~= ARGV[2] then return { 'TAIL', known } end
local now, retain = tonumber(ARGV[3]), tonumber(ARGV[4])

-- Verify: the generations of marks, and which of them are over.

local meta = call('HMGET', META, 'outbox_seq', 'generations', 'marks', 'condemned', 'parked_bytes')
local outbox_before, marks, condemned = tonumber(meta[1] or '0'), tonumber(meta[3] or '0'), meta[4] or ''
local bytes_before = tonumber(meta[5] or '0')
local live, newest_id, parsed, rotated = {}, 0, {}, false
for id, start, shards in string.gmatch(meta[2] or '', '(%d+):(%-?%d+):(%d+);') do
  parsed[#parsed + 1] = id .. ':' .. start .. ':' .. shards .. ';'
  newest_id = math.max(newest_id, tonumber(id))
  if now >= tonumber(start) + 1.5 * retain then
    condemned, rotated = condemned .. id .. ':0:' .. shards .. ';', true
  else
    live[#live + 1] = { prefix = T .. ':d:' .. id .. ':', start = tonumber(start), shards = tonumber(shards), text = parsed[#parsed] }
  end
end
if not outbox_before or not marks or not bytes_before or table.concat(parsed) ~= (meta[2] or '') then
  return redis.error_reply('SLUICE the hash ' .. META .. ' does not hold what sluice wrote there')
end
if #live == 0 or now >= live[1].start + retain / 2 then
  -- As many shards as keep the next generation, if it grows to 1.25 times this one, in listpacks (about 30 bytes
  -- a mark instead of 100). The least is paid for only by the marks that are there: a shard exists from its
  -- first mark on, and costs what a string key would.
  local shards = MIN_SHARDS
  while shards < marks * 1.25 / MARKS_PER_SHARD and shards < 16777216 do shards = shards * 2 end
  local id = format('%.0f', newest_id + 1)
  table.insert(live, 1, {
    prefix = T .. ':d:' .. id .. ':', start = now, shards = shards,
    text = id .. ':' .. ARGV[3] .. ':' .. format('%.0f', shards) .. ';',
  })
  marks, rotated = 0, true
end

local function shard(generation, id)
  local a, b, c = byte(id, 1, 3)
  return generation.prefix .. (a * 65536 + b * 256 + c) % generation.shards
end

-- Verify: types. A read of another type is an error that ends the script here.

local parked, timers = call('HLEN', PARKED), call('ZCARD', TIMERS)
call('HLEN', OUTBOX)
local hash_checked = {}
local function must_be_hash(key)
  if not hash_checked[key] then
    call('HLEN', key)
    hash_checked[key] = true
  end
end
local dead_checked = false
local function must_be_dead_letters()
  if not dead_checked then
    must_be_hash(DEAD)
    must_be_hash(DEAD_STATE)
    call('SCARD', DEAD_OPEN)
    dead_checked = true
  end
end

-- Verify: what is parked now under the marks that matter. An entry is read once; of it are kept its size and its
-- members of the line, to take it out of all its places.

local entries, garbled = {}, false
local function described(mark, entry)
  local members = { sub(entry, 10, 34) .. mark }
  if byte(entry, 9) == 1 then members[2] = sub(entry, 35, 59) .. mark end
  return { members = members, bytes = #entry }
end
local function parked_as(mark)
  if entries[mark] == nil then
    local entry = parked > 0 and call('HGET', PARKED, mark)
    entries[mark] = entry and described(mark, entry)
    local places = entry and byte(entry, 9)
    if entry and not (places == 0 and #entry > 36 or places == 1 and #entry > 61) then garbled = true end
  end
  return entries[mark]
end

-- Verify: the groups.

local function unmarked(mark, newest)
  for i = newest, #live do
    local key = shard(live[i], mark)
    if call('HEXISTS', key, mark) == 1 then return false end
    hash_checked[key] = true
  end
  return not parked_as(mark)
end
local function holds(condition)
  local op, rest = byte(condition), sub(condition, 2)
  if op == 85 then -- U: remembered in no generation, and not parked
    return unmarked(rest, 1)
  elseif op == 80 then -- P: parked
    return parked_as(rest)
  elseif op == 68 then -- D: open at this generation
    return call('HGET', DEAD_STATE, sub(rest, 1, 16)) == sub(rest, 17) .. ':o'
  else -- O: in the outbox
    return call('HEXISTS', OUTBOX, rest) == 1
  end
end

local at = 5
local function take()
  at = at + 1
  return ARGV[at]
end
local function take_list()
  local n = tonumber(take())
  local first = at + 1
  at = at + n
  return first, n
end

local cleared_at, cleared = take_list()
local returned_at, returned = take_list()
if returned > 0 then must_be_hash(STARTED) end

local count = tonumber(take())
local heads, nonces = at + 1, {}
at = at + 4 * count
if ARGV[5] == '1' then
  -- A call costs more than what it brings: many at a time.
  for from = 1, count, ARGUMENTS_AT_ONCE do
    local names, to = {}, math.min(from + ARGUMENTS_AT_ONCE - 1, count)
    for g = from, to do names[g - from + 1] = RECORD .. ARGV[heads + 4 * g - 4] end
    local found = call('MGET', unpack(names))
    for g = from, to do nonces[g] = found[g - from + 1] and sub(found[g - from + 1], 1, 16) end
  end
end
for g = 1, count do
  local key = ARGV[heads + 4 * g - 4]
  -- Alone: what is large, and what is not there, for that may be of another type.
  if key ~= '' and not nonces[g] then nonces[g] = call('GETRANGE', RECORD .. key, 0, 15) end
end

local groups, committed = {}, false
for g = 1, count do
  local head = heads + 4 * g - 4
  local key = ARGV[head]
  local ok = key == '' or nonces[g] == ARGV[head + 1]
  local group = { head = head }
  if ARGV[at + 1] == 'N' then
    -- The newest generation is asked by the write.
    group.new, group.owes = at + 2, tonumber(ARGV[at + 4])
    at = at + 4 + group.owes
    ok = ok and unmarked(ARGV[group.new], 2)
  else
    local first, n = take_list()
    for i = first, first + n - 1 do
      ok = ok and holds(ARGV[i])
    end
    group.writes = tonumber(take())
    group.at = at + 1
    local line_checked = false
    for _ = 1, group.writes do
      local write = take()
      local op = byte(write)
      if op == 77 then
        if ok then must_be_hash(shard(live[1], sub(write, 2, 17))) end
      elseif op == 80 or op == 85 then
        if op == 80 then at = at + 1 end
        if ok then
          parked_as(sub(write, 2))
          if not line_checked then
            call('ZCARD', LINE .. key)
            line_checked = true
          end
        end
      elseif op == 68 or op == 67 then
        at = at + 1
        if ok then must_be_dead_letters() end
      elseif op == 69 then
        at = at + 1
      end
    end
  end
  groups[g] = ok and group
  committed = committed or ok
end

if garbled then
  return redis.error_reply('SLUICE the hash ' .. PARKED .. ' does not hold what sluice wrote there')
end

-- Write. From here on nothing fails.

local function count_commit()
  call('SET', WRITER, format('%.0f', tonumber(known) + 1), 'PX', WRITER_EXPIRES_MS)
end
local function delete(key, first, n)
  for from = first, first + n - 1, ARGUMENTS_AT_ONCE do
    call('HDEL', key, unpack(ARGV, from, math.min(from + ARGUMENTS_AT_ONCE, first + n) - 1))
  end
end

-- The first write of a commit that adds something must be one that needs memory; of one that only clears, one
-- that does not: then a full server can still be emptied.
if committed then count_commit() end
delete(OUTBOX, cleared_at, cleared)
delete(STARTED, returned_at, returned)
if not committed then count_commit() end

local outbox_seq, marked = outbox_before, 0
local parked_bytes = bytes_before
-- Records, timers and outbox entries are gathered and written many at a time.
local records, due, settled, owed, recorded, owing = {}, {}, {}, {}, 0, 0
local function many(command, key, list)
  for from = 1, #list, ARGUMENTS_AT_ONCE do
    call(command, key, unpack(list, from, math.min(from + ARGUMENTS_AT_ONCE - 1, #list)))
  end
end
local function touch(head)
  local key, at = ARGV[head], ARGV[head + 3]
  if key == '' then return end
  records[recorded + 1], records[recorded + 2] = RECORD .. key, ARGV[head + 2]
  recorded = recorded + 2
  if at ~= '' then
    due[#due + 1] = at
    due[#due + 1] = key
  elseif timers > 0 then
    settled[#settled + 1] = key
  end
end
local function owe(body)
  outbox_seq = outbox_seq + 1
  owed[owing + 1], owed[owing + 2] = outbox_seq, body
  owing = owing + 2
end
local function leave(line, mark)
  local old = entries[mark]
  if old then
    call('ZREM', line, unpack(old.members))
    parked_bytes = parked_bytes - old.bytes
  end
  entries[mark] = false
end
local function dead_letter(id, body, state)
  local generation = tonumber(string.match(call('HGET', DEAD_STATE, id) or '', '^%d+') or '0') + 1
  call('HSET', DEAD, id, body)
  call('HSET', DEAD_STATE, id, format('%.0f', generation) .. ':' .. state)
end

local verdicts = {}
for g = 1, count do
  local group = groups[g]
  if group and group.new then
    local mark = ARGV[group.new]
    -- What is no hash is refused like a mark that is there: the lookup that follows says what it is.
    if pcall('HSETNX', shard(live[1], mark), mark, ARGV[group.new + 1]) == 1 then
      marked = marked + 1
      touch(group.head)
      for i = group.new + 3, group.new + 2 + group.owes do owe(ARGV[i]) end
    else
      group = false
    end
  elseif group then
    local key = ARGV[group.head]
    touch(group.head)
    at = group.at - 1
    for _ = 1, group.writes do
      local write = take()
      local op, rest = byte(write), sub(write, 2)
      if op == 77 then -- M: remember
        local id = sub(rest, 1, 16)
        marked = marked + call('HSET', shard(live[1], id), id, sub(rest, 17))
      elseif op == 80 then -- P: park
        local line, entry = LINE .. key, take()
        leave(line, rest)
        call('HSET', PARKED, rest, entry)
        local new = described(rest, entry)
        for i = 1, #new.members do call('ZADD', line, 0, new.members[i]) end
        parked_bytes = parked_bytes + new.bytes
        entries[rest] = new
      elseif op == 85 then -- U: take out of the line
        leave(LINE .. key, rest)
        call('HDEL', PARKED, rest)
      elseif op == 69 then -- E: owe
        owe(take())
      elseif op == 79 then -- O: owe no more
        call('HDEL', OUTBOX, rest)
      elseif op == 68 then -- D: a dead letter, open
        dead_letter(rest, take(), 'o')
        call('SADD', DEAD_OPEN, rest)
      elseif op == 67 then -- C: closed
        local body = take()
        if call('HEXISTS', DEAD_STATE, rest) == 1 then
          dead_letter(rest, body, 'c')
          call('SREM', DEAD_OPEN, rest)
        end
      end
    end
  end
  verdicts[g] = group and '1' or '0'
end

for from = 1, recorded, ARGUMENTS_AT_ONCE do
  call('MSET', unpack(records, from, math.min(from + ARGUMENTS_AT_ONCE - 1, recorded)))
end
many('ZADD', TIMERS, due)
many('ZREM', TIMERS, settled)
many('HSET', OUTBOX, owed)

-- Condemned generations go in steps: a hash that is freed at once would stall the server.
local condemned_before = meta[4] or ''
if condemned ~= '' then
  local id, from, shards, rest = string.match(condemned, '^(%d+):(%d+):(%d+);(.*)$')
  if id then
    from, shards = tonumber(from), tonumber(shards)
    local keys, to = {}, math.min(from + UNLINKS, shards)
    for i = from, to - 1 do keys[#keys + 1] = T .. ':d:' .. id .. ':' .. format('%.0f', i) end
    if #keys > 0 then call('UNLINK', unpack(keys)) end
    condemned = to >= shards and rest or id .. ':' .. format('%.0f', to) .. ':' .. format('%.0f', shards) .. ';' .. rest
  end
end

local changed = {}
local function change(name, value)
  changed[#changed + 1] = name
  changed[#changed + 1] = value
end
if outbox_seq ~= outbox_before then change('outbox_seq', format('%.0f', outbox_seq)) end
if parked_bytes ~= bytes_before then change('parked_bytes', format('%.0f', parked_bytes)) end
if rotated then
  local texts = {}
  for i = 1, #live do texts[i] = live[i].text end
  change('generations', table.concat(texts))
end
if rotated or marked > 0 then change('marks', format('%.0f', marks + marked)) end
if condemned ~= condemned_before then change('condemned', condemned) end
if #changed > 0 then call('HSET', META, unpack(changed)) end

return { 'OK', table.concat(verdicts), outbox_before, call('HLEN', OUTBOX), format('%.0f', parked_bytes) }
