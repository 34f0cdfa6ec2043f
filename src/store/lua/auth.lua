-- Authentication, in the path of every request.

local function key_of(sha)
  local revoked, id = unpack(redis.call('HMGET', K.apikey(sha), 'revoked', 'key_id'))
  if id and revoked ~= '1' then
    return nil
  end
  -- After a FLUSHALL nobody can say which keys there are until the agent has put them back.
  if not id and redis.call('EXISTS', K.schema) == 0 then
    return fail('QT_EMPTY')
  end
  return fail('QT_NO_KEY')
end

-- sha256, fields
redis.register_function{ function_name = 'qt_auth', flags = { 'no-writes' }, callback = function(keys, args)
  return key_of(args[1]) or redis.call('HMGET', K.apikey(args[1]), unpack(rest_of(args, 2)))
end }

-- A token bucket by the server's clock, from which up to MOST are taken, after BACK were given back that somebody had and did not use: how many, then the key's fields.
-- More than one only from the upper half: whoever asks at the same moment does not see what lies unused with the others, and must find enough.
local function limited(sha, rate, burst, back, most, fields)
  local bad = key_of(sha)
  if bad then
    return bad
  end
  local clock = redis.call('TIME')
  local now = clock[1] + clock[2] / 1e6
  local tokens, at = unpack(redis.call('HMGET', K.rate(sha), 'tokens', 'at'))
  tokens, at = tonumber(tokens) or burst, tonumber(at) or now
  -- A clock that was set back must not lock anybody out.
  tokens = math.min(burst, tokens + math.max(0, now - at) * rate + back)
  if tokens < 1 then
    return fail('QT_RATE', int(math.max(1, math.ceil((1 - tokens) / rate))))
  end
  local taken = tokens > burst / 2 and math.max(1, math.min(most, math.floor(tokens))) or 1
  -- Not to the append-only file: an fsync for each request would cost more than the request, and a restart may forget it. No
  -- expiry either, which would be written there; there are as many of these as keys.
  redis.set_repl(redis.REPL_NONE)
  redis.call('HSET', K.rate(sha), 'tokens', string.format('%.6f', tokens - taken), 'at', string.format('%.6f', now))
  redis.set_repl(redis.REPL_ALL)
  local out = redis.call('HMGET', K.apikey(sha), unpack(fields))
  table.insert(out, 1, taken)
  return out
end

-- sha256, requests a second, burst, back, most, fields. Also in a store that is full: who may not come in cannot delete.
redis.register_function{ function_name = 'qt_auth_limited', flags = { 'allow-oom' }, callback = function(keys, args)
  return limited(args[1], tonumber(args[2]), tonumber(args[3]), tonumber(args[4]), tonumber(args[5]), rest_of(args, 6))
end }

-- key id, requests a second, burst, back, most, fields: for what was signed in the name of a key; as if the key itself had come
redis.register_function{ function_name = 'qt_auth_id', flags = { 'allow-oom' }, callback = function(keys, args)
  return limited(redis.call('HGET', K.apikey_ids, args[1]) or '', tonumber(args[2]), tonumber(args[3]), tonumber(args[4]), tonumber(args[5]), rest_of(args, 6))
end }
