-- Takes one attempt of the newest entry of these kinds, unless entries of more than one of them are open. Answers how many kinds
-- have one, and the entry when it is one.
-- KEYS: shelf. ARGV: now, kinds.
local now, newest = tonumber(ARGV[1]), {}
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local known = cmsgpack.unpack(fields[i + 1])
  if not newest[known[1]] or known[2] > newest[known[1]].entry[2] then
    newest[known[1]] = { hash = fields[i], entry = known }
  end
end
local open, found = 0, nil
for i = 2, #ARGV do
  local candidate = newest[ARGV[i]]
  if candidate and candidate.entry[4] > now and candidate.entry[3] > 0 then
    open, found = open + 1, candidate
  end
end
if open ~= 1 then
  return { open, false }
end
local hash, entry = found.hash, found.entry
entry[3] = entry[3] - 1
redis.call('HSET', KEYS[1], hash, cmsgpack.pack(entry))
return { 1, { hash, entry[5], entry[3], entry[4], entry[6] or '' } }
