-- Says how a try that was paid for has ended. KEYS: the source. ARGV: now, failures to add.
local known = redis.call('HMGET', KEYS[1], 'under_way', 'end_time')
if not known[2] or tonumber(known[2]) <= tonumber(ARGV[1]) then
  return false
end
-- One that was paid for in a window that is over has nothing to take back.
redis.call('HSET', KEYS[1], 'under_way', math.max(tonumber(known[1]) - 1, 0))
redis.call('HINCRBY', KEYS[1], 'failures', ARGV[2])
return true
