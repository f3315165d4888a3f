-- Acknowledges entries and deletes those that were pending.
--
-- KEYS[1] stream   ARGV group, id...
-- Answers how many were pending.

local key, group = KEYS[1], ARGV[1]
local refusal = denied(key, 'XACK', 'XDEL')
if refusal then return refusal end

local acked = 0
for i = 2, #ARGV do
  local reply = redis.pcall('XACK', key, group, ARGV[i])
  if type(reply) == 'table' then return reply end
  if reply == 1 then
    acked = acked + 1
    redis.call('XDEL', key, ARGV[i])
  end
end
return acked
