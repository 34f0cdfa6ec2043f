-- Nodes.

-- node, field, value, ...
redis.register_function('qt_node_beat', function(keys, args)
  local now = int(now_ms())
  redis.call('ZADD', K.nodes, now, args[1])
  redis.call('HSET', K.node(args[1]), 'seen_ms', now, unpack(rest_of(args, 2)))
  return 'OK'
end)
