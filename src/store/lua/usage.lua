-- Samples of what runs, for who cannot wait for its end.
local SAMPLES_PAGE = 256

-- A record of C's run since the last one, if there was none in this period (of SECONDS, by Redis's clock) yet.
local function sample(t, c, seconds)
  local now, last, started = now_ms(), tonumber(c.sampled_ms) or 0, tonumber(c.started_ms) or 0
  local period = seconds * 1000
  if c.state ~= 'running' or math.floor(last / period) >= math.floor(now / period) then
    return
  end
  redis.call('HSET', K.ctr(t, c.id), 'sampled_ms', int(now))
  usage(t, c, 'container_runtime', math.max(started, last), now)
end

-- node, seconds of a period, cursor or '': some of the node's containers; the next cursor, or ''
redis.register_function{ function_name = 'qt_usage_sample', flags = { 'allow-oom' }, callback = function(keys, args)
  local seconds = tonumber(args[2])
  return page_of_node(K.node_ctrs(args[1]), SAMPLES_PAGE, args[3], function(t, id)
    local c = hash(K.ctr(t, id))
    if c then
      sample(t, c, seconds)
    end
    return c and id
  end)[1]
end }
