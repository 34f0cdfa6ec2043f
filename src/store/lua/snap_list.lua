-- Reading snapshots. Records are answered as the values of the fields that the caller names, in its order.

-- tenant, id, fields
redis.register_function{ function_name = 'qt_snap_get', flags = { 'no-writes' }, callback = function(keys, args)
  return values(K.snap(args[1], args[2]), rest_of(args, 3)) or fail('QT_NO_SNAP')
end }

-- Has it all the labels, { key, value, key, value … }?
local function has_labels(t, id, labels)
  if #labels == 0 then
    return true
  end
  local have = cjson.decode(redis.call('HGET', K.snap(t, id), 'labels') or '{}')
  for i = 1, #labels, 2 do
    if have[labels[i]] ~= labels[i + 1] then
      return false
    end
  end
  return true
end

-- tenant, source container or '', most records, cursor as of qt_ctr_list, number of labels, their keys and values, fields. Oldest first.
redis.register_function{ function_name = 'qt_snap_list', flags = { 'no-writes' }, callback = function(keys, args)
  local t, most, n = args[1], tonumber(args[3]), tonumber(args[5])
  local zset = args[2] == '' and K.snaps(t) or K.snaps_of(t, args[2])
  local labels, fields = {}, rest_of(args, 6 + 2 * n)
  for i = 6, 5 + 2 * n do
    labels[#labels + 1] = args[i]
  end
  return page_by_time(zset, most, args[4], function(id)
    return has_labels(t, id, labels) and values(K.snap(t, id), fields) or nil
  end)
end }

local function snap_members(members, fields)
  local out = { '' }
  for _, member in ipairs(members) do
    local t, id = string.match(member, '^([%w_]+)/([%w_]+)$')
    out[#out + 1] = t and values(K.snap(t, id), fields) or nil
  end
  return out
end

-- node, most records, cursor "<tenant>/<id>" or '', fields: all of a node, in the order of that text.
redis.register_function{ function_name = 'qt_snap_of_node', flags = { 'no-writes' }, callback = function(keys, args)
  local most = tonumber(args[2])
  local members = redis.call('ZRANGEBYLEX', K.node_snaps(args[1]), args[3] == '' and '-' or '(' .. args[3], '+', 'LIMIT', 0, most)
  local out = snap_members(members, rest_of(args, 4))
  out[1] = #members == most and members[most] or ''
  return out
end }

-- node, most records, fields: whose time is over.
redis.register_function{ function_name = 'qt_snap_expired', flags = { 'no-writes' }, callback = function(keys, args)
  local members = redis.call('ZRANGEBYSCORE', K.node_expiry(args[1]), '-inf', int(now_ms()), 'LIMIT', 0, tonumber(args[2]))
  return snap_members(members, rest_of(args, 3))
end }

-- tenant, id, most records, fields: the snapshot, its parent, and so on to the first, or the last one that still is.
redis.register_function{ function_name = 'qt_snap_lineage', flags = { 'no-writes' }, callback = function(keys, args)
  local t, id, most, fields, out = args[1], args[2], tonumber(args[3]), rest_of(args, 4), { '' }
  if redis.call('EXISTS', K.snap(t, id)) == 0 then
    return fail('QT_NO_SNAP')
  end
  while id and id ~= '' and #out <= most and redis.call('EXISTS', K.snap(t, id)) == 1 do
    out[#out + 1] = redis.call('HMGET', K.snap(t, id), unpack(fields))
    id = redis.call('HGET', K.snap(t, id), 'parent_snapshot_id')
  end
  return out
end }
