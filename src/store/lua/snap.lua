-- Snapshots: each change of one, whole. Reading them is in snap_list.lua.

local function snap_event(t, s, name)
  activity(t, 'snapshot', s.id, name, s.source_container_id)
  event(t, 'snapshot_update', cjson.encode({ snapshot_id = s.id, source_container_id = s.source_container_id,
    source_container_name = s.source_container_name, status = (tonumber(s.deleting_ms) or 0) > 0 and 'deleting' or s.status,
    pinned = s.pinned == '1', event = name }))
end

local function snap_member(t, id) return t .. '/' .. id end

-- Who is pinned, or not there yet, does not expire.
local function snap_expiry(t, s)
  local at = tonumber(s.expires_ms) or 0
  if s.status == 'ready' and s.pinned ~= '1' and at > 0 then
    redis.call('ZADD', K.node_expiry(s.node), s.expires_ms, snap_member(t, s.id))
  else
    redis.call('ZREM', K.node_expiry(s.node), snap_member(t, s.id))
  end
end

local function snap_write(t, id, pairs_)
  redis.call('HSET', K.snap(t, id), unpack(pairs_))
  local s = hash(K.snap(t, id))
  redis.call('ZADD', K.snaps(t), s.created_ms, id)
  redis.call('ZADD', K.snaps_of(t, s.source_container_id), s.created_ms, id)
  redis.call('ZADD', K.node_snaps(s.node), 0, snap_member(t, id))
  snap_expiry(t, s)
  return s
end

-- The hash, unless it is gone or going.
local function snap_live(t, id)
  local s = hash(K.snap(t, id))
  return s and (tonumber(s.deleting_ms) or 0) == 0 and s
end

-- tenant, id, field, value, ...
redis.register_function('qt_snap_reserve', function(keys, args)
  local t, id = args[1], args[2]
  if redis.call('EXISTS', K.snap(t, id)) == 1 then
    return fail('QT_EXISTS', id)
  end
  local over = over_quota(t, 'snapshots', redis.call('ZCARD', K.snaps(t)), 1)
  if over then
    return over
  end
  snap_event(t, snap_write(t, id, rest_of(args, 3)), 'creating')
  return 'OK'
end)

-- tenant, id, size in bytes: the runtime has it. Idempotent.
redis.register_function{ function_name = 'qt_snap_ready', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, id = args[1], args[2]
  local s = snap_live(t, id)
  if not s then
    return fail('QT_NO_SNAP')
  end
  if s.status ~= 'ready' then
    redis.call('HSET', K.snap(t, id), 'status', 'ready', 'size_bytes', args[3], 'deadline_ms', '0')
    s = hash(K.snap(t, id))
    snap_expiry(t, s)
    snap_event(t, s, 'ready')
  end
  return 'OK'
end }

-- tenant, id, 1 or 0, fields
redis.register_function{ function_name = 'qt_snap_pin', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, id, pinned = args[1], args[2], args[3]
  local s = snap_live(t, id)
  if not s then
    return fail('QT_NO_SNAP')
  end
  if s.pinned ~= pinned then
    redis.call('HSET', K.snap(t, id), 'pinned', pinned, 'unsaved', '1')
    s = hash(K.snap(t, id))
    snap_expiry(t, s)
    snap_event(t, s, pinned == '1' and 'pinned' or 'unpinned')
  end
  return redis.call('HMGET', K.snap(t, id), unpack(rest_of(args, 4)))
end }

-- tenant, id, pinned as the runtime's record has it now
redis.register_function{ function_name = 'qt_snap_saved', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, id = args[1], args[2]
  if redis.call('EXISTS', K.snap(t, id)) == 1 then
    -- Two that pin and unpin may write in another order than they asked: then it is written once more.
    redis.call('HSET', K.snap(t, id), 'unsaved', redis.call('HGET', K.snap(t, id), 'pinned') == args[3] and '0' or '1')
  end
  return 'OK'
end }

-- A container is being made of it: reserved, and not yet up.
local function snap_used(t, id, now)
  for _, ctr in ipairs(redis.call('SMEMBERS', K.state(t, 'created'))) do
    local c = redis.call('HMGET', K.ctr(t, ctr), 'copied_from', 'deadline_ms')
    if c[1] == id and (tonumber(c[2]) or 0) > now then
      return true
    end
  end
end

-- tenant, id, why: "asked", by a client; "expired", by the agent; "failed", by whoever did not get it made. From here on it goes, and only
-- goes. May be said again.
redis.register_function{ function_name = 'qt_snap_deleting', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, id, why, now = args[1], args[2], args[3], now_ms()
  local s = hash(K.snap(t, id))
  if not s then
    return fail('QT_NO_SNAP')
  end
  if (tonumber(s.deleting_ms) or 0) == 0 then
    if why ~= 'failed' and s.pinned == '1' then
      return fail('QT_SNAP_PINNED')
    end
    if why == 'expired' and ((tonumber(s.expires_ms) or 0) == 0 or tonumber(s.expires_ms) > now) then
      return fail('QT_NO_SNAP')
    end
    if why ~= 'failed' and ((s.status == 'creating' and (tonumber(s.deadline_ms) or 0) > now) or snap_used(t, id, now)) then
      return fail('QT_SNAP_USED')
    end
  end
  redis.call('HSET', K.snap(t, id), 'deleting_ms', int(now))
  redis.call('ZREM', K.node_expiry(s.node), snap_member(t, id))
  return 'OK'
end }

-- S is its hash.
local function snap_remove(t, s, name)
  redis.call('DEL', K.snap(t, s.id))
  redis.call('ZREM', K.snaps(t), s.id)
  redis.call('ZREM', K.snaps_of(t, s.source_container_id), s.id)
  redis.call('ZREM', K.node_snaps(s.node), snap_member(t, s.id))
  redis.call('ZREM', K.node_expiry(s.node), snap_member(t, s.id))
  redis.call('SET', K.gone(t, s.id), '1', 'EX', 120)
  snap_event(t, s, name)
end

-- tenant, id, the event's name
redis.register_function{ function_name = 'qt_snap_remove', flags = { 'allow-oom' }, callback = function(keys, args)
  local s = hash(K.snap(args[1], args[2]))
  if not s then
    return fail('QT_NO_SNAP')
  end
  snap_remove(args[1], s, args[3])
  return 'OK'
end }

-- tenant, id, field, value, ...: what the runtime has and Redis lost.
redis.register_function{ function_name = 'qt_snap_restore', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, id = args[1], args[2]
  if redis.call('EXISTS', K.gone(t, id)) == 1 then
    return fail('QT_NO_SNAP')
  end
  if redis.call('EXISTS', K.snap(t, id)) == 0 then
    snap_event(t, snap_write(t, id, rest_of(args, 3)), 'restored')
  end
  return 'OK'
end }
