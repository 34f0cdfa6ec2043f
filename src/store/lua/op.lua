-- Operations. The stream of a node delivers at least once; the record makes it exactly once: who claims it gets a token, and only the
-- holder of the newest token may begin, renew or finish.
local GROUP = 'agent'

local function text_or_null(s)
  return (s and s ~= '') and cjson.encode(s) or 'null'
end

local function seconds_or_null(ms)
  local n = tonumber(ms) or 0
  return n > 0 and int(math.floor(n / 1000)) or 'null'
end

-- What is not about a container (src/model/optypes.def), and where its id stands.
local TARGET = { ['snapshot.create'] = 'snapshot', ['volume.delete'] = 'volume', ['volume.archive_upload'] = 'volume',
  ['image.pull'] = 'image', ['image.build'] = 'image' }
local TARGET_FIELD = { container = 'container_id', snapshot = 'snapshot_id', volume = 'volume', image = 'image' }

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

-- Its first and its last: people do not read of each step.
local function op_turn(t, id)
  local o = hash(K.op(t, id))
  activity(t, 'operation', o.type, o.status, o.container_id)
  op_event(t, id)
end

-- So many entries a tenant has in a node's stream, the agent's slots for it included; the rest wait in a list of their own, in order. What
-- others submit is never behind more than that.
local AHEAD = 12

local function refill(node, t)
  local ahead, wait = K.node_ahead(node, t), K.node_wait(node, t)
  while redis.call('ZCARD', ahead) < AHEAD do
    local next_ = redis.call('ZPOPMIN', wait)
    if #next_ == 0 then
      return
    end
    -- One that expired while it waited is nobody's any more.
    if redis.call('EXISTS', K.op(t, next_[1])) == 1 then
      redis.call('XADD', K.node_ops(node), '*', 'tenant', t, 'op', next_[1])
      redis.call('ZADD', ahead, next_[2], next_[1])
    end
  end
end

local function enqueue(node, t, id)
  redis.call('ZADD', K.node_wait(node, t), redis.call('INCR', K.fence(t)), id)
  refill(node, t)
end

local function acknowledge(node, entry, t, id)
  redis.call('XACK', K.node_ops(node), GROUP, entry)
  redis.call('XDEL', K.node_ops(node), entry)
  redis.call('ZREM', K.node_ahead(node, t), id)
  refill(node, t)
end

local function op_begin(t, o)
  local now = int(now_ms())
  redis.call('HSET', K.op(t, o.id), 'status', 'running', 'attempts', int((tonumber(o.attempts) or 0) + 1), 'updated_ms', now,
    'started_ms', o.started_ms ~= '0' and o.started_ms or now)
end

-- Records that have expired leave the index, a few at each submit: never fewer than come.
local function ops_trim(t)
  for _, id in ipairs(redis.call('ZRANGE', K.ops(t), 0, 7)) do
    if redis.call('EXISTS', K.op(t, id)) == 0 then
      redis.call('ZREM', K.ops(t), id)
    end
  end
end

-- What makes containers, which were reserved when it was submitted.
local MAKES = { ['container.create'] = true, ['container.fork'] = true, ['snapshot.clone'] = true }

local function release(t, ctr)
  local c = type(ctr) == 'string' and hash(K.ctr(t, ctr))
  if c and c.state == 'created' then
    ctr_remove(t, c)
  end
end

-- The end of an operation that nobody began: what was reserved for it is free, and nothing else is there of it.
local function op_never(t, o, status, pairs_)
  local now = int(now_ms())
  if MAKES[o.type] then
    release(t, o.container_id)
  end
  local s = o.type == 'snapshot.create' and hash(K.snap(t, o.snapshot_id))
  if s and s.status == 'creating' then
    snap_remove(t, s, 'failed')
  end
  local items = cjson.decode(o.items or '[]')
  for _, item in ipairs(items) do
    release(t, item.container_id)
    item.status, item.container_id = status, cjson.null
  end
  if #items > 0 then
    redis.call('HSET', K.op(t, o.id), 'items', cjson.encode(items))
  end
  redis.call('HSET', K.op(t, o.id), 'status', status, 'updated_ms', now, 'completed_ms', now, unpack(pairs_))
