-- Looks at an entry. KEYS: the shelf. ARGV: now, hash.
local value = redis.call('HGET', KEYS[1], ARGV[2])
if not value then
  return false
end
local _, _, left, _, end_time, sealed = cmsgpack.unpack(value)
if end_time <= tonumber(ARGV[1]) then
  return false
end
return { ARGV[2], sealed, left, end_time }
