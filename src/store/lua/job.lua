-- Jobs: the record of each exec. Bounded for a tenant, whatever it runs: the newest so many.
local JOBS_KEPT = 1000

local function job_forget(t, member)
  local ctr, id = string.match(member, '^([^/]+)/(.+)$')
  redis.call('DEL', K.job(t, id))
  redis.call('ZREM', K.jobs_of(t, ctr), id)
end

local function jobs_remove(t, ctr)
  for _, id in ipairs(redis.call('ZRANGE', K.jobs_of(t, ctr), 0, -1)) do
    redis.call('DEL', K.job(t, id))
    redis.call('ZREM', K.jobs(t), ctr .. '/' .. id)
  end
  redis.call('DEL', K.jobs_of(t, ctr))
end

-- tenant, container, job, JSON, seconds that it is kept
redis.register_function('qt_job_put', function(keys, args)
  local t, ctr, id, now = args[1], args[2], args[3], now_ms()
  if redis.call('EXISTS', K.ctr(t, ctr)) == 0 then
    return fail('QT_NO_CTR', ctr)
  end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', K.jobs(t), '-inf', int(now - tonumber(args[5]) * 1000), 'LIMIT', 0, 64)) do
    redis.call('ZREM', K.jobs(t), member)
    job_forget(t, member)
  end
  redis.call('SET', K.job(t, id), args[4], 'EX', args[5])
  redis.call('ZADD', K.jobs(t), int(now), ctr .. '/' .. id)
  redis.call('ZADD', K.jobs_of(t, ctr), int(now), id)
  while redis.call('ZCARD', K.jobs(t)) > JOBS_KEPT do
    job_forget(t, redis.call('ZPOPMIN', K.jobs(t))[1])
  end
  return 'OK'
end)
