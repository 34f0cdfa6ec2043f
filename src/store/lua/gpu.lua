-- GPUs: a hash of each node, id -> '' if it is free, "tenant/container" of who has it, or "=ID" if it is another name of that one.

local function gpu_list(text)
  return cjson.decode(text and text ~= '' and text or '[]')
end

-- By length, then by text: nvidia2 before nvidia10.
local function gpu_before(a, b)
  if #a ~= #b then
    return #a < #b
  end
  return a < b
end

-- Whoever may have none, whatever is free, hears that first.
local function gpu_plan(t, pairs_)
  if tonumber(field_in(pairs_, 'gpu_count')) > 0 and tonumber(redis.call('HGET', K.tenant(t), 'max_gpus')) == 0 then
    return fail('QT_PLAN', redis.call('HGET', K.tenant(t), 'plan'))
  end
end

-- Chooses for the container of these fields, and writes gpu_ids: what was asked for, or the first that are free. TAKEN are those that others of the same call
-- got. An error if there are not enough.
local function gpu_choose(pairs_, taken)
  local count = tonumber(field_in(pairs_, 'gpu_count'))
  if count == 0 then
    return
  end
  local all, chosen, free, real = hash(K.node_gpus(field_in(pairs_, 'node'))) or {}, {}, {}, 0
  for id, who in pairs(all) do
    if string.sub(who, 1, 1) ~= '=' then
      real = real + 1
      if who == '' and not taken[id] then
        free[#free + 1] = id
      end
    end
  end
  table.sort(free, gpu_before)
  local asked = gpu_list(field_in(pairs_, 'gpu_ids'))
  for i = 1, count do
    local id = asked[i] or free[i]
    if id and string.sub(all[id] or '', 1, 1) == '=' then
      id = string.sub(all[id], 2)
    end
    if not id or all[id] ~= '' or taken[id] then
      return fail('QT_GPUS', int(#free) .. ' ' .. int(real))
    end
    taken[id] = true
    chosen[i] = id
  end
  for i = 1, #pairs_, 2 do
    if pairs_[i] == 'gpu_ids' then
      pairs_[i + 1] = cjson.encode(chosen)
    end
  end
end

local function gpu_choose_all(all)
  local taken = {}
  for _, pairs_ in ipairs(all) do
    local no = gpu_choose(pairs_, taken)
    if no then
      return no
    end
  end
end

-- C has its GPUs from now on, whatever was said before.
local function gpu_attach(t, c)
  for _, id in ipairs(gpu_list(c.gpu_ids)) do
    redis.call('HSET', K.node_gpus(c.node), id, t .. '/' .. c.id)
  end
end

local function gpu_detach(t, c)
  for _, id in ipairs(gpu_list(c.gpu_ids)) do
    if redis.call('HGET', K.node_gpus(c.node), id) == t .. '/' .. c.id then
      redis.call('HSET', K.node_gpus(c.node), id, '')
    end
  end
end

-- WHO, "tenant/container", still has ID as far as records tell.
local function gpu_held(who, id)
  local t, ctr = string.match(who, '^([^/=]+)/([^/]+)$')
  if t then
    for _, has in ipairs(gpu_list(redis.call('HGET', K.ctr(t, ctr), 'gpu_ids') or nil)) do
      if has == id then
        return true
      end
    end
  end
  return false
end

-- node, JSON: id, who has it as the runtime says, ...: which there are. A container's record says more than the runtime, which may not have heard of it yet; and
-- what has no record yet, since Redis lost it, but is there, has its GPUs all the same.
redis.register_function{ function_name = 'qt_node_gpus', flags = { 'allow-oom' }, callback = function(keys, args)
  local key, is, pairs_ = K.node_gpus(args[1]), {}, cjson.decode(args[2])
  local was = hash(key) or {}
  for i = 1, #pairs_, 2 do
    local id, who = pairs_[i], pairs_[i + 1]
    local t, ctr = string.match(who, '^([^/=]+)/([^/]+)$')
    if was[id] and gpu_held(was[id], id) then
      who = was[id]
    elseif t and redis.call('EXISTS', K.gone(t, ctr)) == 1 then
      who = ''
    end
    is[id] = who
    if was[id] ~= who then
      redis.call('HSET', key, id, who)
    end
  end
  for id, who in pairs(was) do
    if not is[id] and not gpu_held(who, id) then
      redis.call('HDEL', key, id)
    end
  end
  return 'OK'
end }

-- node: id, who, ...
redis.register_function{ function_name = 'qt_node_gpus_get', flags = { 'no-writes' }, callback = function(keys, args)
  return redis.call('HGETALL', K.node_gpus(args[1]))
end }
