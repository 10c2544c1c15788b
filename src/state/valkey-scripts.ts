// What runs inside Valkey, each as one atomic step. Its counters are those of quota-counter.ts, with the same names; a test holds the
// two against each other. Times are whole milliseconds of the server's clock.

/**
 * Prefix of all keys, which keeps them in one slot. `epoch` is a hash: `run` the server's run that wrote it, `gen` a number that counters
 * carry, `unknown` the time before which it is not known what was let through ('' where all is), `opens` the time from which quota
 * is given, `fresh` 1 where nobody knew of an epoch before it.
 */
export const VALKEY_PREFIX = '{mayfly-quota}:'

/**
 * KEYS: epoch. ARGV: the server's run, the run that this mesh last knew ('' none), milliseconds for which a lease and the clocks of two
 * servers may reach beyond a loss, milliseconds after which meshes that know of a loss have told it. Gives the milliseconds until it opens.
 *
 * A server that is started anew may have lost everything, or the last of it: its run is another. What was let through before is unknown then.
 */
export const VALKEY_EPOCH_SCRIPT = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch = redis.call('HMGET', KEYS[1], 'run', 'gen', 'unknown', 'opens', 'fresh')
local run, known = ARGV[1], ARGV[2]
local function begin(unknown, opens, fresh)
  redis.call('HSET', KEYS[1], 'run', run, 'gen', (tonumber(epoch[2]) or 0) + 1, 'unknown', unknown, 'opens', opens, 'fresh', fresh)
  return opens - now
