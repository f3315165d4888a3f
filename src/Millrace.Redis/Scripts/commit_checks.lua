-- What commit.lua looks at before it writes: the conditions of a commit, and everything that could fail one of its writes.
--
-- Redis runs the whole text for each call, so every function costs something even when it is not used.

local call, try = redis.call, redis.pcall
local MAX_PARTS = 7900  -- names and values of an entry; unpack takes 8,000 and fails in mid-commit. Only others append so many.

local clock = call('TIME')
local now_ms = clock[1] * 1000 + math.floor(clock[2] / 1000)
local now_us = clock[1] .. string.rep('0', 6 - #clock[2]) .. clock[2]
local salt = ARGV[1]
local scheduled = 0     -- entries scheduled so far; makes the members of a schedule unique and keeps their order
local wrote = false     -- whether the commit at hand changed something already
local upkeep = false    -- whether it may write also when the memory is used up
local full              -- the refusal that an upkeep commit got past: the other commits get it from us, for Redis refuses nothing any more

-- What this run knows.
local types = {}        -- key -> type, 'none' when missing
local last_ids = {}     -- stream -> last generated ID, false when missing
local current = {}      -- state document -> its version, false when it has none
local versions = {}     -- state document -> version this run gave it last, also when it was deleted since
local groups = {}       -- stream -> group -> true, for groups known to exist
local acks = {}         -- stream -> group -> IDs that are acknowledged but for the XACK
local may_add, may_ack = {}, {}
local allowed = {XADD = may_add, XACK = may_ack}    -- command -> key -> true, for rights that were checked

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

-- Asking for a right takes longer than most writes, and a run writes hundreds of documents. So it is asked once for all keys, which only MSET
-- allows; a document without a time to live is then written with it. Whoever may not run MSET is asked for SET, key by key.
local puts_all

local function allow_put(key, ttl)
  if puts_all == nil then
    local pairs_of = {}
    for i = 1, math.min(#keys, MAX_PARTS / 2) do pairs_of[2 * i - 1], pairs_of[2 * i] = keys[i], '' end
    -- A server may have no MSET at all: then this is an error, and no answer.
    local is_known, may = pcall(redis.acl_check_cmd, 'MSET', unpack(pairs_of))
    puts_all = #keys <= MAX_PARTS / 2 and redis.acl_check_cmd('SET', key) and is_known and may or false
  end
  if ttl ~= '' or not puts_all then allow('SET', key) end
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
  local known = current[key]
  if known == nil then
    allow('GETRANGE', key)
    known = string.match(call('GETRANGE', key, '0', '20'), '^(%d+)\n') or false
    current[key] = known
  end
  return known
end

-- The type of what should be a state document. Where it is one, as nearly always, one command learns its version as well.
local function type_of_state(key)
  if types[key] then return types[key] end
  local head = try('GETRANGE', key, '0', '20')
  if type(head) == 'table' or head == '' then return type_of(key) end
  types[key], current[key] = 'string', string.match(head, '^(%d+)\n') or false
  return 'string'
end

-- Conditions ------------------------------------------------------------------------------------------------------------------------

-- Acks are sent together, before the first command that could tell, and at the latest when the run ends. They are checked like any other
-- change, and nothing is left that could fail them.
local function send_acks()
  for key, acked in pairs(acks) do
    for group, list in pairs(acked) do call('XACK', key, group, unpack(list)) end
  end
  acks = {}
end

local function pending(key, group, consumer, from, to, count)
  allow('XPENDING', key)
  send_acks()
  local reply = try('XPENDING', key, group, from, to, count, consumer)
  if reply.err then
    -- No stream or no group: nothing is held there.
    if string.sub(reply.err, 1, 7) == 'NOGROUP' then return {} end
    refuse(reply.err)
  end
  return reply
end

local function is_held(key, group, consumer, id, deliveries)
  local fenced = fences[key] and fences[key][group]
  local fence = fenced and fenced[1]
  for i = 2, fenced and #fenced or 0 do
    if fenced[i].consumer == consumer then fence = fenced[i] end
  end
  if fence and fence.consumer == consumer then
    if not fence.ids then
      local entries = pending(key, group, consumer, fence.min, fence.max, fence.count)
      fence.ids, fence.whole = {}, #entries < fence.count
      for _, entry in ipairs(entries) do fence.ids[entry[1]] = entry[4] end
    end
    local known = fence.ids[id]
    if known or fence.whole then return known == deliveries end
  end

  local entry = pending(key, group, consumer, id, id, 1)[1]
  return entry ~= nil and entry[4] == deliveries
end

local function is_unread(key, id)
  allow('XINFO', key, 'GROUPS')
  for _, info in ipairs(read('XINFO', 'GROUPS', key)) do
    for i = 1, #info, 2 do
      if info[i] == 'last-delivered-id' and not id_less(info[i + 1], id) then return false end
    end
  end
  return true
end

local function stands(key, at)
  allow('XINFO', key, 'GROUPS')
  send_acks()
  for _, info in ipairs(read('XINFO', 'GROUPS', key)) do
    local known = {}
    for i = 1, #info, 2 do known[info[i]] = info[i + 1] end
    if known.name == arguments[at + 2] then
      return known['last-delivered-id'] == arguments[at + 3]
        and known.pending == numbers[arguments[at + 4]] and known.consumers == numbers[arguments[at + 5]]
    end
  end
  return false
end

local function holds(at)
  local kind, key, expected = arguments[at], key_at(at + 1), arguments[at + 2]
  if kind == 'held' then return is_held(key, expected, arguments[at + 3], arguments[at + 4], numbers[arguments[at + 5]]) end

  if kind == 'state' then
    local found = type_of_state(key)
    if found == 'none' then return expected == '' end
    if found ~= 'string' then refuse('WRONGTYPE The key ' .. key .. ' holds no state document') end
    return version_of(key) == expected
  end

  if kind == 'upkeep' then
    upkeep = true
    return true
  end

  local found = type_of(key)
  if found ~= 'stream' and found ~= 'none' then refuse('WRONGTYPE The key ' .. key .. ' holds no stream') end
  if kind == 'last' then return (last_id(key) or '') == expected end
  if found == 'none' then return false end
  if kind == 'group' then return stands(key, at) end
  allow('XRANGE', key)
  if not read('XRANGE', key, expected, expected)[1] then return false end
  return kind == 'entry' or is_unread(key, expected)
end

-- Checks: everything that could fail a write, before the first one ------------------------------------------------------------------

-- What the checks of the commit at hand found out. A table costs as much as a command: those that few commits need are made for them,
-- and what is kept by position, which no two commits share, is never cleared.
local made              -- key -> type that this commit gives it
local planned           -- stream -> last ID after the appends checked so far, where it matters
local explicit          -- streams that get an explicit ID
local adding            -- how many changes add to a stream or a schedule
local puts              -- whether one puts a document
local final = {}        -- state document -> position of the last change to it, the only one that shows
local ids = {}          -- position -> ID, in streams with an explicit one
local copies = {}       -- position -> parts of the released entry
local leaves = {}       -- position -> whether the group is there

local function expect(key, kind, makes)
  local found = types[key] or (kind == 'string' and type_of_state or type_of)(key)
  if found == kind then return end
  if found == 'none' then found = made and made[key] or found end
  if found == 'none' then
    if makes then
      made = made or {}
      made[key] = kind
    end
  elseif found ~= kind then
    refuse('WRONGTYPE The key ' .. key .. ' holds a ' .. found .. ', not a ' .. kind)
  end
end

local function next_id(last)
  local ms, seq = string.match(last, '^(%d+)-(%d+)$')
  local now = string.format('%.0f', now_ms)
  if less(ms, now) then return now .. '-0' end
  if seq ~= MAX then return ms .. '-' .. increment(seq) end
  if ms ~= MAX then return increment(ms) .. '-0' end
  refuse('IDNOTINC The stream has no larger ID left')
end

-- A stream that gets an explicit ID in this commit gets only explicit ones, so that each can be compared with the one before. An entry
-- without one needs no look at the last ID when it is all the commit adds: it is the first write, which may still fail.
local function plan_append(at, key, id)
  expect(key, 'stream', true)
  allow('XADD', key)
  local is_explicit = explicit and explicit[key]
  if adding == 1 and not is_explicit then return end

  planned = planned or {}
  local last = planned[key] or last_id(key) or '0-0'
  if id == '*' then id = next_id(last) end
  if not id_less(last, id) then
    refuse('IDNOTINC The ID ' .. id .. ' is not above the last ID ' .. last .. ' of the stream ' .. key)
  end
  planned[key] = id
  if is_explicit then ids[at] = id end
end

local function plan_schedule(key, schedule)
  expect(key, 'stream', false)
  expect(schedule, 'zset', true)
  allow('XADD', key)
  allow('ZADD', schedule)
  allow('ZRANGE', schedule)
end

-- The copy of a released entry: its fields, then where it came from and the deliveries that count besides those to come.
local function copy_parts(key, id, prior)
  local entry = read('XRANGE', key, id, id)[1]
  if not entry then return nil end

  local fields, copy, source, deliveries = entry[2], {}, id, prior
  if #fields > MAX_PARTS then refuse('LIMIT The entry ' .. id .. ' has more fields than a script can copy') end
  for i = 1, #fields, 2 do
    if fields[i] == 'sourceid' then
      source = fields[i + 1]
    elseif fields[i] == 'priordeliveries' then
      deliveries = deliveries + (tonumber(fields[i + 1]) or 0)
    else
      copy[#copy + 1] = fields[i]
      copy[#copy + 1] = fields[i + 1]
    end
  end

  copy[#copy + 1] = 'sourceid'
  copy[#copy + 1] = source
  if deliveries > 0 then
    copy[#copy + 1] = 'priordeliveries'
    copy[#copy + 1] = string.format('%.0f', deliveries)
  end
  return copy
end

-- source, again, schedule: the keys of the entry's stream, of where its copy goes, and of where that waits.
local function plan_release(at, source, again, schedule, group)
  expect(source, 'stream', false)
  expect(again, 'stream', false)
  allow('XACK', source)
  allow('XRANGE', source)
  local copy = copy_parts(source, arguments[at + 5], numbers[arguments[at + 6]] - 1)
  if not copy then return end

  copies[at] = copy
  expect(again, 'stream', true)
  if not has_group(again, group) then
    allow('XGROUP', again, 'CREATE')
    adding = adding + 1
  end
  if numbers[arguments[at + 7]] > 0 then
    plan_schedule(again, schedule)
  else
    plan_append(at, again, '*')
  end
end

local function check(at)
  local kind, key = arguments[at], key_at(at + 1)
  if kind == 'append' then
    -- A stream that was found good for an entry without an ID is so for the rest of the run.
    if adding > 1 or explicit or types[key] ~= 'stream' or not may_add[key] then plan_append(at, key, arguments[at + 2]) end
  elseif kind == 'put' then
    expect(key, 'string', true)
    allow_put(key, arguments[at + 3])
    if types[key] == 'string' and current[key] == nil then version_of(key) end
  elseif kind == 'ack' then
    if types[key] ~= 'stream' or not may_ack[key] then
      expect(key, 'stream', false)
      allow('XACK', key)
    end
  elseif kind == 'ackdel' then
    expect(key, 'stream', false)
    allow('XACK', key)
    allow('XDEL', key)
  elseif kind == 'schedule' then
    plan_schedule(key, key_at(at + 2))
  elseif kind == 'delete' then
    expect(key, 'string', false)
    allow('DEL', key)
  elseif kind == 'destroy' then
    expect(key, 'stream', false)
    allow('XGROUP', key, 'DESTROY')
    for i = 2, 4 do
      expect(key_at(at + i), i == 3 and 'zset' or 'stream', false)
      allow('UNLINK', key_at(at + i))
    end
  elseif kind == 'release' then
    plan_release(at, key, key_at(at + 2), key_at(at + 3), arguments[at + 4])
  elseif kind == 'remove' then
    expect(key, 'stream', false)
    allow('XDEL', key)
  else
    expect(key, 'stream', false)
    allow('XPENDING', key)
    allow('XGROUP', key, 'DELCONSUMER')
    leaves[at] = has_group(key, arguments[at + 2])
  end
end

local function check_changes(changes, count)
  made, planned, explicit, adding, puts = nil, nil, nil, 0, false
  for i = 1, count do
    local at = changes[i]
    local kind = arguments[at]
    if kind == 'append' or kind == 'schedule' or kind == 'release' then
      adding = adding + 1
      if kind == 'append' and arguments[at + 2] ~= '*' then
        explicit = explicit or {}
        explicit[key_at(at + 1)] = true
      end
    elseif kind == 'put' or kind == 'delete' then
      final[key_at(at + 1)] = at
      puts = puts or kind == 'put'
    end
  end
  for i = 1, count do check(changes[i]) end
  if full and not upkeep and (puts or adding > 0) then refuse(full) end
end

