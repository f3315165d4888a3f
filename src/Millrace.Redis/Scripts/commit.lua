-- Applies a list of independent commits, each as a whole or not at all.
--
-- Redis never rolls a script back. So every commit is checked first (conditions, types of keys, explicit IDs, rights), and only then
-- written: what needs memory first, deletes and acks last. Redis checks the state of the server (maxmemory, replica, failed disk) at the
-- first write of a script only, and at maxmemory it lets a write that needs none pass; the caller therefore puts no commit that needs
-- memory behind one that needs none. There is no shebang line: with one, Redis refuses the whole script at maxmemory, acks included.
--
-- KEYS      every key named below by its index, each once.
-- ARGV      salt, number of fences, fences, number of commits, commits:
--   fence     key group consumer min-id max-id count          what one XPENDING learns for many `held` conditions
--   commit    number of conditions, conditions, number of changes, changes
--   condition last key id|''  ·  state key version|''  ·  held key group consumer id deliveries
--   change    append key id|* n part*n  ·  schedule key schedule-key delay-ms n part*n  ·  put key payload ttl-ms|''  ·  delete key
--             ack key group id  ·  ackdel key group id  ·  release key again-key schedule-key group id deliveries delay-ms
-- Answers one list a commit: {0, id...} applied; {1, index} that condition does not hold; {2, error} refused, nothing changed;
-- {3, error} applied in part, which the checks are there to prevent.
--
-- IDs and versions have 64 bits and Lua numbers 53: they stay decimal text. CommitCommand.cs must change with this file.

local call, try = redis.call, redis.pcall

-- 64-bit decimal text -------------------------------------------------------------------------------------------------------------

local MAX = '18446744073709551615'

