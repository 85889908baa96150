-- Gives an attempt back; never more than there were at first, should the call come twice. KEYS: the shelf. ARGV: hash.
local value = redis.call('HGET', KEYS[1], ARGV[1])
if not value then
  return false
end
local kind, order, left, most, end_time, sealed = cmsgpack.unpack(value)
redis.call('HSET', KEYS[1], ARGV[1], cmsgpack.pack(kind, order, math.min(left + 1, most), most, end_time, sealed))
return true
