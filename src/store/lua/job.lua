-- Jobs: the record of each exec. Bounded for a tenant, whatever it runs: the newest so many.
local JOBS_KEPT = 1000

local function job_forget(t, member)
  local ctr, id = string.match(member, '^([^/]+)/(.+)$')
  redis.call('DEL', K.job(t, id))
  redis.call('ZREM', K.jobs_of(t, ctr), id)
  redis.call('SREM', K.jobs_running(t, ctr), id)
end

local function jobs_remove(t, ctr)
  for _, id in ipairs(redis.call('ZRANGE', K.jobs_of(t, ctr), 0, -1)) do
    redis.call('DEL', K.job(t, id))
    redis.call('ZREM', K.jobs(t), ctr .. '/' .. id)
  end
  redis.call('DEL', K.jobs_of(t, ctr), K.jobs_running(t, ctr))
end

-- tenant, container, job, JSON, seconds that it is kept, 1 if it runs
redis.register_function('qt_job_put', function(keys, args)
  local t, ctr, id, now = args[1], args[2], args[3], now_ms()
  if redis.call('EXISTS', K.ctr(t, ctr)) == 0 then
    return fail('QT_NO_CTR', ctr)
  end
  -- Whoever says that it runs may have looked before somebody else wrote down its end.
  local before = args[6] == '1' and redis.call('GET', K.job(t, id))
  if before and cjson.decode(before).status ~= 'running' then
    return 'OK'
  end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', K.jobs(t), '-inf', int(now - tonumber(args[5]) * 1000), 'LIMIT', 0, 64)) do
    redis.call('ZREM', K.jobs(t), member)
    job_forget(t, member)
  end
  redis.call('SET', K.job(t, id), args[4], 'EX', args[5])
  redis.call('ZADD', K.jobs(t), 'NX', int(now), ctr .. '/' .. id)
  redis.call('ZADD', K.jobs_of(t, ctr), 'NX', int(now), id)
  redis.call(args[6] == '1' and 'SADD' or 'SREM', K.jobs_running(t, ctr), id)
  while redis.call('ZCARD', K.jobs(t)) > JOBS_KEPT do
    job_forget(t, redis.call('ZPOPMIN', K.jobs(t))[1])
  end
  return 'OK'
end)

-- tenant, container, job
redis.register_function{ function_name = 'qt_job_get', flags = { 'no-writes' }, callback = function(keys, args)
  local t, ctr, id = args[1], args[2], args[3]
  local record = redis.call('ZSCORE', K.jobs_of(t, ctr), id) and redis.call('GET', K.job(t, id))
  return record or fail('QT_NO_JOB', id)
end }

-- tenant, container, at most so many, 1: only those that run. The newest first.
redis.register_function{ function_name = 'qt_job_list', flags = { 'no-writes' }, callback = function(keys, args)
  local t, ctr, out = args[1], args[2], {}
  local ids = args[4] == '1' and redis.call('SMEMBERS', K.jobs_running(t, ctr)) or
    redis.call('ZRANGE', K.jobs_of(t, ctr), 0, tonumber(args[3]) - 1, 'REV')
  for _, id in ipairs(ids) do
    local record = redis.call('GET', K.job(t, id))
    if record then
      out[#out + 1] = record
    end
  end
  return out
end }
