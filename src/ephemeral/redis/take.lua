-- Takes one attempt of an entry; nothing when it is unknown, has ended or has none left.
-- KEYS: shelf. ARGV: now, hash.
local packed = redis.call('HGET', KEYS[1], ARGV[2])
if not packed then
  return false
end
local entry = cmsgpack.unpack(packed)
if entry[4] <= tonumber(ARGV[1]) or entry[3] == 0 then
  return false
end
entry[3] = entry[3] - 1
redis.call('HSET', KEYS[1], ARGV[2], cmsgpack.pack(entry))
return { ARGV[2], entry[5], entry[3], entry[4], entry[6] or '' }
