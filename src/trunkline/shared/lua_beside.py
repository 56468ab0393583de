"""What runs inside Redis for `shared.link`, each script at once and as a whole. In: ARGV. Out: numbers, or a list.

`tl:n:NAME` who answers a request with an `Idempotency-Key`, as `shared.names` writes it; `tl:health` what gateways tell of offers, the newest last.
"""

_IS_MINE = """
local held = redis.call('GET', ARGV[1])
local is_mine = held and string.sub(held, 1, #ARGV[2]) == ARGV[2]
"""

HOLD = (
    _IS_MINE
    + """
if held and not is_mine then return 0 end
redis.call('SET', ARGV[1], ARGV[3], 'PX', ARGV[4])
return 1
"""
)

LET_GO = (
    _IS_MINE
    + """
if is_mine then redis.call('DEL', ARGV[1]) end
return is_mine and 1 or 0
"""
)

# What the others said since the last time, with how long ago in ms; at first what was said within the last minute.
NEWS = """
local gate, last, words, kept_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = '(' .. last
if last == '' then since = string.format('%.0f', now - kept_ms) end
local told = {last}
for _, entry in ipairs(redis.call('XRANGE', 'tl:health', since, '+')) do
  told[1] = entry[1]
  if entry[2][2] ~= gate then
    told[#told + 1] = string.format('%.0f', now - tonumber(string.match(entry[1], '^%d+')))
    told[#told + 1] = entry[2][4]
  end
end
if words ~= '' then
  redis.call('XTRIM', 'tl:health', 'MINID', '~', string.format('%.0f', now - kept_ms))
  told[1] = redis.call('XADD', 'tl:health', 'MAXLEN', '~', '5000', '*', 'g', gate, 'w', words)
  redis.call('PEXPIRE', 'tl:health', 2 * kept_ms)
end
return told
"""

SCRIPTS = {"hold": HOLD, "let_go": LET_GO, "news": NEWS}
