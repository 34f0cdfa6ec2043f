-- What the other files share. All of them are one chunk (local.mk has the order): a local here is seen by those below.

-- Errors are words that src/store/errors.c knows; what follows the word is its argument. There is always one: Redis puts "ERR" before
-- a word that stands alone.
local function fail(word, rest)
  return redis.error_reply(word .. ' ' .. (rest or '-'))
end

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function now_us()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- Numbers as text without an exponent: Lua's tostring() turns 1e14 into "1e+14".
local function int(n)
  return string.format('%.0f', n)
end

-- A time as the API tells it (qt_iso8601): days to a date as the Gregorian calendar has them, counted from the first of March.
local function iso(ms)
  local s = math.floor(ms / 1000)
  local days = math.floor(s / 86400) + 719468
  local era = math.floor(days / 146097)
  local doe = days - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  return string.format('%04d-%02d-%02dT%02d:%02d:%02dZ', yoe + era * 400 + (month <= 2 and 1 or 0), month,
    doy - math.floor((153 * mp + 2) / 5) + 1, math.floor(s % 86400 / 3600), math.floor(s % 3600 / 60), s % 60)
end

local function rest_of(argv, from)
  local out = {}
  for i = from, #argv do
    out[#out + 1] = argv[i]
  end
  return out
end

-- HGETALL as a table; nil when there is no such hash.
local function hash(key)
  local flat, out = redis.call('HGETALL', key), {}
  if #flat == 0 then
    return nil
  end
  for i = 1, #flat, 2 do
    out[flat[i]] = flat[i + 1]
  end
  return out
end

-- The value of NAME in a list of name, value, ...
local function field_in(pairs_, name)
  for i = 1, #pairs_, 2 do
    if pairs_[i] == name then
      return pairs_[i + 1]
    end
  end
end
