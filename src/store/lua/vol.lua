-- Volumes: each change of one, whole. A volume is in use while the record of a container names it, by its name or its id, in whatever state the
-- container is: voluse:<what the record says> has its users. So a volume in use keeps its name.

local function vol_event(t, v, name)
  activity(t, 'volume', v.name, name)
  event(t, 'volume_update', cjson.encode({ volume_id = v.id, name = v.name, event = name }))
end

local function vol_usage(t, v, event_type, seconds)
  usage_write(t, { event_type = event_type, seconds = seconds,
    metadata = '{"volume_id":' .. cjson.encode(v.id) .. ',"name":' .. cjson.encode(v.name) .. ',"max_bytes":' .. v.max_bytes .. '}' })
end

-- The id of WHO, an id or a name; an id wins.
local function vol_id(t, who)
  if redis.call('EXISTS', K.vol(t, who)) == 1 then
    return who
  end
  return redis.call('HGET', K.volnames(t), who) or nil
end

local function vol_of(t, who)
  local id = vol_id(t, who)
  return id and hash(K.vol(t, id))
end

-- The containers that have V, as a list of ids.
local function vol_users(t, v)
  local out = redis.call('SMEMBERS', K.voluse(t, v.name))
  for _, id in ipairs(redis.call('SMEMBERS', K.voluse(t, v.id))) do
    out[#out + 1] = id
  end
  return out
end

-- What a container's list of volumes, as JSON, names.
local function vol_refs(volumes)
  local out = {}
  for _, spec in ipairs(cjson.decode(volumes or '[]')) do
    out[#out + 1] = string.match(spec, '^[^:]+')
  end
  return out
end

-- The first of them that cannot be attached; nil: all can.
local function vol_missing(t, refs)
  for _, who in ipairs(refs) do
    local v = vol_of(t, who)
    if not v or v.deadline_ms ~= '0' or v.deleting_ms ~= '0' then
      return who
    end
  end
end

local function vol_attach(t, ctr, refs)
  for _, who in ipairs(refs) do
    redis.call('SADD', K.voluse(t, who), ctr)
  end
end

local function vol_detach(t, ctr, refs)
  for _, who in ipairs(refs) do
    redis.call('SREM', K.voluse(t, who), ctr)
  end
end

local function vol_write(t, id, pairs_)
  redis.call('HSET', K.vol(t, id), unpack(pairs_))
  local v = hash(K.vol(t, id))
  redis.call('ZADD', K.vols(t), v.created_ms, id)
  redis.call('HSETNX', K.volnames(t), v.name, id)
  redis.call('SADD', K.node_vols(v.node), t .. '/' .. id)
  use(t, 'disk_bytes', tonumber(v.max_bytes))
  return v
end

-- tenant, id, field, value, ...
redis.register_function('qt_vol_reserve', function(keys, args)
  local t, id, pairs_ = args[1], args[2], rest_of(args, 3)
  local name = field_in(pairs_, 'name')
  if redis.call('EXISTS', K.vol(t, id)) == 1 then
    return fail('QT_EXISTS', id)
  end
  if redis.call('HEXISTS', K.volnames(t), name) == 1 then
    return fail('QT_VOL_NAME', name)
  end
  local over = over_quota(t, 'volumes', redis.call('ZCARD', K.vols(t)), 1) or
    over_quota(t, 'disk_bytes', used(t, 'disk_bytes'), tonumber(field_in(pairs_, 'max_bytes')))
  if over then
    return over
  end
  vol_write(t, id, pairs_)
  return 'OK'
end)

-- tenant, id: it is there. Once and for all.
redis.register_function{ function_name = 'qt_vol_commit', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, id = args[1], args[2]
  local v = hash(K.vol(t, id))
  if not v then
    return fail('QT_NO_VOL', id)
  end
  if v.deadline_ms ~= '0' then
    redis.call('HSET', K.vol(t, id), 'deadline_ms', '0')
    vol_event(t, v, 'created')
    vol_usage(t, v, 'volume_created', 0)
  end
  return 'OK'
end }

-- tenant, id or name, fields
redis.register_function{ function_name = 'qt_vol_get', flags = { 'no-writes' }, callback = function(keys, args)
  local id = vol_id(args[1], args[2])
  if not id then
    return fail('QT_NO_VOL', args[2])
  end
  return redis.call('HMGET', K.vol(args[1], id), unpack(rest_of(args, 3)))
end }

-- tenant, id: the containers that have it
redis.register_function{ function_name = 'qt_vol_users', flags = { 'no-writes' }, callback = function(keys, args)
  local v = hash(K.vol(args[1], args[2]))
  if not v then
    return fail('QT_NO_VOL', args[2])
  end
  return vol_users(args[1], v)
end }

-- tenant, most records, cursor, fields
redis.register_function{ function_name = 'qt_vol_list', flags = { 'no-writes' }, callback = function(keys, args)
  local t, fields = args[1], rest_of(args, 4)
  return page_by_time(K.vols(t), tonumber(args[2]), args[3], function(id)
    return values(K.vol(t, id), fields)
  end)
end }

-- node, most records, cursor, fields
redis.register_function{ function_name = 'qt_vol_of_node', flags = { 'no-writes' }, callback = function(keys, args)
  local fields = rest_of(args, 4)
  return page_of_node(K.node_vols(args[1]), tonumber(args[2]), args[3], function(t, id)
    return values(K.vol(t, id), fields)
  end)
end }

local function vol_name_free(t, v)
  if redis.call('HGET', K.volnames(t), v.name) == v.id then
    redis.call('HDEL', K.volnames(t), v.name)
  end
end

-- tenant, id, new name
redis.register_function('qt_vol_rename', function(keys, args)
  local t, id, name = args[1], args[2], args[3]
  local v = hash(K.vol(t, id))
  if not v or v.deadline_ms ~= '0' or v.deleting_ms ~= '0' then
    return fail('QT_NO_VOL', id)
  end
  if v.name == name then
    return v.name
  end
  local users = vol_users(t, v)
  if #users > 0 then
    return fail('QT_VOL_IN_USE', users[1])
  end
  if redis.call('HEXISTS', K.volnames(t), name) == 1 then
    return fail('QT_VOL_NAME', name)
  end
  vol_name_free(t, v)
  redis.call('HSET', K.volnames(t), name, id)
  redis.call('HSET', K.vol(t, id), 'name', name)
  vol_event(t, { id = id, name = name }, 'renamed')
  return v.name
end)

-- tenant, id: from here on nothing can be made with it
redis.register_function{ function_name = 'qt_vol_deleting', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, id = args[1], args[2]
  local v = hash(K.vol(t, id))
  if not v then
    return fail('QT_NO_VOL', id)
  end
  local users = vol_users(t, v)
  if #users > 0 then
    return fail('QT_VOL_IN_USE', users[1])
  end
  redis.call('HSET', K.vol(t, id), 'deleting_ms', int(now_ms()))
  return 'OK'
end }

-- tenant, id
redis.register_function{ function_name = 'qt_vol_remove', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, id = args[1], args[2]
  local v, now = hash(K.vol(t, id)), now_ms()
  if not v then
    return fail('QT_NO_VOL', id)
  end
  redis.call('DEL', K.vol(t, id))
  redis.call('ZREM', K.vols(t), id)
  redis.call('SREM', K.node_vols(v.node), t .. '/' .. id)
  vol_name_free(t, v)
  use(t, 'disk_bytes', -tonumber(v.max_bytes))
  -- As of containers (qt_ctr_remove).
  redis.call('SET', K.gone(t, id), '1', 'EX', 120)
  -- What was reserved and never made is nobody's bill, and nobody heard of it.
  if v.deadline_ms == '0' then
    vol_event(t, v, 'removed')
    vol_usage(t, v, 'volume_deleted', math.max(0, (now - tonumber(v.created_ms)) / 1000))
  end
  return 'OK'
end }

-- tenant, id, field, value, ...: as qt_ctr_restore
redis.register_function{ function_name = 'qt_vol_restore', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, id = args[1], args[2]
  if redis.call('EXISTS', K.gone(t, id)) == 1 then
    return fail('QT_NO_VOL', id)
  end
  if redis.call('EXISTS', K.vol(t, id)) == 0 then
    vol_event(t, vol_write(t, id, rest_of(args, 3)), 'restored')
  end
  return 'OK'
end }
