-- Looks at an entry; nothing when it is unknown or has ended.
-- KEYS: shelf. ARGV: now, hash.
local packed = redis.call('HGET', KEYS[1], ARGV[2])
if not packed then
  return false
end
local entry = cmsgpack.unpack(packed)
if entry[4] <= tonumber(ARGV[1]) then
  return false
end
return { ARGV[2], entry[5], entry[3], entry[4], entry[6] or '' }
