-- Reads the arguments of commit.lua, which are also those of MILLRACE.COMMIT on our own server. CommitCommand.cs and, in Millrace.Server,
-- CommitArguments.cs must change with this file.
--
-- KEYS      every key named below by its index, each once.
-- ARGV      salt, number of fences, fences, number of commits, commits:
--   fence     key group consumer min-id max-id count          what one XPENDING learns for many `held` conditions
--   commit    number of conditions, conditions, number of changes, changes
--   condition last key id|''  ·  state key version|''  ·  held key group consumer id deliveries  ·  entry key id
--   change    append key id|* n part*n  ·  schedule key schedule-key delay-ms n part*n  ·  put key payload ttl-ms|''  ·  delete key
--             remove key id  ·  ack key group id  ·  ackdel key group id  ·  leave key group consumer
--             release key again-key schedule-key group id deliveries delay-ms

-- stream -> group -> consumer -> {min, max, count}, and once it was asked for: ids = {id -> deliveries}, whole = nothing was left out
local fences = {}

-- Globals are looked up by name each time; the arguments are read often enough to feel it.
local arguments, keys, tonumber = ARGV, KEYS, tonumber
local position = 1      -- of the argument taken last

local function take()
  position = position + 1
  return arguments[position]
end

local function take_key() return keys[tonumber(take())] end

-- The parts of an entry stay where they are: unpack(ARGV, from, to) hands them on without a copy.
local function take_parts(change)
  local count = tonumber(take())
  change.from, change.to = position + 1, position + count
  position = change.to
  return change
end

local function take_condition()
  local at = position
  local kind, key = arguments[at + 1], keys[tonumber(arguments[at + 2])]
  if kind == 'held' then
    position = at + 6
    return {
      kind = kind, key = key, group = arguments[at + 3], consumer = arguments[at + 4], id = arguments[at + 5],
      deliveries = tonumber(arguments[at + 6]),
    }
  end
  position = at + 3
  return {kind = kind, key = key, expected = arguments[at + 3]}
end

local function take_change()
  local at = position
  local kind, key = arguments[at + 1], keys[tonumber(arguments[at + 2])]
  if kind == 'ack' or kind == 'ackdel' then
    position = at + 4
    return {kind = kind, key = key, group = arguments[at + 3], id = arguments[at + 4]}
  end

  position = at + 2
  if kind == 'append' then return take_parts({kind = kind, key = key, id = take(), from = 0, to = 0}) end
  if kind == 'put' then return {kind = kind, key = key, payload = take(), ttl = take()} end
  if kind == 'delete' then return {kind = kind, key = key} end
  if kind == 'remove' then return {kind = kind, key = key, id = take()} end
  if kind == 'leave' then return {kind = kind, key = key, group = take(), consumer = take()} end
  if kind == 'schedule' then return take_parts({kind = kind, key = key, schedule = take_key(), delay = tonumber(take())}) end
  return {
    kind = kind, source = key, key = take_key(), schedule = take_key(), group = take(), id = take(), deliveries = tonumber(take()),
    delay = tonumber(take()),
  }
end

local function take_list(take_one)
  local list = {}
  for i = 1, tonumber(take()) do list[i] = take_one() end
  return list
end

local function take_fences()
  for _ = 1, tonumber(take()) do
    local key, group, consumer = take_key(), take(), take()
    fences[key] = fences[key] or {}
    fences[key][group] = fences[key][group] or {}
    fences[key][group][consumer] = {min = take(), max = take(), count = tonumber(take())}
  end
end

