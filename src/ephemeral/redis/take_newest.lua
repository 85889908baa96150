-- Takes one attempt of the newest entry of a kind. KEYS: the shelf. ARGV: now, kind.
local hash, newest = nil, 0
local all = redis.call('HGETALL', KEYS[1])
local left, most, end_time, sealed
for i = 1, #all, 2 do
  local kind, order, l, m, e, s = cmsgpack.unpack(all[i + 1])
  if kind == ARGV[2] and order > newest then
    hash, newest, left, most, end_time, sealed = all[i], order, l, m, e, s
  end
end
if not hash or end_time <= tonumber(ARGV[1]) or left == 0 then
  return false
end
redis.call('HSET', KEYS[1], hash, cmsgpack.pack(ARGV[2], newest, left - 1, most, end_time, sealed))
return { hash, sealed, left - 1, end_time }