end

-- Its record is as it will stay.
local function op_over(t, o, keep)
  redis.call('HDEL', K.op(t, o.id), 'lease_until_ms')
  redis.call('EXPIRE', K.op(t, o.id), keep)
  redis.call('ZREM', K.node_due(o.node), t .. '/' .. o.id)
  redis.call('ZREM', K.node_wait(o.node, t), o.id)
  op_turn(t, o.id)
end

-- tenant, id, node, seconds that it is kept at least, field, value, ...
local function op_submit(keys, args)
  local t, id, node, pairs_ = args[1], args[2], args[3], rest_of(args, 5)
  if redis.call('EXISTS', K.op(t, id)) == 1 then
    return fail('QT_EXISTS', id)
  end
  redis.call('HSET', K.op(t, id), unpack(pairs_))
  redis.call('EXPIRE', K.op(t, id), args[4])
  redis.call('ZADD', K.ops(t), field_in(pairs_, 'created_ms'), id)
  redis.call('ZADD', K.node_due(node), field_in(pairs_, 'deadline_ms'), t .. '/' .. id)
  enqueue(node, t, id)
  ops_trim(t)
  op_turn(t, id)
  return 'OK'
end
redis.register_function('qt_op_submit', op_submit)
-- The same of what stops or takes away, which a store that is full must not refuse.
redis.register_function{ function_name = 'qt_op_submit_end', flags = { 'allow-oom' }, callback = op_submit }

-- tenant, id, fields
redis.register_function{ function_name = 'qt_op_get', flags = { 'no-writes' }, callback = function(keys, args)
  if redis.call('EXISTS', K.op(args[1], args[2])) == 0 then
    return fail('QT_NO_OP', args[2])
  end
  return redis.call('HMGET', K.op(args[1], args[2]), unpack(rest_of(args, 3)))
end }

