-- Moves the due entries of a schedule to their stream, by the clock of Redis, each in one step: nobody can see it twice or not at all.
--
-- KEYS    schedule, stream
-- ARGV    how many entries to move at most
-- Answers the milliseconds until the next entry is due: 0 when there are more due now, -1 when nothing is scheduled.
--
-- A member of the schedule is 20 bytes that make it unique and sort it (see `schedule` in commit.lua), then the packed parts of the entry.

local schedule, stream, most = KEYS[1], KEYS[2], tonumber(ARGV[1])

-- An entry that could be added but not taken out of the schedule would be added again and again.
local refusal = denied(schedule, 'ZRANGEBYSCORE', 'ZREM', 'ZRANGE') or denied(stream, 'XADD')
if refusal then return refusal end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local due = redis.pcall('ZRANGEBYSCORE', schedule, '-inf', string.format('%.0f', now), 'LIMIT', 0, most)
if due.err then return due end

-- At maxmemory Redis refuses what may need memory, but only as the first write of a script. Moving needs none in the end: so that what was
-- accepted long ago, a retry perhaps, does not wait for room that only it would make, something goes first that takes nothing out.
if due[1] then
  local refused = redis.pcall('ZREM', schedule, '')
  if type(refused) == 'table' then return refused end
end
for _, member in ipairs(due) do
  local added = redis.pcall('XADD', stream, '*', unpack(cmsgpack.unpack(string.sub(member, 21))))
  if type(added) == 'table' then return added end
  redis.call('ZREM', schedule, member)
end

local head = redis.call('ZRANGE', schedule, 0, 0, 'WITHSCORES')
if not head[1] then return -1 end
return math.max(0, tonumber(head[2]) - now)
