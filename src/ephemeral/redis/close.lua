-- Ends an entry.
-- KEYS: shelf. ARGV: hash.
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
