-- Pays for a try of a source. KEYS: the source. ARGV: now, capacity, span.
-- Answers: 0 = paid, 1 = wait for those that are under way, else the end of the window that is full.
local now, capacity = tonumber(ARGV[1]), tonumber(ARGV[2])
local known = redis.call('HMGET', KEYS[1], 'failures', 'under_way', 'end_time')
local failures, under_way, end_time = tonumber(known[1] or 0), tonumber(known[2] or 0), tonumber(known[3] or 0)
if end_time <= now then
  failures, under_way, end_time = 0, 0, now + tonumber(ARGV[3])
end
if failures >= capacity then
  return end_time
end
if failures + under_way >= capacity then
  return 1
end
redis.call('HSET', KEYS[1], 'failures', failures, 'under_way', under_way + 1, 'end_time', string.format('%.0f', end_time))
redis.call('PEXPIRE', KEYS[1], end_time - now + 60000)
return 0
