-- The two streams of a tenant: events for whoever watches, usage for whoever bills. Written by the function that makes the change, so
-- that neither can be without the other.
local EVENTS_KEPT = 10000
local USAGE_KEPT = 100000

-- The stream is the truth; the message spares whoever listens to many tenants a look at each stream. A message that is lost is found there.
local function event(t, kind, data)
  local id = redis.call('XADD', K.events(t), 'MAXLEN', '~', EVENTS_KEPT, '*', 'kind', kind, 'data', data, 'at_ms', int(now_ms()))
  redis.call('PUBLISH', K.channel, t .. ' ' .. id .. ' ' .. kind .. ' ' .. data)
end

-- C is the container's hash as it is now.
local function ctr_event(t, c, name)
  if c.build and c.build ~= '' then
    return -- a build's own
  end
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

-- tenant: the id of its newest event, "0-0" if there is none
redis.register_function{ function_name = 'qt_events_last', flags = { 'no-writes' }, callback = function(keys, args)
  local newest = redis.call('XREVRANGE', K.events(args[1]), '+', '-', 'COUNT', 1)[1]
  return newest and newest[1] or '0-0'
end }

-- tenant, id, at most so many, at about so many bytes: { the oldest event's id or "0-0", 1 if there are more, the events after ID }
redis.register_function{ function_name = 'qt_events_after', flags = { 'no-writes' }, callback = function(keys, args)
  local stream, bytes = K.events(args[1]), 0
  local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  local found, out = redis.call('XRANGE', stream, '(' .. args[2], '+', 'COUNT', args[3]), {}
  for i, entry in ipairs(found) do
    for _, text in ipairs(entry[2]) do
      bytes = bytes + #text
    end
    out[i] = entry
    if bytes > tonumber(args[4]) then
      break
    end
  end
  return { oldest and oldest[1] or '0-0', (#out < #found or #found == tonumber(args[3])) and 1 or 0, out }
end }