local function less(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end

local function increment(number)
  local head, digit, nines = string.match(number, '^(%d-)([0-8]?)(9*)$')
  if digit == '' then head, digit = '', '0' end
  return head .. (digit + 1) .. string.rep('0', #nines)
end

local function id_less(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  if a_ms ~= b_ms then return less(a_ms, b_ms) end
  return less(a_seq, b_seq)
end

-- What this run knows ---------------------------------------------------------------------------------------------------------------

local clock = call('TIME')
local now_ms = clock[1] * 1000 + math.floor(clock[2] / 1000)
local now = string.format('%.0f', now_ms)
local now_us = string.format('%.0f', clock[1] * 1000000 + clock[2])
local salt = ARGV[1]
local scheduled = 0     -- entries scheduled so far; makes the members of a schedule unique and keeps their order

local types = {}        -- key -> type, 'none' when missing
local last_ids = {}     -- stream -> last generated ID, false when missing
local versions = {}     -- state document -> version this run gave it last, also when it was deleted since
local groups = {}       -- stream -> group -> true, for groups known to exist
local allowed = {}      -- command and key -> true, for rights that were checked
local fences = {}       -- stream, group and consumer -> {ids = {id -> deliveries}, whole = nothing was left out, min, max}

local function refuse(text) error({2, text}, 0) end

-- The error of a command ends the commit; the first word of its text is its code.
local function read(...)
  local reply = try(...)
  if type(reply) == 'table' and reply.err then refuse(reply.err) end
  return reply
end

local function allow(command, key, subcommand)
  local right = command .. (subcommand or '') .. ' ' .. key
  if allowed[right] then return end
  local ok
  if subcommand then ok = redis.acl_check_cmd(command, subcommand, key) else ok = redis.acl_check_cmd(command, key) end
  if not ok then refuse('NOPERM The user may not run ' .. command .. ' on the key ' .. key) end
  allowed[right] = true
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

-- Reading the arguments -------------------------------------------------------------------------------------------------------------

local position = 1

local function take()
  position = position + 1
  return ARGV[position]
end

local function take_key() return KEYS[tonumber(take())] end

-- The parts of an entry stay where they are: unpack(ARGV, from, to) hands them on without a copy.
local function take_parts(item)
  local count = tonumber(take())
  item.from, item.to = position + 1, position + count
  position = item.to
  return item
end

local take_condition = {
  last = function() return {check = 'last', key = take_key(), expected = take()} end,
  state = function() return {check = 'state', key = take_key(), expected = take()} end,
  held = function()
    return {check = 'held', key = take_key(), group = take(), consumer = take(), id = take(), deliveries = tonumber(take())}
  end,
}

local take_change = {
  append = function() return take_parts({op = 'append', key = take_key(), id = take()}) end,
  schedule = function()
    return take_parts({op = 'schedule', key = take_key(), schedule = take_key(), delay = tonumber(take())})
  end,
  put = function() return {op = 'put', key = take_key(), payload = take(), ttl = take()} end,
  delete = function() return {op = 'delete', key = take_key()} end,
  ack = function() return {op = 'ack', key = take_key(), group = take(), id = take()} end,
  ackdel = function() return {op = 'ackdel', key = take_key(), group = take(), id = take()} end,
  release = function()
    return {
      op = 'release', source = take_key(), key = take_key(), schedule = take_key(), group = take(), id = take(),
      deliveries = tonumber(take()), delay = tonumber(take()),
    }
  end,
}

local function take_list(kinds)
  local list = {}
  for i = 1, tonumber(take()) do list[i] = kinds[take()]() end
  return list
end

-- Conditions ------------------------------------------------------------------------------------------------------------------------

local function fence_name(key, group, consumer) return #key .. ':' .. #group .. ':' .. key .. group .. consumer end

local function pending(key, group, consumer, from, to, count)
  allow('XPENDING', key)
  local reply = try('XPENDING', key, group, from, to, count, consumer)
  if reply.err then
    -- No stream or no group: nothing is held there.
    if string.sub(reply.err, 1, 7) == 'NOGROUP' then return {} end
    refuse(reply.err)
  end
  return reply
end

local function learn_fence(fence)
  local reply = pending(fence.key, fence.group, fence.consumer, fence.min, fence.max, fence.count)
  fence.ids, fence.whole = {}, #reply < fence.count
  for _, entry in ipairs(reply) do fence.ids[entry[1]] = entry[4] end
end

local function is_held(condition)
  local fence = fences[fence_name(condition.key, condition.group, condition.consumer)]
  if fence then
    if not fence.ids then learn_fence(fence) end
    local deliveries = fence.ids[condition.id]
    if deliveries or fence.whole then return deliveries == condition.deliveries end
  end

  local entry = pending(condition.key, condition.group, condition.consumer, condition.id, condition.id, 1)[1]
  return entry ~= nil and entry[4] == condition.deliveries
end

local holds = {
  last = function(condition)
    local kind = type_of(condition.key)
    if kind ~= 'stream' and kind ~= 'none' then refuse('WRONGTYPE The key ' .. condition.key .. ' holds no stream') end
    return (last_id(condition.key) or '') == condition.expected
  end,
  state = function(condition)
    local kind = type_of(condition.key)
    if kind == 'none' then return condition.expected == '' end
    if kind ~= 'string' then refuse('WRONGTYPE The key ' .. condition.key .. ' holds no state document') end
    allow('GETRANGE', condition.key)
    return version_of(condition.key) == condition.expected
  end,
  held = is_held,
}

-- Checks: everything that could fail a write, before the first one ------------------------------------------------------------------

local grow = {}         -- the verbs that need memory, filled in below

-- plan.types: what keys will hold that are missing now. plan.last: last IDs after the appends checked so far, where they matter.
-- plan.explicit: streams that get an explicit ID. plan.growing: number of changes that add something. plan.final: state document -> index of the last change to it, the only one that shows.

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
  allow('ZADD', change.schedule)
  allow('ZRANGE', change.schedule)
end

local function plan_ack(plan, key)
  expect(plan, key, 'stream', false)
  allow('XACK', key)
end

-- The copy of a released entry: its fields, then where it came from and the deliveries that count besides those to come.
local function release_parts(change)
  local entry = read('XRANGE', change.source, change.id, change.id)[1]
  if not entry then return nil end
  local parts, source, deliveries = {}, change.id, change.deliveries - 1
  local fields = entry[2]
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    if name == 'sourceid' then source = value
    elseif name == 'priordeliveries' then deliveries = deliveries + (tonumber(value) or 0)
    else
      parts[#parts + 1] = name
      parts[#parts + 1] = value
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

local check = {
  append = plan_append,
  schedule = function(plan, change)
    plan_schedule(plan, change)
    allow('XADD', change.key)
  end,
  put = function(plan, change)
    expect(plan, change.key, 'string', true)
    allow('SET', change.key)
    allow('GETRANGE', change.key)
  end,
  delete = function(plan, change)
    expect(plan, change.key, 'string', false)
    allow('DEL', change.key)
  end,
  ack = function(plan, change) plan_ack(plan, change.key) end,
  ackdel = function(plan, change)
    plan_ack(plan, change.key)
    allow('XDEL', change.key)
  end,
  release = function(plan, change)
    plan_ack(plan, change.source)
    allow('XRANGE', change.source)
    expect(plan, change.key, 'stream', false)
    change.parts = release_parts(change)
    if not change.parts then return end

    expect(plan, change.key, 'stream', true)
    if not has_group(change.key, change.group) then
      allow('XGROUP', change.key, 'CREATE')
      plan.growing = plan.growing + 1
    end
    if change.delay > 0 then
      plan_schedule(plan, change)
      allow('XADD', change.key)
    else
      change.id_there = '*'
      local append = {key = change.key, id = '*'}
      plan_append(plan, append)
      change.id_there = append.id
    end
  end,
}

local function check_changes(changes)
  local plan = {types = {}, last = {}, explicit = {}, final = {}, growing = 0}
  for i, change in ipairs(changes) do
    if grow[change.op] then plan.growing = plan.growing + 1 end
    if change.op == 'append' and change.id ~= '*' then plan.explicit[change.key] = true end
    if change.op == 'put' or change.op == 'delete' then plan.final[change.key] = i end
  end
  for _, change in ipairs(changes) do check[change.op](plan, change) end
  return plan
end

-- Writes ----------------------------------------------------------------------------------------------------------------------------

local wrote = false     -- whether the commit at hand changed something already

local function write(...)
  local reply = try(...)
  if type(reply) == 'table' and reply.err then error({wrote and 3 or 2, reply.err}, 0) end
  wrote = true
  return reply
end

local function append(key, id, ...)
  local given = write('XADD', key, id, ...)
  types[key], last_ids[key] = 'stream', given
  return given
end

local function publish(stream)
  -- Without the right to the channel nobody is woken; the regular check of each process finds the entry a little later.
  if redis.acl_check_cmd('PUBLISH', 'millrace:scheduled', stream) then try('PUBLISH', 'millrace:scheduled', stream) end
end

-- Members of one due time are sorted by when they were scheduled: time in microseconds, then a counter, both big endian.
local function schedule(change, parts)
  scheduled = scheduled + 1
  local member = struct.pack('>I8I4', clock[1] * 1000000 + clock[2], scheduled) .. salt .. cmsgpack.pack(parts)
  write('ZADD', change.schedule, string.format('%.0f', now_ms + change.delay), member)
  types[change.schedule] = 'zset'
  if call('ZRANGE', change.schedule, 0, 0)[1] == member then publish(change.key) end
end

-- A version is the time in microseconds, so that it is new also for a document that was deleted; a put takes longer than one.
local function put(change)
  local version = now_us
  local previous = types[change.key] == 'string' and version_of(change.key) or versions[change.key]
  if previous and not less(previous, version) then version = increment(previous) end
  versions[change.key] = version
  local document = version .. '\n' .. change.payload
  if change.ttl == '' then write('SET', change.key, document) else write('SET', change.key, document, 'PX', change.ttl) end
  types[change.key] = 'string'
end

local function release(change)
  if not change.parts then return end
  if not has_group(change.key, change.group) then
    write('XGROUP', 'CREATE', change.key, change.group, '0-0', 'MKSTREAM')
    groups[change.key][change.group] = true
    if types[change.key] == 'none' then types[change.key], last_ids[change.key] = 'stream', '0-0' end
  end
  if change.delay > 0 then schedule(change, change.parts) else append(change.key, change.id_there, unpack(change.parts)) end
end

local function ack(key, group, id)
  local acked = write('XACK', key, group, id)
  for _, fence in pairs(fences) do
    if fence.ids and fence.key == key and fence.group == group then fence.ids[id] = nil end
  end
  return acked
end

grow.put, grow.release = put, release

function grow.append(change, ids)
  ids[#ids + 1] = append(change.key, change.id, unpack(ARGV, change.from, change.to))
end

function grow.schedule(change)
  local parts = {}
  for i = change.from, change.to do parts[#parts + 1] = ARGV[i] end
  schedule(change, parts)
end

local shrink = {
  delete = function(change)
    write('DEL', change.key)
    types[change.key] = 'none'
  end,
  ack = function(change) ack(change.key, change.group, change.id) end,
  ackdel = function(change)
    if ack(change.key, change.group, change.id) == 1 then write('XDEL', change.key, change.id) end
  end,
  release = function(change) ack(change.source, change.group, change.id) end,
}

local function apply(changes, plan)
  local ids = {0}
  for _, verbs in ipairs({grow, shrink}) do
    for i, change in ipairs(changes) do
      local verb = verbs[change.op]
      local shown = (change.op ~= 'put' and change.op ~= 'delete') or plan.final[change.key] == i
      if verb and shown then verb(change, ids) end
    end
  end
  return ids
end

-- The run ---------------------------------------------------------------------------------------------------------------------------

local function commit(conditions, changes)
  for i, condition in ipairs(conditions) do
    if not holds[condition.check](condition) then return {1, i - 1} end
  end
  return apply(changes, check_changes(changes))
end

for _ = 1, tonumber(take()) do
  local fence = {key = take_key(), group = take(), consumer = take(), min = take(), max = take(), count = tonumber(take())}
  fences[fence_name(fence.key, fence.group, fence.consumer)] = fence
end

local outcomes = {}
for i = 1, tonumber(take()) do
  local conditions = take_list(take_condition)
  local changes = take_list(take_change)
  wrote = false
  local ok, outcome = pcall(commit, conditions, changes)
  -- What is thrown here is an outcome; anything else is a mistake in this file.
  if not ok and type(outcome) ~= 'table' then error(outcome, 0) end
  outcomes[i] = outcome
end
return outcomes
