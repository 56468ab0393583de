"""What runs inside Redis, each script at once and as a whole. In: ARGV, as `shared.redis` writes it. Out: lists of texts and numbers.

Money is whole pico-USD in decimal. A Lua number is exact up to 2^53 only, 9,007 USD: so amounts are compared in two parts, of USD and of pico-USD, and
added by HINCRBY, which counts in 64 bits. Scripts name their keys themselves, so it is one Redis and no cluster of several.

`h:NAME` a hold (spent, held, ready, opened), `l:NAME` what was settled before it was ready, `k:NAME` ids that its sum has, `c:ID` a claim, `d:ID` at what
it is settled, `r:NAME` a rate, `p:NAME` requests at once, `leases` claims by their end, `epoch` when this Redis began to be used; `gates` when each
gateway was heard last, by this Redis's own clock, `g:GATE` its claims; `gone` claims of those that are dead, `gone_at` when they may be let go.
"""

_PARTS = """
local P = 'tl:'
local B = 1000000000000
local function parse(s)
  s = s or '0'
  if string.sub(s, 1, 1) == '-' then
    local u, p = unpack(parse(string.sub(s, 2)))
    -- The second part is never below nothing: -1 pico-USD is -1 USD and the rest of it.
    if p == 0 then return {-u, 0} end
    return {-u - 1, B - p}
  end
  if #s <= 12 then return {0, tonumber(s)} end
  return {tonumber(string.sub(s, 1, -13)), tonumber(string.sub(s, -12))}
end
local function sub(a, b)
  local u, p = a[1] - b[1], a[2] - b[2]
  if p < 0 then return {u - 1, p + B} end
  return {u, p}
end
local function less(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end
local function zero(a) return a[1] == 0 and a[2] == 0 end
local function text(a)
  if a[1] < 0 then return '0' end
  if a[1] == 0 then return string.format('%.0f', a[2]) end
  return string.format('%.0f%012.0f', a[1], a[2])
end
local function left(name, limit)
  local h = redis.call('HMGET', P .. 'h:' .. name, 'spent', 'held', 'ready')
  if h[3] ~= '1' then return nil end
  return sub(sub(parse(limit), parse(h[1])), parse(h[2]))
end
local function charge(name, id, cost)
  local key = P .. 'h:' .. name
  local ready = redis.call('HGET', key, 'ready')
  if ready == '1' then
    if cost ~= '0' and redis.call('SISMEMBER', P .. 'k:' .. name, id) == 0 then redis.call('HINCRBY', key, 'spent', cost) end
    return
  end
  if not ready then
    redis.call('HSET', key, 'spent', '0', 'held', '0', 'ready', '0', 'opened', '0')
    redis.call('PEXPIRE', key, 3456000000)
  end
  redis.call('HSET', P .. 'l:' .. name, id, cost)
  redis.call('PEXPIRE', P .. 'l:' .. name, 3600000)
end
-- What was charged for a request was not all: its record says another sum.
local function correct(name, id, before, cost)
  local key = P .. 'h:' .. name
  local ready = redis.call('HGET', key, 'ready')
  if ready ~= '1' then
    if ready then redis.call('HSET', P .. 'l:' .. name, id, cost) end
  elseif redis.call('SISMEMBER', P .. 'k:' .. name, id) == 0 then
    redis.call('HINCRBY', key, 'spent', cost)
    if before ~= '0' then redis.call('HINCRBY', key, 'spent', '-' .. before) end
  end
end
local function release(id, claim)
  if claim.released then return end
  for _, hold in ipairs(claim.holds) do
    if claim.amount ~= '0' and redis.call('EXISTS', P .. 'h:' .. hold[1]) == 1 then
      redis.call('HINCRBY', P .. 'h:' .. hold[1], 'held', '-' .. claim.amount)
    end
  end
  for _, name in ipairs(claim.places) do
    if redis.call('DECR', P .. 'p:' .. name) <= 0 then redis.call('DEL', P .. 'p:' .. name) end
  end
end
local function keep(id, claim) redis.call('SET', P .. 'c:' .. id, cjson.encode(claim), 'PX', 86400000) end
local function known(id)
  local found = redis.call('GET', P .. 'c:' .. id)
  return found and cjson.decode(found)
end
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function let_go(id)
  local claim = known(id)
  if claim then
    release(id, claim)
    claim.released = true
    keep(id, claim)
    redis.call('SREM', P .. 'g:' .. (claim.gate or ''), id)
  end
end
-- Whether it was heard before. What the dead held is let go on the way, a few each time.
local function hear(gate)
  local at = clock()
  local was_known = redis.call('ZADD', P .. 'gates', at, gate) == 0
  if at >= tonumber(redis.call('GET', P .. 'gone_at') or '0') then
    for _, id in ipairs(redis.call('SPOP', P .. 'gone', 100)) do let_go(id) end
  end
  return was_known
end
local function sweep(now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', now, 'LIMIT', 0, 50)) do
    redis.call('ZREM', P .. 'leases', id)
    let_go(id)
  end
end
"""

