-- Nodes.

-- node, field, value, ...
redis.register_function{ function_name = 'qt_node_beat', flags = { 'allow-oom' }, callback = function(keys, args)
  local now = int(now_ms())
  redis.call('ZADD', K.nodes, now, args[1])
  redis.call('HSET', K.node(args[1]), 'seen_ms', now, unpack(rest_of(args, 2)))
  return 'OK'
end }

-- node: milliseconds since its last beat
redis.register_function{ function_name = 'qt_node_age', flags = { 'no-writes' }, callback = function(keys, args)
  local seen = tonumber(redis.call('HGET', K.node(args[1]), 'seen_ms'))
  if not seen then
    return fail('QT_NO_NODE')
  end
  return math.max(0, now_ms() - seen)
end }

redis.register_function{ function_name = 'qt_check', flags = { 'no-writes' }, callback = function(keys, args)
  return redis.call('EXISTS', K.schema) == 1 and VERSION or fail('QT_EMPTY')
end }
