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