CLAIM = (
    _PARTS
    + """
local now, id, amount, least = tonumber(ARGV[1]), ARGV[2], parse(ARGV[3]), parse(ARGV[4])
local lease, tokens, wait, gate = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local epoch = redis.call('GET', P .. 'epoch')
if not epoch then
  epoch = ARGV[1]
  redis.call('SET', P .. 'epoch', epoch)
end
local before = known(id)
if before then return {epoch, 'grant', before.amount} end
sweep(now)
local at = 9
local holds, places, rates, refusal = {}, {}, {}, nil
local granted, tightest = amount, nil
for _ = 1, tonumber(ARGV[at]) do
  local name, limit = ARGV[at + 1], ARGV[at + 2]
  at = at + 2
  holds[#holds + 1] = {name, limit}
  local rest = left(name, limit)
  if not rest or now < tonumber(epoch) + wait then
    refusal = refusal or {'unknown', name, '0', '0'}
  elseif not zero(amount) and less(rest, granted) then
    granted, tightest = rest, name
  end
end
if not refusal and tightest and (granted[1] < 0 or zero(granted) or less(granted, least)) then
  refusal = {'money', tightest, text(granted), '0'}
end
at = at + 1
for _ = 1, tonumber(ARGV[at]) do
  local name, most = ARGV[at + 1], tonumber(ARGV[at + 2])
  at = at + 2
  places[#places + 1] = name
  if not refusal and tonumber(redis.call('GET', P .. 'p:' .. name) or '0') >= most then
    refusal = {'concurrency', name, '0', '1000'}
  end
end
at = at + 1
local stands = {}
for n = 1, tonumber(ARGV[at]) do
  local name, kind, per = ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  at = at + 3
  local step, quantity = 60000 / per, 1
  if kind == 'tokens' then quantity = tokens end
  local stood = tonumber(redis.call('GET', P .. 'r:' .. name) or '0')
  local begin = math.max(stood, now)
  local over = begin + math.min(quantity, per) * step - now - 60000
  if not refusal and over > 0.000001 then refusal = {kind, name, '0', string.format('%.3f', over)} end
  rates[#rates + 1] = {name, kind, per}
  stands[n] = {stood, begin + quantity * step}
end
if refusal then
  local told = {epoch, 'no', refusal[1], refusal[2], refusal[3], refusal[4]}
  for n = 1, #rates do told[6 + n] = string.format('%.3f', stands[n][1]) end
  return told
end
local told = {epoch, 'grant', text(granted)}
for n, rate in ipairs(rates) do
  redis.call('SET', P .. 'r:' .. rate[1], string.format('%.3f', stands[n][2]), 'PX', math.ceil(math.max(stands[n][2] - now, 1)) + 60000)
  told[3 + n] = string.format('%.3f', stands[n][2])
end
for _, name in ipairs(places) do
  redis.call('INCR', P .. 'p:' .. name)
  redis.call('PEXPIRE', P .. 'p:' .. name, 86400000)
end
for _, hold in ipairs(holds) do redis.call('HINCRBY', P .. 'h:' .. hold[1], 'held', text(granted)) end
keep(id, {amount = text(granted), holds = holds, places = places, rates = rates, tokens = tokens, lease = lease, gate = gate})
redis.call('SADD', P .. 'g:' .. gate, id)
redis.call('ZADD', P .. 'leases', now + lease, id)
return told
"""
)

