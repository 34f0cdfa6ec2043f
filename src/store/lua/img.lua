-- Pulled images. A reference means one image at a time, the newest; one that no reference means any more is "untagged", and goes when nothing stands on it.

local function img_event(t, i, name)
  activity(t, 'image', i.reference, name)
  event(t, 'image_update', cjson.encode({ image_id = i.id, reference = i.reference, event = name }))
end

-- The id of WHO, an id or a reference.
local function img_id(t, who)
  if redis.call('EXISTS', K.img(t, who)) == 1 then
    return who
  end
  return redis.call('HGET', K.imgrefs(t), who) or nil
end

local function img_write(t, id, pairs_)
  redis.call('HSET', K.img(t, id), unpack(pairs_))
  local i = hash(K.img(t, id))
  local other = redis.call('HGET', K.imgrefs(t), i.reference)
  local ms = other and redis.call('HGET', K.img(t, other), 'pulled_ms')
  redis.call('ZADD', K.imgs(t), i.pulled_ms, id)
  redis.call('SADD', K.node_imgs(i.node), t .. '/' .. id)
  -- What is put back may be older than what the reference means now.
  if i.untagged == '1' or (ms and tonumber(ms) > tonumber(i.pulled_ms)) then
    redis.call('HSET', K.img(t, id), 'untagged', '1')
    return i
  end
  redis.call('HSET', K.imgrefs(t), i.reference, id)
  if ms and other ~= id then
    redis.call('HSET', K.img(t, other), 'untagged', '1')
  end
  return i
end

-- tenant: may it have one more?
redis.register_function{ function_name = 'qt_img_room', flags = { 'no-writes' }, callback = function(keys, args)
  return over_quota(args[1], 'images', redis.call('ZCARD', K.imgs(args[1])), 1) or 'OK'
end }

-- tenant, id, field, value, ...: it is there. May be said again.
redis.register_function('qt_img_put', function(keys, args)
  local t, id = args[1], args[2]
  if redis.call('EXISTS', K.img(t, id)) == 1 then
    return 'OK'
  end
  local over = over_quota(t, 'images', redis.call('ZCARD', K.imgs(t)), 1)
  if over then
    return over
  end
  img_event(t, img_write(t, id, rest_of(args, 3)), 'pulled')
  return 'OK'
end)

-- tenant, id or reference, fields
redis.register_function{ function_name = 'qt_img_get', flags = { 'no-writes' }, callback = function(keys, args)
  local id = img_id(args[1], args[2])
  if not id then
    return fail('QT_NO_IMG')
  end
  return redis.call('HMGET', K.img(args[1], id), unpack(rest_of(args, 3)))
end }

-- tenant, most records, cursor, fields
redis.register_function{ function_name = 'qt_img_list', flags = { 'no-writes' }, callback = function(keys, args)
  local t, fields = args[1], rest_of(args, 4)
  return page_by_time(K.imgs(t), tonumber(args[2]), args[3], function(id)
    return values(K.img(t, id), fields)
  end)
end }

-- node, most records, cursor, fields
redis.register_function{ function_name = 'qt_img_of_node', flags = { 'no-writes' }, callback = function(keys, args)
  local fields = rest_of(args, 4)
  return page_of_node(K.node_imgs(args[1]), tonumber(args[2]), args[3], function(t, id)
    return values(K.img(t, id), fields)
  end)
end }

-- tenant, id
redis.register_function{ function_name = 'qt_img_remove', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, id = args[1], args[2]
  local i = hash(K.img(t, id))
  if not i then
    return fail('QT_NO_IMG')
  end
  redis.call('DEL', K.img(t, id))
  redis.call('ZREM', K.imgs(t), id)
  redis.call('SREM', K.node_imgs(i.node), t .. '/' .. id)
  if redis.call('HGET', K.imgrefs(t), i.reference) == id then
    redis.call('HDEL', K.imgrefs(t), i.reference)
  end
  redis.call('SET', K.gone(t, id), '1', 'EX', 120)
  img_event(t, i, 'removed')
  return 'OK'
end }

-- tenant, id, field, value, ...: as qt_ctr_restore
redis.register_function{ function_name = 'qt_img_restore', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, id = args[1], args[2]
  if redis.call('EXISTS', K.gone(t, id)) == 1 then
    return fail('QT_NO_IMG')
  end
  if redis.call('EXISTS', K.img(t, id)) == 0 then
    img_event(t, img_write(t, id, rest_of(args, 3)), 'restored')
  end
  return 'OK'
end }
