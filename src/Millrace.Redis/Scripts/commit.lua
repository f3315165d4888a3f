-- Applies a list of independent commits, each as a whole or not at all.
--
-- Redis never rolls a script back. So every commit is checked first (conditions, types of keys, explicit IDs, rights), and only then
-- written: what needs memory first, deletes and acks last. Redis checks the state of the server (maxmemory, replica, failed disk) at the
-- first write of a script only, and at maxmemory it lets a write that needs none pass; the caller therefore puts no commit that needs
-- memory behind one that needs none. There is no shebang line: with one, Redis refuses the whole script at maxmemory, acks included.
--
-- KEYS and ARGV are drawn in commit_arguments.lua, which Redis gets in front of this file, as it does entry_ids.lua and commit_checks.lua.
-- Answers one list a commit: {0, id...} applied; {1, index} that condition does not hold; {2, error} refused, nothing changed;
-- {3, error} applied in part, which the checks are there to prevent. On a replica the answer is its READONLY.

-- Writes ----------------------------------------------------------------------------------------------------------------------------

local function fail(text) error({wrote and 3 or 2, text}, 0) end

-- At maxmemory Redis refuses what may need memory, but only as the first write of a script. So an upkeep commit that was refused there
-- writes something first that needs none and changes nothing, as the checks of everything are done: on the key it is about to write, and
-- for a document, which the SET behind it replaces, in the same breath. Answers whether the write may be tried again.
local function pass(refusal, command, key)
  if not upkeep or string.sub(refusal, 1, 4) ~= 'OOM ' then return false end
  local free = (command == 'SET' or command == 'MSET') and {'DEL', key} or command == 'ZADD' and {'ZREM', key, ''} or {'XDEL', key, '0-0'}
  if not redis.acl_check_cmd(unpack(free)) or type(try(unpack(free))) == 'table' then return false end
  full = refusal
  return true
end

local function write(command, ...)
  local reply = try(command, ...)
  if type(reply) == 'table' and reply.err and pass(reply.err, command, (select(command == 'XGROUP' and 2 or 1, ...))) then
    reply = try(command, ...)
  end
  if type(reply) == 'table' and reply.err then fail(reply.err) end
  wrote = true
  return reply
end

local function append(key, id, ...)
  local given = try('XADD', key, id, ...)
  if type(given) == 'table' and pass(given.err, 'XADD', key) then given = try('XADD', key, id, ...) end
  if type(given) == 'table' then
    -- Redis has no code of its own for used-up IDs.
    if not wrote and last_id(key) == MAX .. '-' .. MAX then refuse('IDNOTINC The stream ' .. key .. ' has no larger ID left') end
    fail(given.err)
  end
  wrote, types[key], last_ids[key] = true, 'stream', given
  return given
end

-- Members of one due time are sorted by when they were scheduled: time in microseconds, then a counter, both big endian. A new head is
-- published so that other processes set their timers. Without the right to the channel nobody is woken, and their regular check finds
-- the entry a little later.
local function schedule(key, schedule_key, delay, copy)
  scheduled = scheduled + 1
  local member = struct.pack('>I8I4', clock[1] * 1000000 + clock[2], scheduled) .. salt .. cmsgpack.pack(copy)
  write('ZADD', schedule_key, string.format('%.0f', now_ms + delay), member)
  types[schedule_key] = 'zset'
  if call('ZRANGE', schedule_key, 0, 0)[1] == member and redis.acl_check_cmd('PUBLISH', 'millrace:scheduled', key) then
    try('PUBLISH', 'millrace:scheduled', key)
  end
end

-- A version is the time in microseconds, so that it is new also for a document that was deleted; a put takes longer than one.
local function put(key, payload, ttl)
  local version = now_us
  local previous = types[key] == 'string' and version_of(key) or versions[key]
  if previous and not less(previous, version) then version = increment(previous) end

  if ttl == '' then write(puts_all and 'MSET' or 'SET', key, version .. '\n' .. payload) else write('SET', key, version .. '\n' .. payload, 'PX', ttl) end
  types[key], current[key], versions[key] = 'string', version, version
