-- Applies a list of independent commits, each as a whole or not at all.
--
-- Redis never rolls a script back. So every commit is checked first (conditions, types of keys, explicit IDs, rights), and only then
-- written: what needs memory first, deletes and acks last. Redis checks the state of the server (maxmemory, replica, failed disk) at the
-- first write of a script only, and at maxmemory it lets a write that needs none pass; the caller therefore puts no commit that needs
-- memory behind one that needs none. There is no shebang line: with one, Redis refuses the whole script at maxmemory, acks included.
--
-- KEYS and ARGV are drawn in commit_arguments.lua, which Redis gets in front of this file, as it does entry_ids.lua.
-- Answers one list a commit: {0, id...} applied; {1, index} that condition does not hold; {2, error} refused, nothing changed;
-- {3, error} applied in part, which the checks are there to prevent.
--
-- Redis runs the whole text for each call, so every function costs something even when it is not used.

local call, try = redis.call, redis.pcall
local MAX_PARTS = 7900  -- names and values of an entry; unpack takes 8,000 and fails in mid-commit. Only others append so many.

local clock = call('TIME')
local now_ms = clock[1] * 1000 + math.floor(clock[2] / 1000)
local now = string.format('%.0f', now_ms)
local salt = ARGV[1]
local scheduled = 0     -- entries scheduled so far; makes the members of a schedule unique and keeps their order
local wrote = false     -- whether the commit at hand changed something already

-- What this run knows.
local types = {}        -- key -> type, 'none' when missing
local last_ids = {}     -- stream -> last generated ID, false when missing
local versions = {}     -- state document -> version this run gave it last, also when it was deleted since
local groups = {}       -- stream -> group -> true, for groups known to exist
local allowed = {}      -- command -> key -> true, for rights that were checked

-- Looking -----------------------------------------------------------------------------------------------------------------------------

-- Ends the commit at hand. The first word of the text is the code of the error.
local function refuse(text) error({2, text}, 0) end

local function read(...)
  local reply = try(...)
  if type(reply) == 'table' and reply.err then refuse(reply.err) end
  return reply
end

local function allow(command, key, subcommand)
  local keys = allowed[command]
  if not keys then
    keys = {}
    allowed[command] = keys
  elseif keys[key] then
    return
  end

  local ok
  if subcommand then ok = redis.acl_check_cmd(command, subcommand, key) else ok = redis.acl_check_cmd(command, key) end
  if not ok then refuse('NOPERM The user may not run ' .. command .. ' on the key ' .. key) end
  -- Rights to one subcommand say nothing of another's; those are rare enough to be asked for again.
  if not subcommand then keys[key] = true end
end

local function type_of(key)
  local known = types[key]
  if not known then
    allow('TYPE', key)
    known = call('TYPE', key).ok
    types[key] = known
  end
  return known
end

local function last_id(key)
  local known = last_ids[key]
  if known == nil then
    known = false
    if type_of(key) == 'stream' then
      allow('XINFO', key, 'STREAM')
      local info = read('XINFO', 'STREAM', key)
      for i = 1, #info, 2 do
        if info[i] == 'last-generated-id' then known = info[i + 1] break end
      end
    end
    last_ids[key] = known
  end
  return known
end

local function has_group(key, group)
  local known = groups[key]
  if not known then
    known = {}
    if type_of(key) == 'stream' then
      allow('XINFO', key, 'GROUPS')
      for _, info in ipairs(read('XINFO', 'GROUPS', key)) do known[info[2]] = true end
    end
    groups[key] = known
  end
  return known[group]
end

local function version_of(key)
  return string.match(call('GETRANGE', key, 0, 20), '^(%d+)\n')
end

-- Conditions ------------------------------------------------------------------------------------------------------------------------

