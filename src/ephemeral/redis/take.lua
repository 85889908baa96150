-- Takes one attempt of an entry. KEYS: the shelf. ARGV: now, hash.
local value = redis.call('HGET', KEYS[1], ARGV[2])
if not value then
  return false
end
local kind, order, left, most, end_time, sealed = cmsgpack.unpack(value)
if end_time <= tonumber(ARGV[1]) or left == 0 then
  return false
end
redis.call('HSET', KEYS[1], ARGV[2], cmsgpack.pack(kind, order, left - 1, most, end_time, sealed))
return { ARGV[2], sealed, left - 1, end_time }
