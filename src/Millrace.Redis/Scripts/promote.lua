-- Moves the due entries of a schedule to their stream, by the clock of Redis, each in one step: nobody can see it twice or not at all.
--
-- KEYS    schedule, stream
-- ARGV    how many entries to move at most; the bytes of members after which it moves no more
-- Answers the milliseconds until the next entry is due: 0 when there are more due now, -1 when nothing is scheduled.
--
-- A member of the schedule is 20 bytes that make it unique and sort it (see `schedule` in commit.lua), then the packed parts of the entry.

local schedule, stream, most, most_bytes = KEYS[1], KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[2])

-- An entry that could be added but not taken out of the schedule would be added again and again.
local refusal = denied(schedule, 'ZRANGE', 'ZREM') or denied(stream, 'XADD')
if refusal then return refusal end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- One member at a time: what is asked for together is copied together, however large each is.
local moved, bytes = 0, 0
while true do
  local head = redis.pcall('ZRANGE', schedule, 0, 0, 'WITHSCORES')
  if head.err then return head end
  local member = head[1]
  if not member then return -1 end
  local wait = tonumber(head[2]) - now
  if wait > 0 or moved == most or bytes >= most_bytes then return math.max(0, wait) end

  -- At maxmemory Redis refuses what may need memory, but only as the first write of a script. Moving needs none in the end: so that what was
  -- accepted long ago, a retry perhaps, does not wait for room that only it would make, something goes first that takes nothing out.
  if moved == 0 then
    local refused = redis.pcall('ZREM', schedule, '')
    if type(refused) == 'table' then return refused end
  end

  local added = redis.pcall('XADD', stream, '*', unpack(cmsgpack.unpack(string.sub(member, 21))))
  if type(added) == 'table' then return added end
  redis.call('ZREM', schedule, member)
  moved, bytes = moved + 1, bytes + #member
end
