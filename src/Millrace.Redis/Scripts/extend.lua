-- Sets the idle time of held entries back to zero, for those that the consumer still holds with the delivery count it knows. JUSTID
-- keeps XCLAIM from counting a delivery.
--
-- XCLAIM drops a pending entry that is no longer in the stream. Its consumer still works on it, so it is left alone and counts as held,
-- although its idle time cannot be set back: who claims it later finds nothing.
--
-- KEYS[1] stream   ARGV group, consumer, then id and deliveries of each entry
-- Answers the ids that are still held. A missing stream or group holds nothing.

local key, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local held = {}

local refusal = denied(key, 'XPENDING', 'XRANGE', 'XCLAIM')
if refusal then return refusal end

for i = 3, #ARGV, 2 do
  local id = ARGV[i]
  local pending = redis.pcall('XPENDING', key, group, id, id, 1, consumer)
  if pending.err then
    if string.sub(pending.err, 1, 7) == 'NOGROUP' then return {} end
    return pending
  end
  if pending[1] and pending[1][4] == tonumber(ARGV[i + 1]) then
    if redis.call('XRANGE', key, id, id)[1] then redis.call('XCLAIM', key, group, consumer, 0, id, 'JUSTID') end
    held[#held + 1] = id
  end
end
return held
