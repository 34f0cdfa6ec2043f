-- Operations. The stream of a node delivers at least once; the record makes it exactly once: who moves it to running gets a token, and
-- only the holder of the newest token may renew or finish.
local GROUP = 'agent'

local function text_or_null(s)
  return (s and s ~= '') and cjson.encode(s) or 'null'
end

local function seconds_or_null(ms)
  local n = tonumber(ms) or 0
  return n > 0 and int(math.floor(n / 1000)) or 'null'
end

-- What is not about a container (src/model/optypes.def), and where its id stands.
local TARGET = { ['snapshot.create'] = 'snapshot', ['volume.delete'] = 'volume', ['volume.archive_upload'] = 'volume' }
local TARGET_FIELD = { container = 'container_id', snapshot = 'snapshot_id', volume = 'volume' }

-- The contract's record (4.2), as qt_op_view() in C; a test compares the two. Put together by hand, since cjson cannot tell {} from [].
local function op_view(o)
  local ctr, why, kind = text_or_null(o.container_id), text_or_null(o.error), TARGET[o.type] or 'container'
  local target = text_or_null(o[TARGET_FIELD[kind]])
  return '{"operation_id":' .. cjson.encode(o.id) .. ',"operation_type":' .. cjson.encode(o.type) ..
    ',"status":' .. cjson.encode(o.status) .. ',"message":' .. cjson.encode(o.message or '') ..
    ',"progress_pct":' .. int(tonumber(o.progress_pct) or 0) .. ',"result":' .. (o.result or '{}') ..
    ',"container_id":' .. ctr .. ',"snapshot_id":' .. text_or_null(o.snapshot_id) ..
    ',"result_container_id":' .. (kind == 'container' and ctr or 'null') ..
    ',"target_resource_type":' .. (target == 'null' and target or cjson.encode(kind)) .. ',"target_resource_id":' .. target ..
    ',"error":' .. why .. ',"error_message":' .. why .. ',"reason_code":' .. text_or_null(o.error_code) ..
    ',"reason_message":' .. why .. ',"warnings":' .. (o.warnings or '[]') .. ',"capability_downgrades":' .. (o.downgrades or '[]') ..
    ',"items":' .. (o.items or '[]') .. ',"created_at":' .. seconds_or_null(o.created_ms) ..
    ',"started_at":' .. seconds_or_null(o.started_ms) .. ',"updated_at":' .. seconds_or_null(o.updated_ms) ..
    ',"completed_at":' .. seconds_or_null(o.completed_ms) .. '}'
end

local FINAL = { succeeded = true, failed = true, cancelled = true, timed_out = true }

local function op_event(t, id)
  event(t, 'operation_update', op_view(hash(K.op(t, id))))
end

local function acknowledge(node, entry)
  redis.call('XACK', K.node_ops(node), GROUP, entry)
  redis.call('XDEL', K.node_ops(node), entry)
end

-- tenant, id, node, seconds that it is kept at least, field, value, ...
redis.register_function('qt_op_submit', function(keys, args)
  local t, id = args[1], args[2]
  if redis.call('EXISTS', K.op(t, id)) == 1 then
    return fail('QT_EXISTS', id)
  end
  redis.call('HSET', K.op(t, id), unpack(rest_of(args, 5)))
  redis.call('EXPIRE', K.op(t, id), args[4])
  redis.call('XADD', K.node_ops(args[3]), '*', 'tenant', t, 'op', id)
  op_event(t, id)
  return 'OK'
end)

-- tenant, id, fields
redis.register_function{ function_name = 'qt_op_get', flags = { 'no-writes' }, callback = function(keys, args)
  if redis.call('EXISTS', K.op(args[1], args[2])) == 0 then
    return fail('QT_NO_OP', args[2])
  end
  return redis.call('HMGET', K.op(args[1], args[2]), unpack(rest_of(args, 3)))
end }

-- node, entry, consumer, lease in ms, tenant, id, fields. Answers { token, { values } }; an entry that is nobody's any more (its record
-- is final, expired or flushed) is taken out of the stream: QT_OP_OVER.
redis.register_function{ function_name = 'qt_op_claim', flags = { 'allow-oom' }, callback = function(keys, args)
  local node, entry, consumer, lease, t, id = args[1], args[2], args[3], tonumber(args[4]), args[5], args[6]
  local o, now = hash(K.op(t, id)), now_ms()
  if not o or FINAL[o.status] then
    acknowledge(node, entry)
    return fail('QT_OP_OVER', id)
  end
  if o.status == 'running' and (tonumber(o.lease_until_ms) or 0) > now then
    return fail('QT_LEASE', id)
  end
  local token = redis.call('INCR', K.fence(t))
  -- The idle time that XAUTOCLAIM goes by begins with the lease.
  redis.call('XCLAIM', K.node_ops(node), GROUP, consumer, 0, entry, 'JUSTID')
  redis.call('HSET', K.op(t, id), 'status', 'running', 'attempts', int((tonumber(o.attempts) or 0) + 1), 'token', int(token),
    'owner', consumer, 'lease_until_ms', int(now + lease), 'updated_ms', int(now),
    'started_ms', o.started_ms ~= '0' and o.started_ms or int(now))
  op_event(t, id)
  return { token, redis.call('HMGET', K.op(t, id), unpack(rest_of(args, 7))) }
end }

local function held(t, id, token)
  local o = hash(K.op(t, id))
  return o and o.status == 'running' and o.token == token and o
end

-- node, entry, tenant, id, token, lease in ms
redis.register_function{ function_name = 'qt_op_renew', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, id = args[3], args[4]
  local o = held(t, id, args[5])
  if not o then
    return fail('QT_LEASE', id)
  end
  redis.call('XCLAIM', K.node_ops(args[1]), GROUP, o.owner, 0, args[2], 'JUSTID')
  redis.call('HSET', K.op(t, id), 'lease_until_ms', int(now_ms() + tonumber(args[6])))
  return 'OK'
end }

-- node, entry, tenant, id, token, percent, message. Answers as qt_op_asked does.
redis.register_function{ function_name = 'qt_op_progress', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, id = args[3], args[4]
  local o = held(t, id, args[5])
  if not o then
    return fail('QT_LEASE', id)
  end
  redis.call('HSET', K.op(t, id), 'progress_pct', args[6], 'message', args[7], 'updated_ms', int(now_ms()))
  op_event(t, id)
  return (tonumber(o.cancel_ms) or 0) > 0 and 1 or 0
end }

-- node, entry, tenant, id, token: 1 when a client wants it to end, 0 when nobody does.
redis.register_function{ function_name = 'qt_op_asked', flags = { 'no-writes' }, callback = function(keys, args)
  local o = held(args[3], args[4], args[5])
  if not o then
    return fail('QT_LEASE', args[4])
  end
  return (tonumber(o.cancel_ms) or 0) > 0 and 1 or 0
end }

-- node, entry, tenant, id, token, seconds that it is kept, field, value, ...
redis.register_function{ function_name = 'qt_op_finish', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, id, now = args[3], args[4], int(now_ms())
  if not held(t, id, args[5]) then
    return fail('QT_LEASE', id)
  end
  redis.call('HSET', K.op(t, id), unpack(rest_of(args, 7)))
  redis.call('HSET', K.op(t, id), 'updated_ms', now, 'completed_ms', now)
  redis.call('HDEL', K.op(t, id), 'lease_until_ms')
  redis.call('EXPIRE', K.op(t, id), args[6])
  acknowledge(args[1], args[2])
  op_event(t, id)
  return 'OK'
end }
