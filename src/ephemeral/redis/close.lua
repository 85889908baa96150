-- Ends an entry. KEYS: the shelf. ARGV: hash.
return redis.call('HDEL', KEYS[1], ARGV[1])
