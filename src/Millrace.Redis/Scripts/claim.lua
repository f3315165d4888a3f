-- Takes pending entries over for a consumer and says which of them are no longer in the stream: Redis 7.0 drops those without a word.
--
-- KEYS[1] stream   ARGV group, consumer, least idle time in ms, id...
-- Answers {{entry, deliveries}..., {ids that were pending but deleted}}, the deliveries including this one; or the error of XPENDING,
-- whose code is NOGROUP also when there is no stream.

local key, group, consumer, idle = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local taken, deleted = {}, {}

local refusal = denied(key, 'XPENDING', 'XCLAIM')
if refusal then return refusal end

for i = 4, #ARGV do
  local id = ARGV[i]
  local pending = redis.pcall('XPENDING', key, group, 'IDLE', idle, id, id, 1)
  if pending.err then return pending end
  if pending[1] then
    local entry = redis.call('XCLAIM', key, group, consumer, idle, id)[1]
    if entry then taken[#taken + 1] = {entry, pending[1][4] + 1} else deleted[#deleted + 1] = id end
  end
end

taken[#taken + 1] = deleted
return taken
