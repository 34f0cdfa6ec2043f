-- Idempotency-Key: the first answer to a request, for whoever sends it again. A key is known by its SHA-256. What is kept is bounded for a
-- tenant: so many small answers and so many big ones, the newest.
local IDEM_SMALL = 4096
local IDEM_KEPT = { small = 10000, big = 500 }

local function idem_trim(t, class, before)
  local index = K.idems(t, class)
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', int(before), 'LIMIT', 0, 64)) do
    redis.call('ZREM', index, key)
    redis.call('DEL', K.idem(t, key))
  end
  while redis.call('ZCARD', index) > IDEM_KEPT[class] do
    redis.call('DEL', K.idem(t, redis.call('ZPOPMIN', index)[1]))
  end
end

-- tenant, key, SHA-256 of the request, token, seconds after which whoever holds it must be dead, who asks, who is known to be dead or ''. Answers {}
-- to the first, who holds it then; else the first answer: { status, type, text }.
redis.register_function('qt_idem_begin', function(keys, args)
  local t, key = args[1], args[2]
  local r = hash(K.idem(t, key))
  if not r or (r.request == args[3] and not r.status and args[7] ~= '' and r.holder == args[7]) then
    redis.call('HSET', K.idem(t, key), 'request', args[3], 'token', args[4], 'holder', args[6])
    redis.call('EXPIRE', K.idem(t, key), args[5])
    return {}
  end
  if r.request ~= args[3] then
    return fail('QT_IDEM_OTHER')
  elseif not r.status then
    return fail('QT_IDEM_OPEN', r.holder)
  elseif not r.text then
    return fail('QT_IDEM_LARGE')
  end
  return { r.status, r.type, r.text }
end)

-- tenant, key, token, seconds that it is kept, status, type, and text if it is not too long. Status 0: there is nothing to keep, and the key is
-- as good as new.
redis.register_function{ function_name = 'qt_idem_end', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, key, status, text = args[1], args[2], args[5], args[7]
  if redis.call('HGET', K.idem(t, key), 'token') ~= args[3] then
    return fail('QT_LEASE', key)
  end
  if status == '0' then
    redis.call('DEL', K.idem(t, key))
    return 'OK'
  end
  local class, now = (text and #text > IDEM_SMALL) and 'big' or 'small', now_ms()
  redis.call('HSET', K.idem(t, key), 'status', status, 'type', args[6])
  if text then
    redis.call('HSET', K.idem(t, key), 'text', text)
  end
  redis.call('EXPIRE', K.idem(t, key), args[4])
  -- To the microsecond: of several in one millisecond the oldest must go first, and not the one whose hash is the least.
  redis.call('ZADD', K.idems(t, class), string.format('%.3f', now_us() / 1000), key)
  idem_trim(t, class, now - tonumber(args[4]) * 1000)
  return 'OK'
end }