end
if not epoch[1] and known == '' then return begin('', now + tonumber(ARGV[4]), 1) end
local lost = epoch[1] ~= run or (epoch[5] == '1' and known ~= '' and known ~= run)
if lost then return begin(now + tonumber(ARGV[3]), now, 0) end
return math.max(0, tonumber(epoch[4]) - now)
`

/**
 * KEYS: epoch, then for each operation its counter and its limit's index. ARGV: the server's run, JSON of the operations and the round
 * trip. Gives JSON: a grant for each ask, or an error EPOCH where the run is not the epoch's.
 */
export const VALKEY_QUOTA_SCRIPT = `
local time = redis.call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch = redis.call('HMGET', KEYS[1], 'run', 'gen', 'unknown', 'opens')
if epoch[1] ~= ARGV[1] then return redis.error_reply('EPOCH') end
local gen = tonumber(epoch[2])
local request = cjson.decode(ARGV[2])
local LEASE_PART, SHORTEST, LONGEST, AHEAD_PART, BUCKETS, GRACE, RECHECK = 50, 20, 1000, 16, 64, 100, 20
if clock < tonumber(epoch[4]) then
  local grants = {}
  for _, op in ipairs(request.ops) do
    if op.ask then grants[#grants + 1] = { kind = 'unavailable', retryMs = tonumber(epoch[4]) - clock } end
  end
  return cjson.encode(grants)
end

local function sum(pairs)
  local total = 0
  for _, pair in ipairs(pairs) do total = total + pair[2] end
  return total
end
local function add(pairs, place, requests)
  if requests == 0 then return end
  local i = #pairs
  while i > 0 and pairs[i][1] > place do i = i - 1 end
  local pair = pairs[i]
  if not pair or pair[1] ~= place then
    if requests > 0 then table.insert(pairs, i + 1, { place, requests }) end
    return
  end
  pair[2] = pair[2] + requests
  if pair[2] <= 0 then table.remove(pairs, i) end
end
local function bucketMs(rule)
  if rule.fixed then return rule.windowMs end
  return math.ceil(rule.windowMs / BUCKETS)
end
local function bucketOf(rule, untilMs)
  local buckets = untilMs / bucketMs(rule)
  if rule.fixed then return math.ceil(buckets) - 1 end
  return math.floor(buckets)
end
local function forgetSpent(counter, rule)
  local reach = rule.windowMs
  if rule.fixed then reach = 0 end
  local first = math.floor((counter.at - reach) / bucketMs(rule))
  while counter.spent[1] and counter.spent[1][1] < first do table.remove(counter.spent, 1) end
end
local function advance(counter, rule)
  local at = math.max(clock, counter.at)
  counter.level = math.max(0, counter.level - (at - counter.at) * rule.requests / rule.windowMs)
  counter.at = at
  while counter.leased[1] and counter.leased[1][1] + GRACE <= at do
    local lease = table.remove(counter.leased, 1)
    counter.moved = true
    if rule.burst then counter.level = counter.level + lease[2] end
  end
  forgetSpent(counter, rule)
end
local function expiry(counter, rule)
  local last = counter.at
  local bucket = counter.spent[#counter.spent]
  if bucket then
    local ends = (bucket[1] + 1) * bucketMs(rule)
    if not rule.fixed then ends = ends + rule.windowMs end
    last = math.max(last, ends)
  end
  local lease = counter.leased[#counter.leased]
  if lease then last = math.max(last, lease[1] + GRACE) end
  if rule.burst then
    last = last + math.ceil((counter.level + sum(counter.leased)) * rule.windowMs / rule.requests)
  end
  return last
end
local function windowEnd(rule, at)
  return (math.floor(at / rule.windowMs) + 1) * rule.windowMs
end
local function resetIn(counter, rule)
  if rule.fixed then return windowEnd(rule, counter.at) - counter.at end
  local oldest = counter.spent[1]
  if not oldest then return rule.windowMs end
  return (oldest[1] + 1) * bucketMs(rule) + rule.windowMs - counter.at
end
local function bucketIn(counter, rule, outstanding)
  return math.max(0, counter.level + outstanding + 1 - rule.burst) * rule.windowMs / rule.requests
end

local counters = {}
local function load(op, counterKey, indexKey)
  local known = counters[counterKey]
  if known then return known end
  local kept = redis.call('GET', counterKey)
  local counter = kept and cmsgpack.unpack(kept)
  if counter and counter.gen ~= gen then counter = nil end
  if not counter then
    if not op.ask then return nil end
    redis.call('ZREMRANGEBYSCORE', indexKey, '-inf', clock)
    if not redis.call('ZSCORE', indexKey, counterKey) and redis.call('ZCARD', indexKey) >= op.rule.maxKeys then return nil end
    counter = { gen = gen, at = 0, spent = {}, level = 0, leased = {} }
    if epoch[3] ~= '' then
      local unknown = tonumber(epoch[3])
      counter.at = unknown
      counter.spent = { { math.floor(unknown / bucketMs(op.rule)), op.rule.requests } }
      counter.level = op.rule.burst or 0
    end
  end
  counters[counterKey] = counter
  return counter
end
local function save(counter, rule, counterKey, indexKey)
  counter.moved = nil
  local ends = expiry(counter, rule)
  local left = math.max(1, ends - clock)
  redis.call('SET', counterKey, cmsgpack.pack(counter), 'PX', left)
  redis.call('ZADD', indexKey, ends, counterKey)
  -- The index lives as long as the longest of its counters.
  if redis.call('PTTL', indexKey) < left then redis.call('PEXPIRE', indexKey, left) end
end
local function settle(counter, rule, use)
  advance(counter, rule)
  local leased = 0
  for _, lease in ipairs(counter.leased) do
    if lease[1] == use['until'] then leased = lease[2] end
  end
  local settled = math.min(leased, use.used + use.returned)
  local used = settled - math.min(use.returned, settled)
  add(counter.leased, use['until'], -settled)
  add(counter.spent, bucketOf(rule, use['until']), -settled)
  local place = bucketOf(rule, use['until'])
  if not rule.fixed then place = bucketOf(rule, math.min(use['until'], counter.at - math.floor(use.ageMs))) end
  add(counter.spent, place, used)
  if rule.burst then counter.level = counter.level + used end
  forgetSpent(counter, rule)
end
local function grant(counter, rule, ask)
  advance(counter, rule)
  local at = counter.at
  local outstanding = sum(counter.leased)
  local inWindow = rule.requests - sum(counter.spent)
  local inBucket = math.huge
  if rule.burst then inBucket = math.floor(rule.burst - counter.level - outstanding) end
  local free = math.max(0, math.min(inWindow, inBucket))
  local wanted = math.min(free, ask.waiting)
  local granted = wanted + math.min(ask.ahead, math.floor((free - wanted) / AHEAD_PART))
  local life = math.min(LONGEST, math.max(rule.windowMs / LEASE_PART, 4 * request.roundTripMs, SHORTEST))
  local untilMs = math.floor(at + life)
  if rule.fixed then untilMs = math.min(untilMs, windowEnd(rule, at)) end
  add(counter.spent, bucketOf(rule, untilMs), granted)
  add(counter.leased, untilMs, granted)
  local resetMs = resetIn(counter, rule)
  local retryMs = 0
  if inWindow <= granted then retryMs = resetMs end
  if inBucket <= granted then retryMs = math.max(retryMs, bucketIn(counter, rule, outstanding + granted)) end
  local recheckMs = retryMs
  if outstanding + granted > 0 then recheckMs = math.min(retryMs, RECHECK) end
  return {
    kind = 'granted', granted = granted, remaining = free - granted, resetMs = resetMs, retryMs = retryMs, recheckMs = recheckMs,
    -- The clock's fraction of a millisecond is cut off.
    ['until'] = untilMs, validMs = untilMs - at - 1,
  }
end

local grants = {}
for i, op in ipairs(request.ops) do
  local counterKey, indexKey = KEYS[2 * i], KEYS[2 * i + 1]
  local counter = load(op, counterKey, indexKey)
  if op.ask and not counter then
    local first = redis.call('ZRANGE', indexKey, 0, 0, 'WITHSCORES')
    grants[#grants + 1] = { kind = 'full', retryMs = math.max(1, (tonumber(first[2]) or clock) - clock) }
  elseif op.ask then
    local given = grant(counter, op.rule, op.ask)
    grants[#grants + 1] = given
    if given.granted > 0 or counter.moved then save(counter, op.rule, counterKey, indexKey) end
  elseif counter then
    settle(counter, op.rule, op.use)
    save(counter, op.rule, counterKey, indexKey)
  end
end
if #grants == 0 then return '[]' end
return cjson.encode(grants)
`
