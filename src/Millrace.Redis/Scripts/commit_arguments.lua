-- Reads the arguments of commit.lua, which are also those of MILLRACE.COMMIT on our own server. CommitCommand.cs and, in Millrace.Server,
-- CommitArguments.cs must change with this file.
--
-- KEYS      every key named below by its index, each once.
-- ARGV      salt, number of fences, fences, number of commits, commits:
--   fence     key group consumer min-id max-id count          what one XPENDING learns for many `held` conditions
--   commit    number of conditions, conditions, number of changes, changes
--   condition last key id|''  ·  state key version|''  ·  held key group consumer id deliveries  ·  entry key id
--             unread key id  ·  group key group last-delivered-id pending consumers
--             upkeep                                               the last one, which always holds: see `pass` in commit.lua
--   change    append key id|* n part*n  ·  schedule key schedule-key delay-ms n part*n  ·  put key payload ttl-ms|''  ·  delete key
--             remove key id  ·  ack key group id  ·  ackdel key group id  ·  leave key group consumer
--             destroy key again-key schedule-key order-key group
--             release key again-key schedule-key group id deliveries delay-ms

-- stream -> group -> list of {consumer, min, max, count}, and once it was asked for: ids = {id -> deliveries}, whole = nothing was left out
local fences = {}

-- Globals are looked up by name each time; the arguments are read often enough to feel it.
local arguments, keys, tonumber = ARGV, KEYS, tonumber
local position = 1      -- of the argument taken last

local function take()
  position = position + 1
  return arguments[position]
end

-- The few numbers there are come again and again, and looking one up is twenty times as fast as reading it.
local numbers = setmetatable({}, {
  __index = function(known, text)
    local number = tonumber(text)
    known[text] = number
    return number
  end,
})

local function key_at(at) return keys[numbers[arguments[at]]] end

-- A condition or a change is known by the position of its first word, and read from there when it is needed: making tables of them costs
-- as much as most commands. What ends with parts says at which offset how many; unpack(ARGV, from, to) hands them on without a copy.
local SIZES = {
  last = 3, state = 3, held = 6, entry = 3, unread = 3, group = 6, upkeep = 1,
  put = 4, delete = 2, remove = 3, ack = 4, ackdel = 4, leave = 4, destroy = 6, release = 8,
}
local COUNTS = {append = 3, schedule = 4}

local function parts(at)
  local count = at + COUNTS[arguments[at]]
  return count + 1, count + numbers[arguments[count]]
end

-- Fills a list with the positions of what is next; answers how many there are.
local function take_list(list)
  local count, at = numbers[arguments[position + 1]], position + 2
  for i = 1, count do
    list[i] = at
    local kind = arguments[at]
    local size = SIZES[kind]
    if size then
      at = at + size
    else
      local _, last = parts(at)
      at = last + 1
    end
  end
  position = at - 1
  return count
end

local function take_fences()
  for _ = 1, tonumber(take()) do
    local key, group, consumer = key_at(position + 1), arguments[position + 2], arguments[position + 3]
    position = position + 3
    fences[key] = fences[key] or {}
    local fenced = fences[key][group] or {}
    fences[key][group] = fenced
    fenced[#fenced + 1] = {consumer = consumer, min = take(), max = take(), count = tonumber(take())}
  end
end