EXTEND = (
    _PARTS
    + """
local now, id, more = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local claim = known(id)
if not claim or claim.released then return {'no', 'unavailable', '', '0'} end
for _, hold in ipairs(claim.holds) do
  local rest = left(hold[1], hold[2])
  if not rest then return {'no', 'unavailable', hold[1], '0'} end
  if less(rest, parse(more)) then return {'no', 'money', hold[1], text(rest)} end
end
for _, hold in ipairs(claim.holds) do redis.call('HINCRBY', P .. 'h:' .. hold[1], 'held', more) end
local a, b = parse(claim.amount), parse(more)
local sum = {a[1] + b[1], a[2] + b[2]}
if sum[2] >= B then sum = {sum[1] + 1, sum[2] - B} end
claim.amount = text(sum)
keep(id, claim)
redis.call('ZADD', P .. 'leases', now + claim.lease, id)
return {'grant', claim.amount}
"""
)

SETTLE = (
    _PARTS
    + """
local id, cost, tokens, final = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
local before = redis.call('GET', P .. 'd:' .. id)
if before and (before == 'final' or not final) then return 0 end
redis.call('SET', P .. 'd:' .. id, final and 'final' or cost, 'PX', 3600000)
if before then
  for n = 6, #ARGV do correct(ARGV[n], id, before, cost) end
  return 1
end
local claim, charged = known(id), {}
if claim then
  release(id, claim)
  for _, rate in ipairs(claim.rates) do
    if rate[2] == 'tokens' then
      local key = P .. 'r:' .. rate[1]
      local stood = tonumber(redis.call('GET', key) or '0')
      local stands = stood + (tokens - claim.tokens) * 60000 / rate[3]
      redis.call('SET', key, string.format('%.3f', stands), 'PX', math.ceil(math.max(stands - tonumber(ARGV[1]), 1)) + 60000)
    end
  end
  for _, hold in ipairs(claim.holds) do
    charge(hold[1], id, cost)
    charged[hold[1]] = true
  end
  redis.call('DEL', P .. 'c:' .. id)
  redis.call('ZREM', P .. 'leases', id)
  redis.call('SREM', P .. 'g:' .. (claim.gate or ''), id)
end
for n = 6, #ARGV do
  if not charged[ARGV[n]] then charge(ARGV[n], id, cost) end
end
return 1
"""
)

RESTORE = (
    _PARTS
    + """
local now, id, amount, lease, tokens, gate = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local before = known(id)
-- One whose gateway was held for dead and lives is held on, or again.
redis.call('SREM', P .. 'gone', id)
if before and not before.released or redis.call('EXISTS', P .. 'd:' .. id) == 1 then
  if before then redis.call('SADD', P .. 'g:' .. gate, id) end
  return 0
end
local holds, places = {}, {}
local at = 7
for _ = 1, tonumber(ARGV[at]) do
  local key = P .. 'h:' .. ARGV[at + 1]
  if redis.call('EXISTS', key) == 0 then
    redis.call('HSET', key, 'spent', '0', 'held', '0', 'ready', '0', 'opened', '0')
    redis.call('PEXPIRE', key, 3456000000)
  end
  redis.call('HINCRBY', key, 'held', amount)
  holds[#holds + 1] = {ARGV[at + 1], ARGV[at + 2]}
  at = at + 2
end
for n = at + 1, #ARGV do
  redis.call('INCR', P .. 'p:' .. ARGV[n])
  redis.call('PEXPIRE', P .. 'p:' .. ARGV[n], 86400000)
  places[#places + 1] = ARGV[n]
end
local rates = before and before.rates or {}
keep(id, {amount = amount, holds = holds, places = places, rates = rates, tokens = tokens, lease = lease, gate = gate})
redis.call('SADD', P .. 'g:' .. gate, id)
redis.call('ZADD', P .. 'leases', now + lease, id)
return 1
"""
)