local function pending(condition, from, to, count)
  allow('XPENDING', condition.key)
  local reply = try('XPENDING', condition.key, condition.group, from, to, count, condition.consumer)
  if reply.err then
    -- No stream or no group: nothing is held there.
    if string.sub(reply.err, 1, 7) == 'NOGROUP' then return {} end
    refuse(reply.err)
  end
  return reply
end

local function is_held(condition)
  local fence = fences[condition.key]
  fence = fence and fence[condition.group]
  fence = fence and fence[condition.consumer]
  if fence then
    if not fence.ids then
      local entries = pending(condition, fence.min, fence.max, fence.count)
      fence.ids, fence.whole = {}, #entries < fence.count
      for _, entry in ipairs(entries) do fence.ids[entry[1]] = entry[4] end
    end
    local deliveries = fence.ids[condition.id]
    if deliveries or fence.whole then return deliveries == condition.deliveries end
  end

  local entry = pending(condition, condition.id, condition.id, 1)[1]
  return entry ~= nil and entry[4] == condition.deliveries
end

local function holds(condition)
  if condition.kind == 'held' then return is_held(condition) end

  local key, found = condition.key, type_of(condition.key)
  if condition.kind == 'last' then
    if found ~= 'stream' and found ~= 'none' then refuse('WRONGTYPE The key ' .. key .. ' holds no stream') end
    return (last_id(key) or '') == condition.expected
  end
  if condition.kind == 'entry' then
    if found == 'none' then return false end
    if found ~= 'stream' then refuse('WRONGTYPE The key ' .. key .. ' holds no stream') end
    allow('XRANGE', key)
    return read('XRANGE', key, condition.expected, condition.expected)[1] ~= nil
  end

  if found == 'none' then return condition.expected == '' end
  if found ~= 'string' then refuse('WRONGTYPE The key ' .. key .. ' holds no state document') end
  allow('GETRANGE', key)
  return version_of(key) == condition.expected
end

-- Checks: everything that could fail a write, before the first one ------------------------------------------------------------------

-- plan.types: what keys will hold that are missing now. plan.last: last IDs after the appends checked so far, where they matter.
-- plan.explicit: streams that get an explicit ID. plan.growing: number of changes that add something. plan.final: state document ->
-- the last change to it, the only one that shows.

local function expect(plan, key, kind, makes)
  local found = plan.types[key] or type_of(key)
  if found == 'none' then
    if makes then plan.types[key] = kind end
  elseif found ~= kind then
    refuse('WRONGTYPE The key ' .. key .. ' holds a ' .. found .. ', not a ' .. kind)
  end
end

local function next_id(last)
  local ms, seq = string.match(last, '^(%d+)-(%d+)$')
  if less(ms, now) then return now .. '-0' end
  if seq ~= MAX then return ms .. '-' .. increment(seq) end
  if ms ~= MAX then return increment(ms) .. '-0' end
  refuse('IDNOTINC The stream has no larger ID left')
end

-- A stream that gets an explicit ID in this commit gets only explicit ones, so that each can be compared with the one before. An entry
-- without one needs no look at the last ID when it is all the commit adds: it is the first write, which may still fail.
local function plan_append(plan, change)
  expect(plan, change.key, 'stream', true)
  allow('XADD', change.key)
  if plan.growing == 1 and not plan.explicit[change.key] then return end

  local last = plan.last[change.key] or last_id(change.key) or '0-0'
  local id = change.id
  if id == '*' then id = next_id(last) end
  if not id_less(last, id) then
    refuse('IDNOTINC The ID ' .. id .. ' is not above the last ID ' .. last .. ' of the stream ' .. change.key)
  end
  plan.last[change.key] = id
  if plan.explicit[change.key] then change.id = id end
end

local function plan_schedule(plan, change)
  expect(plan, change.key, 'stream', false)
  expect(plan, change.schedule, 'zset', true)
  allow('XADD', change.key)
  allow('ZADD', change.schedule)
  allow('ZRANGE', change.schedule)
end

