-- The names of all keys that the functions touch; src/store/keys.c has those that C names. docs/redis-schema.md is their description.
local K = {
  schema = 'quilt:schema',
  tenants = 'quilt:tenants',
  apikeys = 'quilt:apikeys',
  apikey_ids = 'quilt:apikey-ids',
  nodes = 'quilt:nodes',
  channel = 'quilt:events',
}

function K.tenant(t) return 'quilt:tenant:' .. t end
function K.apikey(sha) return 'quilt:apikey:' .. sha end
function K.rate(sha) return 'quilt:rate:' .. sha end

function K.of(t, rest) return 'quilt:{' .. t .. '}:' .. rest end
function K.ctr(t, id) return K.of(t, 'ctr:' .. id) end
function K.ctrs(t) return K.of(t, 'ctrs') end
function K.names(t) return K.of(t, 'names') end
function K.state(t, state) return K.of(t, 'state:' .. state) end
function K.gone(t, id) return K.of(t, 'gone:' .. id) end
function K.snap(t, id) return K.of(t, 'snap:' .. id) end
function K.snaps(t) return K.of(t, 'snaps') end
function K.snaps_of(t, ctr) return K.of(t, 'snaps:' .. ctr) end
function K.vol(t, id) return K.of(t, 'vol:' .. id) end
function K.vols(t) return K.of(t, 'vols') end
function K.volnames(t) return K.of(t, 'volnames') end
function K.voluse(t, who) return K.of(t, 'voluse:' .. who) end
function K.img(t, id) return K.of(t, 'img:' .. id) end
function K.imgs(t) return K.of(t, 'imgs') end
function K.imgrefs(t) return K.of(t, 'imgrefs') end
function K.used(t) return K.of(t, 'used') end
function K.op(t, id) return K.of(t, 'op:' .. id) end
function K.op_log(t, id) return K.of(t, 'oplog:' .. id) end
function K.ops(t) return K.of(t, 'ops') end
function K.fence(t) return K.of(t, 'fence') end
function K.events(t) return K.of(t, 'events') end
function K.usage(t) return K.of(t, 'usage') end
function K.job(t, id) return K.of(t, 'job:' .. id) end
function K.jobs(t) return K.of(t, 'jobs') end
function K.jobs_of(t, ctr) return K.of(t, 'jobs:' .. ctr) end
function K.jobs_running(t, ctr) return K.of(t, 'jobs-running:' .. ctr) end

function K.session(t, id) return K.of(t, 'session:' .. id) end
function K.sessions(t) return K.of(t, 'sessions') end
function K.idem(t, key) return K.of(t, 'idem:' .. key) end
function K.idems(t, class) return K.of(t, 'idems:' .. class) end

function K.node(n) return 'quilt:node:' .. n end
function K.node_ctrs(n) return 'quilt:node:' .. n .. ':ctrs' end
function K.node_imgs(n) return 'quilt:node:' .. n .. ':imgs' end
function K.node_gpus(n) return 'quilt:node:' .. n .. ':gpus' end
function K.node_vols(n) return 'quilt:node:' .. n .. ':vols' end
function K.node_names(n) return 'quilt:node:' .. n .. ':names' end
function K.node_ops(n) return 'quilt:node:' .. n .. ':ops' end
function K.node_ahead(n, t) return 'quilt:node:' .. n .. ':ahead:' .. t end
function K.node_wait(n, t) return 'quilt:node:' .. n .. ':wait:' .. t end
function K.node_due(n) return 'quilt:node:' .. n .. ':due' end
function K.node_snaps(n) return 'quilt:node:' .. n .. ':snaps' end
function K.node_expiry(n) return 'quilt:node:' .. n .. ':expiry' end
function K.node_sessions(n) return 'quilt:node:' .. n .. ':sessions' end
