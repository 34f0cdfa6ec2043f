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

-- tenant, state or '', most records, cursor "<created_ms>/<id>" or '', fields. Answers the next cursor or '', then the records. The
-- cursor names the last one that was seen, which may be gone by now: pages neither repeat nor skip what stays.
redis.register_function{ function_name = 'qt_ctr_list', flags = { 'no-writes' }, callback = function(keys, args)
  local t, state, most, fields = args[1], args[2], tonumber(args[3]), rest_of(args, 5)
  local after_ms, after_id = string.match(args[4], '^(%d+)/([%w_]+)$')
  local out, offset, full = { '' }, 0, false
  if args[4] ~= '' and not after_ms then
    return fail('QT_CURSOR')
  end
  while not full do
    local part = redis.call('ZRANGEBYSCORE', K.ctrs(t), after_ms or '-inf', '+inf', 'WITHSCORES', 'LIMIT', offset, 256)
    for i = 1, #part, 2 do
      local id, ms = part[i], part[i + 1]
      local seen = after_ms and tonumber(ms) == tonumber(after_ms) and id <= after_id
      if not seen and (state == '' or redis.call('HGET', K.ctr(t, id), 'state') == state) then
        if #out > most then
          full = true
          break
        end
        out[#out + 1] = redis.call('HMGET', K.ctr(t, id), unpack(fields))
        out[1] = int(tonumber(ms)) .. '/' .. id
      end
    end
    if #part < 512 then
      break
    end
    offset = offset + 256
  end
  if not full then
    out[1] = ''
  end
  return out
end }

-- node, most records, cursor "<tenant>/<id>" or '', fields: the same for all containers of a node, in the order of that text.
redis.register_function{ function_name = 'qt_ctr_of_node', flags = { 'no-writes' }, callback = function(keys, args)
  local most, cursor, fields, out = tonumber(args[2]), args[3], rest_of(args, 4), { '' }
  local all = redis.call('SMEMBERS', K.node_ctrs(args[1]))
  table.sort(all)
  for _, member in ipairs(all) do
    if member > cursor then
      if #out > most then
        return out
      end
      local t, id = string.match(member, '^([%w_]+)/([%w_]+)$')
      if t and redis.call('EXISTS', K.ctr(t, id)) == 1 then
        out[#out + 1] = redis.call('HMGET', K.ctr(t, id), unpack(fields))
        out[1] = member
      end
    end
  end
  out[1] = ''
  return out
end }
