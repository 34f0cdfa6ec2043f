-- The two streams of a tenant: events for whoever watches, usage for whoever bills. Written by the function that makes the change, so
-- that neither can be without the other.
local EVENTS_KEPT = 20000
local USAGE_KEPT = 100000

-- The stream is the truth; the message spares whoever listens to many tenants a look at each stream. A message that is lost is found there.
local function event(t, kind, data)
  local id = redis.call('XADD', K.events(t), 'MAXLEN', '~', EVENTS_KEPT, '*', 'kind', kind, 'data', data, 'at_ms', int(now_ms()))
  redis.call('PUBLISH', K.channel, t .. ' ' .. id .. ' ' .. kind .. ' ' .. data)
end

-- What people read (GET /api/activity). SUBJECT is the kind of thing that WHAT happened to. Before the event that it tells of.
local function activity(t, subject, name, what, ctr)
  event(t, 'activity_new', cjson.encode({ type = subject .. '.' .. what, message = name .. ' ' .. what,
    container_id = ctr and ctr ~= '' and ctr or cjson.null, created_at = iso(now_ms()) }))
end

local function or_null(text)
  return text and text ~= '' and text or cjson.null
end

local function time_or_null(ms)
  return (tonumber(ms) or 0) > 0 and iso(tonumber(ms)) or cjson.null
end

-- The name resolves while it runs (qt_names).
local function dns_told(t, old, c)
  local was, is = old and old.state == 'running', c and c.state == 'running'
  local what = is and not was and 'added' or was and not is and 'removed' or is and c.name ~= old.name and 'renamed'
  if what then
    local now = c or old
    event(t, 'dns_entry_update', cjson.encode({ container_id = now.id, container_name = now.name, ip_address = or_null(now.ip_address),
      old_name = what == 'renamed' and old.name or nil, event = what }))
  end
end

-- As GET /api/network/allocations has it, as far as Redis knows.
local function network_status(c)
  if not c or (c.ip_address or '') == '' then
    return nil
  end
  return (tonumber(c.deleting_ms) or 0) > 0 and 'cleanup_pending' or c.state == 'running' and 'active' or 'allocated'
end

local function network_told(t, old, c)
  local was, is = network_status(old), network_status(c)
  if was ~= is or (is and c.ip_address ~= old.ip_address) then
    local now = c or old
    event(t, 'network_allocation_update', cjson.encode({ container_id = now.id, container_name = now.name,
      ip_address = now.ip_address, status = is or 'cleaned' }))
  end
end

-- As GET /api/monitors/{id} has it (src/api/h_concerns.c). One that was never up is not watched yet.
local function monitor_status(c)
  local code = tonumber(c and c.exit_code) or 0
  if not c or (c.state == 'created' and c.pid == '0') then
    return ''
  elseif c.state == 'exited' then
    return code == 0 and 'completed' or code > 128 and 'aborted' or 'failed'
  end
  return c.state == 'error' and 'failed' or 'monitoring'
end

local function monitor_told(t, old, c)
  local is = monitor_status(c)
  if is ~= '' and (is ~= monitor_status(old) or c.pid ~= old.pid) then
    event(t, 'process_monitor_update', cjson.encode({ container_id = c.id, container_name = c.name,
      pid = c.pid ~= '0' and tonumber(c.pid) or cjson.null, status = is, started_at = time_or_null(c.started_ms),
      last_check = iso(now_ms()), error_message = or_null(c.error) }))
  end
end

-- As GET /api/cleanup/tasks has it: pending from the request for its delete, completed when it is gone.
local function cleanup_told(t, old, c)
  local asked = old and tonumber(old.deleting_ms) or 0
  if not c or (asked == 0 and (tonumber(c.deleting_ms) or 0) > 0) then
    local now, id = now_ms(), (c or old).id
    event(t, 'cleanup_update', cjson.encode({ task_id = id, container_id = id, resource_type = 'container',
      resource_path = 'containers/' .. id, status = c and 'pending' or 'completed', created_at = iso(asked > 0 and asked or now),
      completed_at = c and cjson.null or iso(now), error_message = cjson.null }))
  end
end

-- A container was changed: OLD is its hash as it was (nil: it was not there), C as it is (nil: it is gone), NAME what happened ('': nothing that has
-- a name). The event of that name is the last: whoever hears it has heard all.
local function ctr_told(t, old, c, name)
  local now = c or old
  if now.build and now.build ~= '' then
    return -- a build's own
  end
  dns_told(t, old, c)
  network_told(t, old, c)
  monitor_told(t, old, c)
  cleanup_told(t, old, c)
  if name ~= '' then
    activity(t, 'container', now.name, name, now.id)
    event(t, 'container_update', cjson.encode({ container_id = now.id, name = now.name, state = now.state, event = name }))
  end
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

-- So far back whoever asks for one kind of them is answered: it must not keep Redis from the others.
local LOOKS = 2560

-- tenant, most, kind: the newest of that kind, the newest first, [id, data, at_ms] each.
redis.register_function{ function_name = 'qt_events', flags = { 'no-writes' }, callback = function(keys, args)
  local out, most, before, page, looks = {}, tonumber(args[2]), '+', nil, 0
  repeat
    page = redis.call('XREVRANGE', K.events(args[1]), before, '-', 'COUNT', 256)
    looks = looks + #page
    for _, entry in ipairs(page) do
      local f = {}
      for i = 1, #entry[2], 2 do
        f[entry[2][i]] = entry[2][i + 1]
      end
      if f.kind == args[3] and #out < most then
        out[#out + 1] = { entry[1], f.data or '{}', f.at_ms or '0' }
      end
      before = '(' .. entry[1]
    end
  until #page < 256 or #out == most or looks >= LOOKS
  return out
end }

-- tenant, kind, JSON object: what changed no record
redis.register_function('qt_event', function(keys, args)
  local t, kind, d = args[1], args[2], cjson.decode(args[3])
  if kind == 'container_update' and d.name and d.event then
    activity(t, 'container', d.name, d.event, d.container_id)
  end
  event(t, kind, args[3])
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
