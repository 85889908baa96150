-- Opens an entry: what has ended makes room, and the oldest of its kind die for it when there are as many as may be.
-- KEYS: shelf. ARGV: now, hash, kind, capacity, attempts, end time, sealed.
local shelf, now, hash, kind = KEYS[1], tonumber(ARGV[1]), ARGV[2], ARGV[3]
local last_end, newest, rivals, gone = tonumber(ARGV[6]), 0, {}, {}
local fields = redis.call('HGETALL', shelf)
for i = 1, #fields, 2 do
  local known = cmsgpack.unpack(fields[i + 1])
  if known[4] <= now or fields[i] == hash then
    gone[#gone + 1] = fields[i]
  else
    newest = math.max(newest, known[2])
    if known[1] == kind then
      rivals[#rivals + 1] = { known[2], fields[i], known[4] }
    else
      last_end = math.max(last_end, known[4])
    end
  end
end
table.sort(rivals, function(a, b) return a[1] < b[1] end)
local surplus = #rivals + 1 - tonumber(ARGV[4])
for i, rival in ipairs(rivals) do
  if i <= surplus then
    gone[#gone + 1] = rival[2]
  else
    last_end = math.max(last_end, rival[3])
  end
end
for _, field in ipairs(gone) do
  redis.call('HDEL', shelf, field)
end
local entry = { kind, newest + 1, tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] }
redis.call('HSET', shelf, hash, cmsgpack.pack(entry))
-- Only sweeps: whether an entry has ended is told by its end time and the caller's clock.
redis.call('PEXPIRE', shelf, string.format('%.0f', math.max(last_end - now, 0) + 60000))
return 1
