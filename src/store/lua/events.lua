-- The two streams of a tenant: events for whoever watches, usage for whoever bills. Written by the function that makes the change, so
-- that neither can be without the other.
local EVENTS_KEPT = 10000
local USAGE_KEPT = 100000

local function event(t, kind, data)
  redis.call('XADD', K.events(t), 'MAXLEN', '~', EVENTS_KEPT, '*', 'kind', kind, 'data', data, 'at_ms', int(now_ms()))
end

-- C is the container's hash as it is now.
local function ctr_event(t, c, name)
  event(t, 'container_update', cjson.encode({ container_id = c.id, name = c.name, state = c.state, event = name }))
end

-- R: event_type, and what of the rest it is about.
local function usage_write(t, r)
  redis.call('XADD', K.usage(t), 'MAXLEN', '~', USAGE_KEPT, '*', 'tenant_id', t, 'event_type', r.event_type,
    'container_id', r.container_id or '', 'timestamp', int(math.floor(now_ms() / 1000)), 'duration_seconds', string.format('%.3f', r.seconds),
    'memory_mb', r.memory_mb or '0', 'cpu_percent', string.format('%.2f', (tonumber(r.cpu_centi) or 0) / 100),
    'metadata', r.metadata or '{}')
end

-- Of a container. Where a time passed, it is FROM to UNTIL; that of samples lies within that of the stop which follows them: who sums, takes the union.
local function usage(t, c, event_type, from, to)
  local r = { event_type = event_type, container_id = c.id, seconds = 0, memory_mb = c.memory_limit_mb, cpu_centi = c.cpu_limit_centi }
  if from and from > 0 and to > from then
    r.seconds = (to - from) / 1000
    r.metadata = '{"from_ms":' .. int(from) .. ',"until_ms":' .. int(to) .. '}'
  end
  usage_write(t, r)
end

-- The end of its run.
local function usage_stopped(t, c)
  usage(t, c, 'container_stopped', tonumber(c.started_ms), tonumber(c.exited_ms))
end

-- tenant, most, the id before which they are, or '': the newest first, [id, kind, data, at_ms] each.
redis.register_function{ function_name = 'qt_events', flags = { 'no-writes' }, callback = function(keys, args)
  local out = {}
  local before = args[3] ~= '' and '(' .. args[3] or '+'
  for _, entry in ipairs(redis.call('XREVRANGE', K.events(args[1]), before, '-', 'COUNT', tonumber(args[2]))) do
    local f = {}
    for i = 1, #entry[2], 2 do
      f[entry[2][i]] = entry[2][i + 1]
    end
    out[#out + 1] = { entry[1], f.kind or '', f.data or '{}', f.at_ms or '0' }
  end
  return out
end }

redis.register_function('qt_event', function(keys, args)
  event(args[1], args[2], args[3])
  return 'OK'
end)
