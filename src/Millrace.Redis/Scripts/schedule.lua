-- Says how much is scheduled for a stream, by the clock of Redis.
--
-- KEYS[1] schedule
-- Answers how many entries wait, and the milliseconds until the first is due: 0 when it is, -1 when nothing waits.

local key = KEYS[1]
local refusal = denied(key, 'ZCARD', 'ZRANGE')
if refusal then return refusal end

local count = redis.pcall('ZCARD', key)
if type(count) == 'table' then return count end
local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
if not head[1] then return {0, -1} end
local clock = redis.call('TIME')
return {count, math.max(0, tonumber(head[2]) - (clock[1] * 1000 + math.floor(clock[2] / 1000)))}
