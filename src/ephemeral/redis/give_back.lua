-- Gives an attempt back to an entry that is still there.
-- KEYS: shelf. ARGV: hash.
local packed = redis.call('HGET', KEYS[1], ARGV[1])
if packed then
  local entry = cmsgpack.unpack(packed)
  entry[3] = entry[3] + 1
  redis.call('HSET', KEYS[1], ARGV[1], cmsgpack.pack(entry))
end
return 1
