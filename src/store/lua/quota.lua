-- What a tenant may have, and what it has. Of what is counted by a set there is no number; the rest are sums in one hash, changed by the function that
-- makes or removes what they count.

-- nil if T may have MORE on top of USED of what NAME is the quota of; else the error.
local function over_quota(t, name, used, more)
  local limit = tonumber(redis.call('HGET', K.tenant(t), 'max_' .. name))
  if not limit then
    return fail('QT_EMPTY') -- its key was good, so there was one
  end
  if more > 0 and used + more > limit then
    return fail('QT_QUOTA', name .. ' ' .. int(limit) .. ' ' .. int(math.ceil(used)))
  end
end

local function used(t, name)
  return tonumber(redis.call('HGET', K.used(t), name)) or 0
end

-- Adds to the sum; less than nothing it cannot be, whatever was lost.
local function use(t, name, more)
  -- Two digits: hundredths of a percent of a cpu are what is counted most finely.
  redis.call('HSET', K.used(t), name, (string.gsub(string.format('%.2f', math.max(0, used(t, name) + more)), '%.00$', '')))
  for _, v in pairs(hash(K.used(t))) do
    if v ~= '0' then
      return
    end
  end
  -- Who uses nothing leaves nothing.
  redis.call('DEL', K.used(t))
end
