-- Runs one command on a stream that must exist. Redis answers a missing key with a plain ERR, which nobody can tell from other errors;
-- here it is a null.
--
-- KEYS[1] stream   ARGV the command

local refusal = denied(KEYS[1], 'TYPE')
if refusal then return refusal end
if redis.call('TYPE', KEYS[1]).ok == 'none' then return false end
if not redis.acl_check_cmd(unpack(ARGV)) then
  return redis.error_reply('NOPERM The user may not run ' .. ARGV[1] .. ' ' .. ARGV[2] .. ' on the key ' .. KEYS[1])
end
return redis.pcall(unpack(ARGV))
