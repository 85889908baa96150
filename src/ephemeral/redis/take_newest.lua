-- Takes one attempt of the newest entry of a kind; nothing when there is none, or when that one has ended or has none left.
-- KEYS: shelf. ARGV: now, kind.
local hash, entry
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local known = cmsgpack.unpack(fields[i + 1])
  if known[1] == ARGV[2] and (not entry or known[2] > entry[2]) then
    hash, entry = fields[i], known
  end
end
if not entry or entry[4] <= tonumber(ARGV[1]) or entry[3] == 0 then
  return false
end
entry[3] = entry[3] - 1
redis.call('HSET', KEYS[1], hash, cmsgpack.pack(entry))
return { hash, entry[5], entry[3], entry[4] }