-- tenant, status or '', most records, most that are looked at, cursor "<created_ms>/<id>" or '', fields. Newest first. Answers the next
-- cursor or '', then the records, which may be fewer than there are. The cursor names the last one that was looked at.
redis.register_function{ function_name = 'qt_op_list', flags = { 'no-writes' }, callback = function(keys, args)
  local t, status, most, looks, fields = args[1], args[2], tonumber(args[3]), tonumber(args[4]), rest_of(args, 6)
  local from_ms, from_id = string.match(args[5], '^(%d+)/([%w_]+)$')
  local out, offset = { '' }, 0
  if args[5] ~= '' and not from_ms then
    return fail('QT_CURSOR')
  end
  while true do
    local part = redis.call('ZRANGE', K.ops(t), from_ms or '+inf', '-inf', 'BYSCORE', 'REV', 'LIMIT', offset, 128, 'WITHSCORES')
    for i = 1, #part, 2 do
      local id, ms = part[i], part[i + 1]
      if not (from_ms and tonumber(ms) == tonumber(from_ms) and id >= from_id) then
        if #out > most or looks == 0 then
          return out
        end
        looks = looks - 1
        local now = redis.call('HGET', K.op(t, id), 'status')
        if now and (status == '' or now == status) then
          out[#out + 1] = redis.call('HMGET', K.op(t, id), unpack(fields))
        end
        out[1] = int(tonumber(ms)) .. '/' .. id
      end
    end
    if #part < 256 then
      out[1] = ''
      return out
    end
    offset = offset + 128
  end
end }

-- tenant, id, seconds that it is kept, fields. Answers { 1 if it is cancelled, 0 if whoever executes it is asked to, { values } }. The entry in
-- the stream goes when it is claimed.
redis.register_function{ function_name = 'qt_op_cancel', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, id = args[1], args[2]
  local o = hash(K.op(t, id))
  if not o then
    return fail('QT_NO_OP', id)
  end
  if FINAL[o.status] then
    return fail('QT_OP_FINAL', o.status)
  end
  local never = o.status ~= 'running'
  if (tonumber(o.cancel_ms) or 0) == 0 then
    redis.call('HSET', K.op(t, id), 'cancel_ms', int(now_ms()))
  end
  if never then
    op_never(t, o, 'cancelled', { 'message', 'cancelled' })
    op_over(t, o, args[3])
  end
  return { never and 1 or 0, redis.call('HMGET', K.op(t, id), unpack(rest_of(args, 4))) }
end }

-- node, entry, consumer, lease in ms, "1" when it begins now, tenant, id, fields. Answers { token, { values } }; an entry that is nobody's any
-- more (its record is final, expired or flushed) is taken out of the stream: QT_OP_OVER. What begins later is queued, unless it was begun before.
redis.register_function{ function_name = 'qt_op_claim', flags = { 'allow-oom' }, callback = function(keys, args)
  local node, entry, consumer, lease, begins, t, id = args[1], args[2], args[3], tonumber(args[4]), args[5] == '1', args[6], args[7]
  local o, now = hash(K.op(t, id)), now_ms()
  if not o or FINAL[o.status] then
    acknowledge(node, entry, t, id)
    return fail('QT_OP_OVER', id)
  end
  if (tonumber(o.lease_until_ms) or 0) > now then
    return fail('QT_LEASE', id)
  end
  local token = redis.call('INCR', K.fence(t))
  -- The idle time that XAUTOCLAIM goes by begins with the lease.
  redis.call('XCLAIM', K.node_ops(node), GROUP, consumer, 0, entry, 'JUSTID')
  redis.call('HSET', K.op(t, id), 'token', int(token), 'owner', consumer, 'lease_until_ms', int(now + lease))
  if begins then
    op_begin(t, o)
  else
    redis.call('HSET', K.op(t, id), 'status', o.status == 'running' and 'running' or 'queued', 'updated_ms', int(now))
  end
  op_event(t, id)
  return { token, redis.call('HMGET', K.op(t, id), unpack(rest_of(args, 8))) }
end }

-- node, consumer: its agent has begun, and is alone; so what an earlier one held is nobody's, and the next that is claimed.
local LONG_IDLE = 86400000
redis.register_function{ function_name = 'qt_op_orphan', flags = { 'allow-oom' }, callback = function(keys, args)
  local node, from = args[1], '0-0'
  for _, member in ipairs(redis.call('ZRANGE', K.node_due(node), 0, -1)) do
    local t, id = string.match(member, '^([%w_]+)/([%w_]+)$')
    if t then
      redis.call('HDEL', K.op(t, id), 'lease_until_ms')
    end
  end
  if redis.call('EXISTS', K.node_ops(node)) == 0 then
    return 'OK'
  end
  repeat
    local r = redis.pcall('XAUTOCLAIM', K.node_ops(node), GROUP, args[2], 0, from, 'COUNT', 100, 'JUSTID')
    if r.err then -- nobody ever read of it
      return 'OK'
    end
    from = r[1]
    for _, entry in ipairs(r[2]) do
      redis.call('XCLAIM', K.node_ops(node), GROUP, args[2], 0, entry, 'IDLE', LONG_IDLE, 'JUSTID')
    end
  until from == '0-0'
  return 'OK'
end }

-- O if TOKEN holds it.
local function held(t, id, token)
  local o = hash(K.op(t, id))
  return o and (o.status == 'running' or o.status == 'queued') and o.token == token and o
end

-- node, entry, tenant, id, token, fields: a slot is free for what was claimed. QT_OP_OVER: it was cancelled meanwhile.
redis.register_function{ function_name = 'qt_op_begin', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, id = args[3], args[4]
  local o = held(t, id, args[5])
  if not o then
    local is = redis.call('HGET', K.op(t, id), 'status')
    if not is or FINAL[is] then
      acknowledge(args[1], args[2], t, id)
      return fail('QT_OP_OVER', id)
    end
    return fail('QT_LEASE', id)
  end
  op_begin(t, o)
  op_event(t, id)
  return redis.call('HMGET', K.op(t, id), unpack(rest_of(args, 6)))
end }

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

-- node, entry, tenant, id, token, field, value, ... Answers as qt_op_asked does.
redis.register_function{ function_name = 'qt_op_progress', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, id = args[3], args[4]
  local o = held(t, id, args[5])
  if not o then
    return fail('QT_LEASE', id)
  end
  redis.call('HSET', K.op(t, id), unpack(rest_of(args, 6)))
  redis.call('HSET', K.op(t, id), 'updated_ms', int(now_ms()))
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
  local o = held(t, id, args[5])
  if not o then
    return fail('QT_LEASE', id)
  end
  redis.call('HSET', K.op(t, id), unpack(rest_of(args, 7)))
  redis.call('HSET', K.op(t, id), 'updated_ms', now, 'completed_ms', now)
  acknowledge(args[1], args[2], t, id)
  op_over(t, o, args[6])
  return 'OK'
end }

-- ms after the deadline, ms without a heartbeat after which a node's agent is gone, seconds that a record is kept. What is past its deadline, and
-- nobody works on, and either nobody began or nobody will go on with: timed_out. Answers how many.
redis.register_function{ function_name = 'qt_op_overdue', flags = { 'allow-oom' }, callback = function(keys, args)
  local now, n = now_ms(), 0
  local nodes = redis.call('ZRANGE', K.nodes, 0, -1, 'WITHSCORES')
  for i = 1, #nodes, 2 do
    local node, gone = nodes[i], now - tonumber(nodes[i + 1]) > tonumber(args[2])
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', K.node_due(node), '-inf', int(now - tonumber(args[1])), 'LIMIT', 0, 512)) do
      local t, id = string.match(member, '^([%w_]+)/([%w_]+)$')
      local o = t and hash(K.op(t, id))
      if not o or FINAL[o.status] then
        redis.call('ZREM', K.node_due(node), member)
      elseif (tonumber(o.lease_until_ms) or 0) <= now and (o.status ~= 'running' or gone) then
        local why = { 'message', 'timed out', 'error_code', 'TIMEOUT', 'error', 'the node\'s agent did not carry it out in time' }
        if o.status ~= 'running' then
          op_never(t, o, 'timed_out', why)
        else
          -- What it made stays until that agent is back, and settles it.
          redis.call('HSET', K.op(t, id), 'status', 'timed_out', 'updated_ms', int(now), 'completed_ms', int(now), unpack(why))
        end
        op_over(t, o, args[3])
        n = n + 1
      end
    end
  end
  return n
end }

-- What a step of an operation wrote: so many entries are kept.
local LOG_KEPT = 2000

-- tenant, id, seconds that it is kept, stream, step, text
redis.register_function('qt_op_log', function(keys, args)
  local t, id = args[1], args[2]
  if redis.call('EXISTS', K.op(t, id)) == 0 then
    return fail('QT_NO_OP', id)
  end
  redis.call('XADD', K.op_log(t, id), 'MAXLEN', '~', LOG_KEPT, '*', 'stream', args[4], 'step', args[5], 'text', args[6])
  redis.call('EXPIRE', K.op_log(t, id), args[3])
  return 'OK'
end)

-- tenant, id, most, the entry after which they are: the status, then of each entry id, stream, step and text
redis.register_function{ function_name = 'qt_op_log_read', flags = { 'no-writes' }, callback = function(keys, args)
  local t, id = args[1], args[2]
  local out = { redis.call('HGET', K.op(t, id), 'status') }
  if not out[1] then
    return fail('QT_NO_OP', id)
  end
  for _, entry in ipairs(redis.call('XRANGE', K.op_log(t, id), '(' .. args[4], '+', 'COUNT', tonumber(args[3]))) do
    local f = {}
    for i = 1, #entry[2], 2 do
      f[entry[2][i]] = entry[2][i + 1]
    end
    for _, v in ipairs({ entry[1], f.stream or '', f.step or '', f.text or '' }) do
      out[#out + 1] = v
    end
  end
  return out
end }
