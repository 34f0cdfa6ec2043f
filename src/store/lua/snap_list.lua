-- Reading snapshots. Records are answered as the values of the fields that the caller names, in its order.

-- tenant, id, fields
redis.register_function{ function_name = 'qt_snap_get', flags = { 'no-writes' }, callback = function(keys, args)
  if redis.call('EXISTS', K.snap(args[1], args[2])) == 0 then
    return fail('QT_NO_SNAP')
  end
  return redis.call('HMGET', K.snap(args[1], args[2]), unpack(rest_of(args, 3)))
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
  local after_ms, after_id = string.match(args[4], '^(%d+)/([%w_]+)$')
  local labels, fields = {}, rest_of(args, 6 + 2 * n)
  local out, offset = { '' }, 0
  if args[4] ~= '' and not after_ms then
    return fail('QT_CURSOR')
  end
  for i = 6, 5 + 2 * n do
    labels[#labels + 1] = args[i]
  end
  while true do
    local part = redis.call('ZRANGEBYSCORE', zset, after_ms or '-inf', '+inf', 'WITHSCORES', 'LIMIT', offset, 256)
    for i = 1, #part, 2 do
      local id, ms = part[i], part[i + 1]
      local seen = after_ms and tonumber(ms) == tonumber(after_ms) and id <= after_id
      if not seen and has_labels(t, id, labels) then
        if #out > most then
          return out
        end
        out[#out + 1] = redis.call('HMGET', K.snap(t, id), unpack(fields))
        out[1] = int(tonumber(ms)) .. '/' .. id
      end
    end
    if #part < 512 then
      out[1] = ''
      return out
    end
    offset = offset + 256
  end
end }

local function snap_members(members, fields)
  local out = { '' }
  for _, member in ipairs(members) do
    local t, id = string.match(member, '^([%w_]+)/([%w_]+)$')
    if t and redis.call('EXISTS', K.snap(t, id)) == 1 then
      out[#out + 1] = redis.call('HMGET', K.snap(t, id), unpack(fields))
    end
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
