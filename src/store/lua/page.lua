-- Pages of lists, whatever they are of. Records are answered as the values of the fields that the caller names, in its order.

-- The members of ZSET, created_ms -> id, from behind CURSOR ("<created_ms>/<id>" or '') on: the next cursor or '', then at most MOST records, ONE(id)
-- each; nil is passed over. The cursor names the last one that was seen, which may be gone by now: pages neither repeat nor skip what stays.
local function page_by_time(zset, most, cursor, one)
  local after_ms, after_id = string.match(cursor, '^(%d+)/([%w_]+)$')
  local out, offset, full = { '' }, 0, false
  if cursor ~= '' and not after_ms then
    return fail('QT_CURSOR')
  end
  while not full do
    local part = redis.call('ZRANGEBYSCORE', zset, after_ms or '-inf', '+inf', 'WITHSCORES', 'LIMIT', offset, 256)
    for i = 1, #part, 2 do
      local id, ms = part[i], part[i + 1]
      local seen = after_ms and tonumber(ms) == tonumber(after_ms) and id <= after_id
      local record = not seen and one(id)
      if record then
        if #out > most then
          full = true
          break
        end
        out[#out + 1] = record
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
end

-- The same of a node's SET of "<tenant>/<id>", all tenants, in the order of that text; ONE(tenant, id).
local function page_of_node(set, most, cursor, one)
  local all, out = redis.call('SMEMBERS', set), { '' }
  table.sort(all)
  for _, member in ipairs(all) do
    if member > cursor then
      if #out > most then
        return out
      end
      local t, id = string.match(member, '^([%w_]+)/([%w_]+)$')
      local record = t and one(t, id)
      if record then
        out[#out + 1] = record
        out[1] = member
      end
    end
  end
  out[1] = ''
  return out
end

-- The hash at KEY as the values of FIELDS; nil when there is none.
local function values(key, fields)
  return redis.call('EXISTS', key) == 1 and redis.call('HMGET', key, unpack(fields)) or nil
end
