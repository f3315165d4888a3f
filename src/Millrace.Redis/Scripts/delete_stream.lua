-- Deletes a key if it holds a stream. UNLINK frees the memory of a large one outside the main thread.
--
-- KEYS[1] stream
-- Answers 1, or 0 when there is no such key.

local refusal = denied(KEYS[1], 'TYPE', 'UNLINK')
if refusal then return refusal end

local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return 0 end
if kind ~= 'stream' then return redis.error_reply('WRONGTYPE The key ' .. KEYS[1] .. ' holds a ' .. kind .. ', not a stream') end
return redis.pcall('UNLINK', KEYS[1])