end

local function release(at, copy, id)
  if not copy then return end

  local key, group, delay = key_at(at + 2), arguments[at + 4], numbers[arguments[at + 7]]
  if not has_group(key, group) then
    write('XGROUP', 'CREATE', key, group, '0-0', 'MKSTREAM')
    groups[key][group] = true
    if types[key] == 'none' then types[key], last_ids[key] = 'stream', '0-0' end
  end
  if delay > 0 then schedule(key, key_at(at + 3), delay, copy) else append(key, id, unpack(copy)) end
end

local function unfence(key, group, id)
  local fenced = fences[key] and fences[key][group]
  if not fenced then return end
  for i = 1, #fenced do
    local held = fenced[i].ids
    if held then held[id] = nil end
  end
end

local function ack(key, group, id)
  -- Nothing is pending where no stream is. The commit may have put a document there: acks come last, but were given first.
  if types[key] ~= 'stream' then return end

  wrote = true
  local acked = acks[key]
  if not acked then
    acked = {}
    acks[key] = acked
  end
  local list = acked[group]
  if list then list[#list + 1] = id else acked[group] = {id} end

  unfence(key, group, id)
end

local function ack_and_delete(key, group, id)
  if types[key] ~= 'stream' then return end
  send_acks()
  unfence(key, group, id)
  if write('XACK', key, group, id) == 1 then write('XDEL', key, id) end
end

-- Asked after the acks in front of it: what the commit itself settles is no longer held.
local function leave(key, group, consumer)
  if types[key] ~= 'stream' then return end
  send_acks()
  local held = try('XPENDING', key, group, '-', '+', 1, consumer)
  if held.err then fail(held.err) end
  if #held == 0 then write('XGROUP', 'DELCONSUMER', key, group, consumer) end
end

-- Forgets what this run knew of the group and its keys. UNLINK frees the memory of large ones outside the main thread.
local function destroy(key, at)
  send_acks()
  local group = arguments[at + 5]
  if types[key] == 'stream' then write('XGROUP', 'DESTROY', key, group) end
  if groups[key] then groups[key][group] = nil end
  if fences[key] then fences[key][group] = nil end
  for i = 2, 4 do
    local own = key_at(at + i)
    write('UNLINK', own)
    types[own], last_ids[own], groups[own], fences[own] = 'none', false, {}, nil
  end
end

-- What adds to streams and schedules comes first, in its order, then documents: only the first write may still fail.
local function add(changes, count)
  local outcome = {0}
  for i = 1, adding > 0 and count or 0 do
    local at = changes[i]
    local kind, id = arguments[at], ids[at] or '*'
    if kind == 'append' then
      outcome[#outcome + 1] = append(key_at(at + 1), id, unpack(arguments, parts(at)))
    elseif kind == 'schedule' then
      schedule(key_at(at + 1), key_at(at + 2), numbers[arguments[at + 3]], {unpack(arguments, parts(at))})
    elseif kind == 'release' then
      release(at, copies[at], id)
    end
  end
  for i = 1, puts and count or 0 do
    local at = changes[i]
    local key = arguments[at] == 'put' and key_at(at + 1)
    if key and final[key] == at then put(key, arguments[at + 2], arguments[at + 3]) end
  end
  return outcome
end

local function settle(changes, count)
  for i = 1, count do
    local at = changes[i]
    local kind, key = arguments[at], key_at(at + 1)
    if kind == 'ack' then
      ack(key, arguments[at + 2], arguments[at + 3])
    elseif kind == 'release' then
      ack(key, arguments[at + 4], arguments[at + 5])
    elseif kind == 'ackdel' then
      ack_and_delete(key, arguments[at + 2], arguments[at + 3])
    elseif kind == 'leave' then
      if leaves[at] and has_group(key, arguments[at + 2]) then leave(key, arguments[at + 2], arguments[at + 3]) end
    elseif kind == 'destroy' then
      destroy(key, at)
    elseif kind == 'remove' then
      if types[key] == 'stream' then write('XDEL', key, arguments[at + 2]) end
    elseif kind == 'delete' and final[key] == at then
      write('DEL', key)
      types[key], current[key] = 'none', nil
    end
  end
end

-- The run ---------------------------------------------------------------------------------------------------------------------------

local conditions, changes = {}, {}  -- positions of the commit at hand; what lies behind its counts is of those before

local function commit(condition_count, change_count)
  upkeep = false
  for i = 1, condition_count do
    if not holds(conditions[i]) then return {1, i - 1} end
  end
  check_changes(changes, change_count)
  local outcome = add(changes, change_count)
  settle(changes, change_count)
  return outcome
end

-- What nearly every handler leaves: its fence, at most one entry without an ID, documents, and the acknowledgement. Where the streams were found
-- good earlier in the run, this looks at everything in one pass and makes no table but the answer: half the time of `commit`, which everything
-- else is for. Then nothing is changed, nor any argument taken.
local function settle_plainly()
  local at = position + 1
  if arguments[at] ~= '1' or arguments[at + 1] ~= 'held' or full then return end

  local source, group, id = arguments[at + 2], arguments[at + 3], arguments[at + 5]
  local key = keys[numbers[source]]
  local fence = fences[key] and fences[key][group] and fences[key][group][1]
  if not fence or not fence.ids or fence.consumer ~= arguments[at + 4] or fence.ids[id] ~= numbers[arguments[at + 6]] then return end
  local acked = acks[key] and acks[key][group]
  if not acked then return end

  local first, next, appended = at + 8, at + 8, nil
  for _ = 2, numbers[arguments[at + 7]] do
    local kind, target = arguments[next], keys[numbers[arguments[next + 1]]]
    if kind == 'append' then
      if appended or types[target] ~= 'stream' or not may_add[target] or arguments[next + 2] ~= '*' then return end
      appended = next
      next = next + 4 + numbers[arguments[next + 3]]
    elseif kind == 'put' then
      local found = types[target] or type_of_state(target)
      if found ~= 'string' and found ~= 'none' then return end
      if found == 'string' then version_of(target) end
      allow_put(target, arguments[next + 3])
      next = next + 4
    else
      return
    end
  end
  if arguments[next] ~= 'ack' or arguments[next + 1] ~= source or arguments[next + 2] ~= group or arguments[next + 3] ~= id then return end

  upkeep, position = false, next + 3
  local outcome = {0}
  if appended then
    outcome[2] = append(keys[numbers[arguments[appended + 1]]], '*', unpack(arguments, parts(appended)))
  end
  local last = next
  next = first
  while next < last do
    if next == appended then
      next = next + 4 + numbers[arguments[next + 3]]
    else
      put(keys[numbers[arguments[next + 1]]], arguments[next + 2], arguments[next + 3])
      next = next + 4
    end
  end
  fence.ids[id] = nil
  acked[#acked + 1] = id
  return outcome
end

take_fences()
local outcomes = {}
for i = 1, tonumber(take()) do
  local before = position
  wrote = false
  local ok, outcome = pcall(settle_plainly)
  if position == before and (ok or type(outcome) == 'table') then
    local condition_count, change_count = take_list(conditions), take_list(changes)
    ok, outcome = pcall(commit, condition_count, change_count)
  end
  -- What is thrown here is an outcome; anything else is a mistake in this file.
  if not ok and type(outcome) ~= 'table' then
    send_acks()
    error(outcome, 0)
  end
  -- A replica refuses the first write of a run: nothing of the run is written, and the client is to see what is at the end of its connection.
  if outcome[1] == 2 and string.sub(outcome[2], 1, 9) == 'READONLY ' then return redis.error_reply(outcome[2]) end
  outcomes[i] = outcome
end
send_acks()
return outcomes
