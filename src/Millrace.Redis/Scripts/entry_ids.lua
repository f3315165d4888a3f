-- Arithmetic of entry IDs and versions: they have 64 bits and Lua's numbers 53, so they stay decimal text without leading zeros.

local MAX = '18446744073709551615'

local function less(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end

local function increment(number)
  local head, digit, nines = string.match(number, '^(%d-)([0-8]?)(9*)$')
  if digit == '' then digit = '0' end
  return head .. (digit + 1) .. string.rep('0', #nines)
end

local function id_less(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  if a_ms ~= b_ms then return less(a_ms, b_ms) end
  return less(a_seq, b_seq)
end

