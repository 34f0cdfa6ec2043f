-- Reading containers. Records are answered as the values of the fields that the caller names, in its order.

-- The id of WHO, an id or a name; an id wins.
local function resolve(t, who)
  if redis.call('EXISTS', K.ctr(t, who)) == 1 then
    return who
  end
  return redis.call('HGET', K.names(t), who) or nil
end

-- tenant, id or name, fields
redis.register_function{ function_name = 'qt_ctr_get', flags = { 'no-writes' }, callback = function(keys, args)
  local id = resolve(args[1], args[2])
  if not id then
    return fail('QT_NO_CTR', args[2])
  end
  return redis.call('HMGET', K.ctr(args[1], id), unpack(rest_of(args, 3)))
end }

-- tenant, name
redis.register_function{ function_name = 'qt_ctr_by_name', flags = { 'no-writes' }, callback = function(keys, args)
  return redis.call('HGET', K.names(args[1]), args[2]) or fail('QT_NO_CTR', args[2])
end }

-- tenant, state or '', most records, cursor, fields
redis.register_function{ function_name = 'qt_ctr_list', flags = { 'no-writes' }, callback = function(keys, args)
  local t, state, fields = args[1], args[2], rest_of(args, 5)
  return page_by_time(K.ctrs(t), tonumber(args[3]), args[4], function(id)
    local c = redis.call('HMGET', K.ctr(t, id), 'state', 'build')
    if (state == '' or c[1] == state) and (not c[2] or c[2] == '') then
      return redis.call('HMGET', K.ctr(t, id), unpack(fields))
    end
  end)
end }

-- node, the version that the caller has: nil when that is the newest; else the newest, then tenant, address and name of each that runs. A
-- store that does not know the version any more has lost it, and answers all.
redis.register_function{ function_name = 'qt_names', flags = { 'no-writes' }, callback = function(keys, args)
  local version = redis.call('GET', K.node_names(args[1])) or '0'
  if version == args[2] and version ~= '0' then
    return nil
  end
  local out = { tonumber(version) }
  for _, member in ipairs(redis.call('SMEMBERS', K.node_ctrs(args[1]))) do
    local t, id = string.match(member, '^([%w_]+)/([%w_]+)$')
    local c = t and redis.call('HMGET', K.ctr(t, id), 'state', 'ip_address', 'name')
    if c and c[1] == 'running' and c[2] and c[2] ~= '' and c[3] then
      out[#out + 1] = t
      out[#out + 1] = c[2]
      out[#out + 1] = c[3]
    end
  end
  return out
end }

-- node, most records, cursor "<tenant>/<id>" or '', fields: all containers of a node
redis.register_function{ function_name = 'qt_ctr_of_node', flags = { 'no-writes' }, callback = function(keys, args)
  local fields = rest_of(args, 4)
  return page_of_node(K.node_ctrs(args[1]), tonumber(args[2]), args[3], function(t, id)
    return values(K.ctr(t, id), fields)
  end)
end }
