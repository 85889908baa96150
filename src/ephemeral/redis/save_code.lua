-- Puts a code beside an entry, in the place of the one before; nothing when it is unknown, has ended or has no attempt left.
-- KEYS: shelf. ARGV: now, hash, sealed code.
local packed = redis.call('HGET', KEYS[1], ARGV[2])
if not packed then
  return 0
end
local entry = cmsgpack.unpack(packed)
if entry[4] <= tonumber(ARGV[1]) or entry[3] == 0 then
  return 0
end
entry[6] = ARGV[3]
redis.call('HSET', KEYS[1], ARGV[2], cmsgpack.pack(entry))
return 1
