-- Ends a try of a source. One that was paid for in a window that is over has nothing to take back.
-- KEYS: source. ARGV: now, failures that it adds.
local known = redis.call('HMGET', KEYS[1], 'failures', 'under_way', 'end_time')
local end_time = tonumber(known[3])
if end_time and end_time > tonumber(ARGV[1]) then
  local failures = tonumber(known[1]) + tonumber(ARGV[2])
  redis.call('HSET', KEYS[1], 'failures', failures, 'under_way', math.max(tonumber(known[2]) - 1, 0))
end
return 1
