-- Tenants and API keys. Of a key there is only the SHA-256.

local function tenant_write(id, pairs_)
  redis.call('HSET', K.tenant(id), unpack(pairs_))
  local t = hash(K.tenant(id))
  redis.call('ZADD', K.tenants, t.created_ms, id)
  redis.call('SET', K.schema, '1')
end

local function key_write(sha, pairs_)
  redis.call('HSET', K.apikey(sha), unpack(pairs_))
  local k = hash(K.apikey(sha))
  redis.call('ZADD', K.apikeys, k.created_ms, k.key_id)
  redis.call('HSET', K.apikey_ids, k.key_id, sha)
end

-- id, field, value, ...
redis.register_function('qt_tenant_create', function(keys, args)
  if redis.call('EXISTS', K.tenant(args[1])) == 1 then
    return fail('QT_EXISTS', args[1])
  end
  tenant_write(args[1], rest_of(args, 2))
  return 'OK'
end)

-- id, fields
redis.register_function{ function_name = 'qt_tenant_get', flags = { 'no-writes' }, callback = function(keys, args)
  if redis.call('EXISTS', K.tenant(args[1])) == 0 then
    return fail('QT_NO_TENANT')
  end
  return redis.call('HMGET', K.tenant(args[1]), unpack(rest_of(args, 2)))
end }

-- The members of the zset from OFFSET on, at most MOST, each as what ONE makes of it; first whether there are more.
local function page(zset, offset, most, one)
  local ids = redis.call('ZRANGE', zset, offset, offset + most)
  local out = { #ids > most and 1 or 0 }
  for i = 1, math.min(#ids, most) do
    out[#out + 1] = one(ids[i])
  end
  return out
end

-- offset, most, fields
redis.register_function{ function_name = 'qt_tenant_list', flags = { 'no-writes' }, callback = function(keys, args)
  local fields = rest_of(args, 3)
  return page(K.tenants, tonumber(args[1]), tonumber(args[2]), function(id)
    return redis.call('HMGET', K.tenant(id), unpack(fields))
  end)
end }

-- id, field of a quota, value
redis.register_function('qt_tenant_quota', function(keys, args)
  if redis.call('EXISTS', K.tenant(args[1])) == 0 then
    return fail('QT_NO_TENANT')
  end
  redis.call('HSET', K.tenant(args[1]), args[2], args[3])
  return 'OK'
end)

-- id: what it has of each quota: name, number, ...
redis.register_function{ function_name = 'qt_tenant_used', flags = { 'no-writes' }, callback = function(keys, args)
  local t = args[1]
  if redis.call('EXISTS', K.tenant(t)) == 0 then
    return fail('QT_NO_TENANT')
  end
  local out = redis.call('HGETALL', K.used(t))
  for name, zset in pairs({ containers = K.ctrs(t), volumes = K.vols(t), snapshots = K.snaps(t), images = K.imgs(t) }) do
    out[#out + 1] = name
    out[#out + 1] = int(redis.call('ZCARD', zset))
  end
  return out
end }

-- id, field, value, ...: after an upgrade: the quotas that an older version did not know, and the sums counted anew
redis.register_function('qt_tenant_mend', function(keys, args)
  local t = args[1]
  for i = 2, #args, 2 do
    redis.call('HSETNX', K.tenant(t), args[i], args[i + 1])
  end
  redis.call('DEL', K.used(t))
  for _, id in ipairs(redis.call('ZRANGE', K.ctrs(t), 0, -1)) do
    ctr_use(t, hash(K.ctr(t, id)) or {}, 1)
  end
  for _, id in ipairs(redis.call('ZRANGE', K.vols(t), 0, -1)) do
    use(t, 'disk_bytes', tonumber(redis.call('HGET', K.vol(t, id), 'max_bytes')) or 0)
  end
  return 'OK'
end)

-- sha256, tenant, field, value, ...
redis.register_function('qt_key_create', function(keys, args)
  if redis.call('EXISTS', K.tenant(args[2])) == 0 then
    return fail('QT_NO_TENANT')
  end
  if redis.call('EXISTS', K.apikey(args[1])) == 1 then
    return fail('QT_EXISTS', 'key')
  end
  key_write(args[1], rest_of(args, 3))
  redis.call('HSET', K.apikey(args[1]), 'plan', redis.call('HGET', K.tenant(args[2]), 'plan'))
  return redis.call('HGET', K.apikey(args[1]), 'plan')
end)

-- key id
redis.register_function{ function_name = 'qt_key_revoke', flags = { 'allow-oom' }, callback = function(keys, args)
  local sha = redis.call('HGET', K.apikey_ids, args[1])
  if not sha then
    return fail('QT_NO_KEY_ID')
  end
  redis.call('HSET', K.apikey(sha), 'revoked', '1')
  redis.call('DEL', K.rate(sha))
  return 'OK'
end }

-- offset, most, fields
redis.register_function{ function_name = 'qt_key_list', flags = { 'no-writes' }, callback = function(keys, args)
  local fields = rest_of(args, 3)
  return page(K.apikeys, tonumber(args[1]), tonumber(args[2]), function(id)
    return redis.call('HMGET', K.apikey(redis.call('HGET', K.apikey_ids, id) or ''), unpack(fields))
  end)
end }

-- id, field, value, ...: adds what is missing, changes nothing
redis.register_function('qt_tenant_restore', function(keys, args)
  if redis.call('EXISTS', K.tenant(args[1])) == 1 then
    return 0
  end
  tenant_write(args[1], rest_of(args, 2))
  return 1
end)

-- sha256, revoked, field, value, ...: adds what is missing; of one that is there, only a revocation is taken over
redis.register_function('qt_key_restore', function(keys, args)
  if redis.call('EXISTS', K.apikey(args[1])) == 1 then
    if args[2] == '1' then
      redis.call('HSET', K.apikey(args[1]), 'revoked', '1')
    end
    return 0
  end
  key_write(args[1], rest_of(args, 3))
  return 1
end)

-- The store is set up: from here on an unknown key is unknown, and not perhaps lost.
redis.register_function('qt_schema', function(keys, args)
  redis.call('SET', K.schema, '1')
  return 'OK'
end)