OPEN = (
    _PARTS
    + """
local now, name, ends, gate = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4]
local key = P .. 'h:' .. name
local h = redis.call('HMGET', key, 'ready', 'opened', 'filler')
if h[1] == '1' then return 0 end
if h[1] == '0' and now - tonumber(h[2]) < 10000 then
  -- Whoever fills it shows life twice a second. Two that fill the same do no harm: the first sum holds.
  local heard = h[3] and redis.call('ZSCORE', P .. 'gates', h[3])
  if heard and clock() - tonumber(heard) < tonumber(ARGV[5]) then return 0 end
end
if not h[1] then redis.call('HSET', key, 'spent', '0', 'held', '0') end
redis.call('HSET', key, 'ready', '0', 'opened', ARGV[1], 'filler', gate)
if ends > 0 then redis.call('PEXPIREAT', key, ends + 86400000) else redis.call('PERSIST', key) end
return 1
"""
)

FILL = (
    _PARTS
    + """
local name, spent = ARGV[1], ARGV[2]
local key, seen = P .. 'h:' .. name, {}
if redis.call('HGET', key, 'ready') ~= '0' then return 0 end
redis.call('HSET', key, 'spent', spent, 'ready', '1')
for n = 3, #ARGV do
  seen[ARGV[n]] = true
  redis.call('SADD', P .. 'k:' .. name, ARGV[n])
end
if #ARGV > 2 then redis.call('PEXPIRE', P .. 'k:' .. name, 3600000) end
local late = redis.call('HGETALL', P .. 'l:' .. name)
for n = 1, #late, 2 do
  if not seen[late[n]] then redis.call('HINCRBY', key, 'spent', late[n + 1]) end
end
redis.call('DEL', P .. 'l:' .. name)
return 1
"""
)

FORGET = (
    _PARTS
    + """
local key = P .. 'h:' .. ARGV[1]
if redis.call('HGET', key, 'ready') == '0' then redis.call('HSET', key, 'opened', '0') end
return 1
"""
)

SPENT = (
    _PARTS
    + """
sweep(tonumber(ARGV[1]))
local told = {}
for n = 2, #ARGV do
  local h = redis.call('HMGET', P .. 'h:' .. ARGV[n], 'spent', 'held')
  told[#told + 1] = h[1] or '0'
  told[#told + 1] = h[2] or '0'
end
return told
"""
)

BEAT = (
    _PARTS
    + """
redis.call('SET', P .. 'epoch', ARGV[1], 'NX')
local was_known = hear(ARGV[2])
return {redis.call('GET', P .. 'epoch'), was_known and 1 or 0}
"""
)

# Not at once: one that lives after all hears that it is not known any more within that time, and tells what it is at.
GONE = (
    _PARTS
    + """
local held = P .. 'g:' .. ARGV[1]
redis.call('ZREM', P .. 'gates', ARGV[1])
if redis.call('EXISTS', held) == 0 then return 0 end
redis.call('SUNIONSTORE', P .. 'gone', P .. 'gone', held)
redis.call('DEL', held)
redis.call('SET', P .. 'gone_at', clock() + tonumber(ARGV[2]))
return 1
"""
)

SCRIPTS = {
    "beat": BEAT,
    "gone": GONE,
    "claim": CLAIM,
    "extend": EXTEND,
    "settle": SETTLE,
    "restore": RESTORE,
    "open": OPEN,
    "fill": FILL,
    "forget": FORGET,
    "spent": SPENT,
}
