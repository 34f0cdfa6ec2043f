-- Terminal sessions. The container's init holds them; these are their records, and when each is due to end.

local function session_forget(t, id)
  local node = redis.call('HGET', K.session(t, id), 'node')
  if node then
    redis.call('ZREM', K.node_sessions(node), t .. '/' .. id)
  end
  redis.call('DEL', K.session(t, id))
  redis.call('ZREM', K.sessions(t), id)
end

local function sessions_remove(t, ctr)
  for _, id in ipairs(redis.call('ZRANGE', K.sessions(t), 0, -1)) do
    if redis.call('HGET', K.session(t, id), 'container_id') == ctr then
      session_forget(t, id)
    end
  end
end

-- tenant, id, at most so many, when it is due, now, node, field, value, ...
redis.register_function('qt_session_put', function(keys, args)
  local t, id = args[1], args[2]
  if redis.call('ZCARD', K.sessions(t)) >= tonumber(args[3]) then
    return fail('QT_SESSIONS', args[3])
  end
  redis.call('HSET', K.session(t, id), unpack(rest_of(args, 7)))
  redis.call('ZADD', K.sessions(t), args[5], id)
  redis.call('ZADD', K.node_sessions(args[6]), args[4], t .. '/' .. id)
  return 'OK'
end)

-- tenant, id, when it is due, node, field, value, ...
redis.register_function{ function_name = 'qt_session_touch', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, id = args[1], args[2]
  if redis.call('EXISTS', K.session(t, id)) == 0 then
    return fail('QT_NO_SESSION', id)
  end
  redis.call('HSET', K.session(t, id), unpack(rest_of(args, 5)))
  redis.call('ZADD', K.node_sessions(args[4]), args[3], t .. '/' .. id)
  return 'OK'
end }

-- tenant, id, fields
redis.register_function{ function_name = 'qt_session_get', flags = { 'no-writes' }, callback = function(keys, args)
  if redis.call('EXISTS', K.session(args[1], args[2])) == 0 then
    return fail('QT_NO_SESSION', args[2])
  end
  return redis.call('HMGET', K.session(args[1], args[2]), unpack(rest_of(args, 3)))
end }

-- tenant, fields: all, the oldest first
redis.register_function{ function_name = 'qt_session_list', flags = { 'no-writes' }, callback = function(keys, args)
  local t, out = args[1], {}
  for _, id in ipairs(redis.call('ZRANGE', K.sessions(t), 0, -1)) do
    out[#out + 1] = redis.call('HMGET', K.session(t, id), unpack(rest_of(args, 2)))
  end
  return out
end }

-- tenant, id
redis.register_function{ function_name = 'qt_session_remove', flags = { 'allow-oom' }, callback = function(keys, args)
  session_forget(args[1], args[2])
  return 'OK'
end }

-- node, until when, at most so many: those that are due, tenant and id each
redis.register_function{ function_name = 'qt_sessions_due', flags = { 'no-writes' }, callback = function(keys, args)
  local out = {}
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', K.node_sessions(args[1]), '-inf', args[2], 'LIMIT', 0, args[3])) do
    local t, id = string.match(member, '^([^/]+)/(.+)$')
    out[#out + 1] = t
    out[#out + 1] = id
  end
  return out
end }

-- node: nobody is attached to any of its sessions (whoever served them has just begun)
redis.register_function{ function_name = 'qt_sessions_reset', flags = { 'allow-oom' }, callback = function(keys, args)
  for _, member in ipairs(redis.call('ZRANGE', K.node_sessions(args[1]), 0, -1)) do
    local t, id = string.match(member, '^([^/]+)/(.+)$')
    if redis.call('EXISTS', K.session(t, id)) == 1 then
      redis.call('HSET', K.session(t, id), 'attached', '0')
    end
  end
  return 'OK'
end }
