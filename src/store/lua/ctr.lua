-- Containers: each change of one, whole.

-- What a container of these fields adds to the sums of its tenant: +1 when it is made, -1 when it goes.
local function ctr_use(t, c, sign)
  use(t, 'memory_mb', sign * (tonumber(c.memory_limit_mb) or 0))
  use(t, 'cpu_percent', sign * (tonumber(c.cpu_limit_centi) or 0) / 100)
  use(t, 'gpus', sign * (tonumber(c.gpu_count) or 0))
end

-- Whoever resolves names of the node N reads them anew. Begins at the time of day: a store that lost all must not come to an old number again.
local function names_changed(n)
  if redis.call('EXISTS', K.node_names(n)) == 0 then
    redis.call('SET', K.node_names(n), int(now_ms()))
  end
  redis.call('INCR', K.node_names(n))
end

-- The sets, indexes and sums of a hash that was just written.
local function ctr_index(t, c)
  redis.call('ZADD', K.ctrs(t), c.created_ms, c.id)
  redis.call('SADD', K.state(t, c.state), c.id)
  redis.call('HSETNX', K.names(t), c.name, c.id)
  redis.call('SADD', K.node_ctrs(c.node), t .. '/' .. c.id)
  names_changed(c.node)
  vol_attach(t, c.id, vol_refs(c.volumes))
  gpu_attach(t, c)
  ctr_use(t, c, 1)
end

local function ctr_write(t, id, pairs_)
  redis.call('HSET', K.ctr(t, id), unpack(pairs_))
  local c = hash(K.ctr(t, id))
  ctr_index(t, c)
  return c
end