-- The copy of a released entry: its fields, then where it came from and the deliveries that count besides those to come.
local function copy_parts(change)
  local entry = read('XRANGE', change.source, change.id, change.id)[1]
  if not entry then return nil end

  local fields, parts, source, deliveries = entry[2], {}, change.id, change.deliveries - 1
  if #fields > MAX_PARTS then refuse('LIMIT The entry ' .. change.id .. ' has more fields than a script can copy') end
  for i = 1, #fields, 2 do
    if fields[i] == 'sourceid' then
      source = fields[i + 1]
    elseif fields[i] == 'priordeliveries' then
      deliveries = deliveries + (tonumber(fields[i + 1]) or 0)
    else
      parts[#parts + 1] = fields[i]
      parts[#parts + 1] = fields[i + 1]
    end
  end

  parts[#parts + 1] = 'sourceid'
  parts[#parts + 1] = source
  if deliveries > 0 then
    parts[#parts + 1] = 'priordeliveries'
    parts[#parts + 1] = string.format('%.0f', deliveries)
  end
  return parts
end

local function plan_release(plan, change)
  expect(plan, change.source, 'stream', false)
  expect(plan, change.key, 'stream', false)
  allow('XACK', change.source)
  allow('XRANGE', change.source)
  change.parts = copy_parts(change)
  if not change.parts then return end

  expect(plan, change.key, 'stream', true)
  if not has_group(change.key, change.group) then
    allow('XGROUP', change.key, 'CREATE')
    plan.growing = plan.growing + 1
  end
  if change.delay > 0 then
    plan_schedule(plan, change)
  else
    change.append = {key = change.key, id = '*'}
    plan_append(plan, change.append)
  end
end

local function check(plan, change)
  local kind, key = change.kind, change.key
  if kind == 'append' then
    plan_append(plan, change)
  elseif kind == 'schedule' then
    plan_schedule(plan, change)
  elseif kind == 'put' then
    expect(plan, key, 'string', true)
    allow('SET', key)
    allow('GETRANGE', key)
  elseif kind == 'delete' then
    expect(plan, key, 'string', false)
    allow('DEL', key)
  elseif kind == 'release' then
    plan_release(plan, change)
  elseif kind == 'remove' then
    expect(plan, key, 'stream', false)
    allow('XDEL', key)
  elseif kind == 'leave' then
    expect(plan, key, 'stream', false)
    allow('XPENDING', key)
    allow('XGROUP', key, 'DELCONSUMER')
    change.in_group = has_group(key, change.group)
  else
    expect(plan, key, 'stream', false)
    allow('XACK', key)
    if kind == 'ackdel' then allow('XDEL', key) end
  end
end

local function check_changes(changes)
  local plan = {types = {}, last = {}, explicit = {}, final = {}, growing = 0}
  for _, change in ipairs(changes) do
    local kind = change.kind
    if kind == 'append' or kind == 'put' or kind == 'schedule' or kind == 'release' then plan.growing = plan.growing + 1 end
    if kind == 'append' and change.id ~= '*' then plan.explicit[change.key] = true end
    if kind == 'put' or kind == 'delete' then plan.final[change.key] = change end
  end
  for _, change in ipairs(changes) do check(plan, change) end
  return plan
end

-- Writes ----------------------------------------------------------------------------------------------------------------------------

local function fail(text) error({wrote and 3 or 2, text}, 0) end

local function write(...)
  local reply = try(...)
  if type(reply) == 'table' and reply.err then fail(reply.err) end
  wrote = true
  return reply
end

local function append(key, id, ...)
  local given = try('XADD', key, id, ...)
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
local function schedule(change, parts)
  scheduled = scheduled + 1
  local member = struct.pack('>I8I4', clock[1] * 1000000 + clock[2], scheduled) .. salt .. cmsgpack.pack(parts)
  write('ZADD', change.schedule, string.format('%.0f', now_ms + change.delay), member)
  types[change.schedule] = 'zset'
  if call('ZRANGE', change.schedule, 0, 0)[1] == member and redis.acl_check_cmd('PUBLISH', 'millrace:scheduled', change.key) then
    try('PUBLISH', 'millrace:scheduled', change.key)
  end
end

-- A version is the time in microseconds, so that it is new also for a document that was deleted; a put takes longer than one.
local function put(change)
  local key, version = change.key, string.format('%.0f', clock[1] * 1000000 + clock[2])
  local previous = types[key] == 'string' and version_of(key) or versions[key]
  if previous and not less(previous, version) then version = increment(previous) end

  local document = version .. '\n' .. change.payload
  if change.ttl == '' then write('SET', key, document) else write('SET', key, document, 'PX', change.ttl) end
  types[key], versions[key] = 'string', version
end

local function release(change)
  if not change.parts then return end

  local key, group = change.key, change.group
  if not has_group(key, group) then
    write('XGROUP', 'CREATE', key, group, '0-0', 'MKSTREAM')
    groups[key][group] = true
    if types[key] == 'none' then types[key], last_ids[key] = 'stream', '0-0' end
  end
  if change.delay > 0 then schedule(change, change.parts) else append(key, change.append.id, unpack(change.parts)) end
end

local function ack(key, group, id)
  -- Nothing is pending where no stream is. The commit may have put a document there: acks come last, but were given first.
  if types[key] ~= 'stream' then return 0 end

  local acked = write('XACK', key, group, id)
  local fenced = fences[key] and fences[key][group]
  if fenced then
    for _, fence in pairs(fenced) do
      if fence.ids then fence.ids[id] = nil end
    end
  end
  return acked
end

-- Asked after the acks in front of it: what the commit itself settles is no longer held.
local function leave(change)
  if not change.in_group or types[change.key] ~= 'stream' then return end
  local held = try('XPENDING', change.key, change.group, '-', '+', 1, change.consumer)
  if held.err then fail(held.err) end
  if #held == 0 then write('XGROUP', 'DELCONSUMER', change.key, change.group, change.consumer) end
end

local function apply(changes, plan)
  local ids = {0}
  for _, change in ipairs(changes) do
    local kind = change.kind
    if kind == 'append' then ids[#ids + 1] = append(change.key, change.id, unpack(ARGV, change.from, change.to))
    elseif kind == 'schedule' then schedule(change, {unpack(ARGV, change.from, change.to)})
    elseif kind == 'release' then release(change)
    elseif kind == 'put' and plan.final[change.key] == change then put(change) end
  end

  for _, change in ipairs(changes) do
    local kind = change.kind
    if kind == 'ack' then ack(change.key, change.group, change.id)
    elseif kind == 'release' then ack(change.source, change.group, change.id)
    elseif kind == 'ackdel' then
      if ack(change.key, change.group, change.id) == 1 then write('XDEL', change.key, change.id) end
    elseif kind == 'leave' then leave(change)
    elseif kind == 'remove' then
      if types[change.key] == 'stream' then write('XDEL', change.key, change.id) end
    elseif kind == 'delete' and plan.final[change.key] == change then
      write('DEL', change.key)
      types[change.key] = 'none'
    end
  end
  return ids
end

-- The run ---------------------------------------------------------------------------------------------------------------------------

local function commit(conditions, changes)
  for i, condition in ipairs(conditions) do
    if not holds(condition) then return {1, i - 1} end
  end
  return apply(changes, check_changes(changes))
end

take_fences()
local outcomes = {}
for i = 1, tonumber(take()) do
  local conditions, changes = take_list(take_condition), take_list(take_change)
  wrote = false
  local ok, outcome = pcall(commit, conditions, changes)
  -- What is thrown here is an outcome; anything else is a mistake in this file.
  if not ok and type(outcome) ~= 'table' then error(outcome, 0) end
  outcomes[i] = outcome
end
return outcomes
