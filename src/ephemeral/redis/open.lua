-- Opens an entry. What has ended goes, and the oldest of the kind when the shelf holds as many as it may.
-- KEYS: the shelf. ARGV: now, hash, kind, capacity of the kind, attempts, end time, sealed content.
-- An entry is: kind, order, attempts left, attempts at first, end time, sealed content.
local now, end_time = tonumber(ARGV[1]), tonumber(ARGV[6])
local last, latest, of_kind = 0, end_time, {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local kind, order, _, _, ends = cmsgpack.unpack(all[i + 1])
  if ends <= now or all[i] == ARGV[2] then
    redis.call('HDEL', KEYS[1], all[i])
  else
    last = math.max(last, order)
    latest = math.max(latest, ends)
    if kind == ARGV[3] then
      table.insert(of_kind, { order = order, hash = all[i] })
    end
  end
end
table.sort(of_kind, function(a, b) return a.order < b.order end)
for i = 1, #of_kind + 1 - tonumber(ARGV[4]) do
  redis.call('HDEL', KEYS[1], of_kind[i].hash)
end
local attempts = tonumber(ARGV[5])
redis.call('HSET', KEYS[1], ARGV[2], cmsgpack.pack(ARGV[3], last + 1, attempts, attempts, end_time, ARGV[7]))
-- The entry holds its own end. This only clears away, by a clock that may be another.
redis.call('PEXPIRE', KEYS[1], latest - now + 60000)
return true
