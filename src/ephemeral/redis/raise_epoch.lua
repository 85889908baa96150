-- Remembers how far a database has come. Answers the furthest that is known.
-- KEYS: database. ARGV: epoch.
local epoch, known = tonumber(ARGV[1]), tonumber(redis.call('HGET', KEYS[1], 'epoch'))
if known and known >= epoch then
  return known
end
redis.call('HSET', KEYS[1], 'epoch', string.format('%.0f', epoch))
return epoch