-- These containers, each a list { field, value, ... }, on top of what is there: nil, or why not.
local function reserve_refused(t, all)
  local seen, memory, cpu, gpus = {}, 0, 0, 0
  for _, pairs_ in ipairs(all) do
    local id, name = field_in(pairs_, 'id'), field_in(pairs_, 'name')
    local no = gpu_plan(t, pairs_)
    if no then
      return no
    end
    if redis.call('EXISTS', K.ctr(t, id)) == 1 then
      return fail('QT_EXISTS', id)
    end
    if seen[name] or redis.call('HEXISTS', K.names(t), name) == 1 then
      return fail('QT_NAME_TAKEN', name)
    end
    local missing = vol_missing(t, vol_refs(field_in(pairs_, 'volumes')))
    if missing then
      return fail('QT_NO_VOL', missing)
    end
    seen[name] = true
    memory = memory + tonumber(field_in(pairs_, 'memory_limit_mb'))
    cpu = cpu + tonumber(field_in(pairs_, 'cpu_limit_centi')) / 100
    gpus = gpus + tonumber(field_in(pairs_, 'gpu_count'))
  end
  return over_quota(t, 'containers', redis.call('ZCARD', K.ctrs(t)), #all) or
    over_quota(t, 'memory_mb', used(t, 'memory_mb'), memory) or
    over_quota(t, 'cpu_percent', used(t, 'cpu_percent'), cpu) or
    over_quota(t, 'gpus', used(t, 'gpus'), gpus) or
    gpu_choose_all(all)
end

-- tenant, id, field, value, ...: OK, or, if it has GPUs, which: a JSON array
redis.register_function('qt_ctr_reserve', function(keys, args)
  local t, id, pairs_ = args[1], args[2], rest_of(args, 3)
  local refused = reserve_refused(t, { pairs_ })
  if refused then
    return refused
  end
  ctr_told(t, nil, ctr_write(t, id, pairs_), 'created')
  return tonumber(field_in(pairs_, 'gpu_count')) > 0 and field_in(pairs_, 'gpu_ids') or 'OK'
end)

-- tenant, JSON: a list of lists { field, value, ... }. All of them or none.
redis.register_function('qt_ctr_reserve_all', function(keys, args)
  local t, all = args[1], cjson.decode(args[2])
  local refused = reserve_refused(t, all)
  if refused then
    return refused
  end
  for _, pairs_ in ipairs(all) do
    ctr_told(t, nil, ctr_write(t, field_in(pairs_, 'id'), pairs_), 'created')
  end
  return 'OK'
end)

-- tenant, id, event or '', usage or '', "state,state" that it may come from, the new state, field, value, ...
redis.register_function{ function_name = 'qt_ctr_move', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, id, to, pairs_ = args[1], args[2], args[6], rest_of(args, 7)
  local old = hash(K.ctr(t, id))
  if not old then
    return fail('QT_NO_CTR', id)
  end
  -- Who is being deleted does not come up again.
  if to == 'starting' and (tonumber(old.deleting_ms) or 0) > 0 then
    return fail('QT_STATE', old.state)
  end
  if not string.find(',' .. args[5] .. ',', ',' .. old.state .. ',', 1, true) then
    return fail('QT_STATE', old.state)
  end
  redis.call('HSET', K.ctr(t, id), unpack(pairs_))
  redis.call('HSET', K.ctr(t, id), 'state', to)
  if to ~= 'created' and to ~= 'starting' then
    redis.call('HSET', K.ctr(t, id), 'deadline_ms', '0')
  end
  redis.call('SREM', K.state(t, old.state), id)
  redis.call('SADD', K.state(t, to), id)
  names_changed(old.node)
  local c = hash(K.ctr(t, id))
  ctr_told(t, old, c, args[3])
  if args[4] ~= '' then
    -- What was reserved and never came up is nobody's bill, so "created" is written with the first start.
    if args[4] == 'container_started' and old.started_ms == '0' then
      usage(t, c, 'container_created')
    end
    if args[4] == 'container_stopped' then
      usage_stopped(t, c)
    else
      usage(t, c, args[4])
    end
  end
  -- Once: a container keeps its address.
  if old.ip_address == '' and c.ip_address ~= '' then
    usage_write(t, { event_type = 'network_allocated', container_id = id, seconds = 0,
      metadata = '{"ip_address":' .. cjson.encode(c.ip_address) .. '}' })
  end
  return 'OK'
end }

-- tenant, id, volumes: of one that is being made; they are in use from here on.
redis.register_function('qt_ctr_volumes', function(keys, args)
  local t, id, refs = args[1], args[2], vol_refs(args[3])
  local c = hash(K.ctr(t, id))
  if not c then
    return fail('QT_NO_CTR', id)
  end
  if c.state ~= 'created' then
    return fail('QT_STATE', c.state)
  end
  local missing = vol_missing(t, refs)
  if missing then
    return fail('QT_NO_VOL', missing)
  end
  vol_detach(t, id, vol_refs(c.volumes))
  redis.call('HSET', K.ctr(t, id), 'volumes', args[3])
  vol_attach(t, id, refs)
  return 'OK'
end)

local function name_free(t, c)
  if redis.call('HGET', K.names(t), c.name) == c.id then
    redis.call('HDEL', K.names(t), c.name)
  end
end

-- tenant, id, new name
redis.register_function('qt_ctr_rename', function(keys, args)
  local t, id, name = args[1], args[2], args[3]
  local old = hash(K.ctr(t, id))
  if not old then
    return fail('QT_NO_CTR', id)
  end
  if old.name == name then
    return old.name
  end
  if redis.call('HEXISTS', K.names(t), name) == 1 then
    return fail('QT_NAME_TAKEN', name)
  end
  name_free(t, old)
  redis.call('HSET', K.names(t), name, id)
  redis.call('HSET', K.ctr(t, id), 'name', name)
  names_changed(old.node)
  ctr_told(t, old, hash(K.ctr(t, id)), 'renamed')
  return old.name
end)

-- How long the record of C will be as JSON, or a little more: what C cannot write, Redis must not hold.
local function record_size(c)
  local n = 2
  for k, v in pairs(c) do
    local json = string.byte(v) == 123 or string.byte(v) == 91
    n = n + #k + 6 + (json and #v or 2 * #v)
  end
  return n
end

-- tenant, id, "merge" or "replace", JSON object, most variables, most bytes, most bytes of the record; then the fields to answer
redis.register_function('qt_ctr_env', function(keys, args)
  local t, id, given = args[1], args[2], cjson.decode(args[4])
  local c = hash(K.ctr(t, id))
  if not c then
    return fail('QT_NO_CTR', id)
  end
  local env = args[3] == 'merge' and cjson.decode(c.environment) or {}
  for k, v in pairs(given) do
    env[k] = v ~= cjson.null and v or nil
  end
  local n, bytes = 0, 0
  for k, v in pairs(env) do
    n, bytes = n + 1, bytes + #k + #v + 2
  end
  c.environment = n > 0 and cjson.encode(env) or '{}'
  if n > tonumber(args[5]) or bytes > tonumber(args[6]) or record_size(c) > tonumber(args[7]) then
    return fail('QT_ENV_TOO_LARGE')
  end
  redis.call('HSET', K.ctr(t, id), 'environment', c.environment)
  return redis.call('HMGET', K.ctr(t, id), unpack(rest_of(args, 8)))
end)

-- tenant, id, "add" or "remove", IPv4 network, most routes; then the fields to answer
redis.register_function('qt_ctr_route', function(keys, args)
  local t, id, net = args[1], args[2], args[4]
  local c = hash(K.ctr(t, id))
  if not c then
    return fail('QT_NO_CTR', id)
  end
  local routes = {}
  for _, have in ipairs(cjson.decode(c.routes or '[]')) do
    if have ~= net then
      routes[#routes + 1] = have
    end
  end
  if args[3] == 'add' then
    routes[#routes + 1] = net
  end
  if #routes > tonumber(args[5]) then
    return fail('QT_ROUTES_FULL', args[5])
  end
  -- An empty table would become an object.
  redis.call('HSET', K.ctr(t, id), 'routes', #routes > 0 and cjson.encode(routes) or '[]')
  return redis.call('HMGET', K.ctr(t, id), unpack(rest_of(args, 6)))
end)

-- tenant, id, address: of a container that does not run.
redis.register_function('qt_ctr_address', function(keys, args)
  local t, id = args[1], args[2]
  local c = hash(K.ctr(t, id))
  if not c then
    return fail('QT_NO_CTR', id)
  end
  if c.state == 'running' or c.state == 'starting' then
    return fail('QT_STATE', c.state)
  end
  redis.call('HSET', K.ctr(t, id), 'ip_address', args[3])
  ctr_told(t, c, hash(K.ctr(t, id)), '')
  return 'OK'
end)

-- tenant, id
redis.register_function{ function_name = 'qt_ctr_deleting', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, id = args[1], args[2]
  local old = hash(K.ctr(t, id))
  if not old then
    return fail('QT_NO_CTR', id)
  end
  redis.call('HSET', K.ctr(t, id), 'deleting_ms', int(now_ms()))
  ctr_told(t, old, hash(K.ctr(t, id)), '')
  return 'OK'
end }

-- C is its hash.
local function ctr_remove(t, c)
  redis.call('DEL', K.ctr(t, c.id))
  redis.call('ZREM', K.ctrs(t), c.id)
  redis.call('SREM', K.state(t, c.state), c.id)
  redis.call('SREM', K.node_ctrs(c.node), t .. '/' .. c.id)
  name_free(t, c)
  vol_detach(t, c.id, vol_refs(c.volumes))
  gpu_detach(t, c)
  ctr_use(t, c, -1)
  names_changed(c.node)
  jobs_remove(t, c.id)
  sessions_remove(t, c.id)
  -- An agent that looked at the runtime before the container went must not put it back (qt_ctr_restore).
  redis.call('SET', K.gone(t, c.id), '1', 'EX', 120)
  if c.state == 'running' then
    c.exited_ms = int(now_ms())
    usage_stopped(t, c)
  end
  ctr_told(t, c, nil, 'removed')
end

-- tenant, id
redis.register_function{ function_name = 'qt_ctr_remove', flags = { 'allow-oom' }, callback = function(keys, args)
  local c = hash(K.ctr(args[1], args[2]))
  if not c then
    return fail('QT_NO_CTR', args[2])
  end
  ctr_remove(args[1], c)
  return 'OK'
end }

-- tenant, id, field, value, ...: what the runtime has and Redis lost. Whoever was quicker with the name keeps it; a container that runs
-- must not be lost for that, and answers to its id.
redis.register_function{ function_name = 'qt_ctr_restore', flags = { 'allow-oom' }, callback = function(keys, args)
  local t, id = args[1], args[2]
  if redis.call('EXISTS', K.gone(t, id)) == 1 then
    return fail('QT_NO_CTR', id)
  end
  if redis.call('EXISTS', K.ctr(t, id)) == 0 then
    ctr_told(t, nil, ctr_write(t, id, rest_of(args, 3)), 'restored')
  end
  return 'OK'
end }
