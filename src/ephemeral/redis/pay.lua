-- Pays for a try of a source. Answers 0 = paid, 1 = wait, 2 = full, and when the window ends.
-- KEYS: source. ARGV: now, capacity, end time of a window that begins now.
local now, capacity = tonumber(ARGV[1]), tonumber(ARGV[2])
local known = redis.call('HMGET', KEYS[1], 'failures', 'under_way', 'end_time')
local failures, under_way, end_time = tonumber(known[1]), tonumber(known[2]), tonumber(known[3])
if not end_time or end_time <= now then
  failures, under_way, end_time = 0, 0, tonumber(ARGV[3])
end
if failures >= capacity then
  return { 2, end_time }
end
if failures + under_way >= capacity then
  return { 1, end_time }
end
local exact = string.format('%.0f', end_time)
redis.call('HSET', KEYS[1], 'failures', failures, 'under_way', under_way + 1, 'end_time', exact)
-- Only sweeps: whether the window has ended is told by its end time and the caller's clock.
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', end_time - now + 60000))
return { 0, end_time }
