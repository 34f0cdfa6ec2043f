#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "fdio.h"
#include "net_inner.h"
#include "netns.h"
#include "num.h"
#include "str.h"

#define GID_MAX	    2147483647 /* the kernel's bound of ping_group_range */
#define SWEEP_TRIES 3
#define GHOST_MS    2000 /* the grace of a link whose container is gone */
#define GHOSTS_A_GO 2	 /* removed at one go: 18 ms each, in an event loop */

static const struct rt_rules *rules(const struct rt_net *n)
{
	return rt_filter_rules(n->filter);
}

static bool is_there(void *arg, const char *link)
{
	struct rt_net *n = arg;
	struct qt_err ignored = {0};
	struct rt_link l;

	return rt_rtnl_find(n->rt, link, &l, &ignored) != 0; /* not known: rather not */
}

struct former {
	const struct rt_net *n;
	uint32_t ip;
};

static bool is_former(uint32_t ip, void *arg)
{
	const struct former *f = arg;

	return ip == f->ip || rt_pool_free_ip(f->n->pool, ip);
}

/* What a connection of the former owner was allowed would go on for this one, another tenant's perhaps. One walk over the kernel's table, which takes long,
 * cleans all addresses that nobody has: so it is done once for a round of the pool. */
int rt_net_fresh(struct rt_net *n, const struct rt_addr *a, struct qt_err *e)
{
	struct former f = {n, a->ip};

	if (!n->ct || !rt_pool_dirty(n->pool, a->ip))
		return 0;
	if (rt_ct_forget(n->ct, is_former, &f, e) < 0) {
		rt_pool_give(n->pool, a);
		return qt_context(e, "network");
	}
	rt_pool_clean(n->pool);
	return 0;
}

int rt_net_reserve(struct rt_net *n, struct rt_addr *ret, struct qt_err *e)
{
	return rt_pool_take(n->pool, is_there, n, ret, e) < 0 ? -1 : rt_net_fresh(n, ret, e);
}

int rt_net_reserve_this(struct rt_net *n, const struct rt_addr *a, struct qt_err *e)
{
	return rt_pool_take_this(n->pool, a, e);
}

void rt_net_release(struct rt_net *n, const struct rt_addr *a)
{
	rt_pool_give(n->pool, a);
}

static void add_ghost(struct rt_net *n, const struct rt_addr *a)
{
	if (n->n_ghosts == n->cap_ghosts) {
		size_t cap = n->cap_ghosts ? n->cap_ghosts * 2 : 64;
		struct ghost *more = realloc(n->ghosts, cap * sizeof(*more));

		if (!more) /* then it is left to the namespace, and to the next sweep */
			return;
		n->ghosts = more;
		n->cap_ghosts = cap;
	}
	n->ghosts[n->n_ghosts++] = (struct ghost){*a, qt_mono_ms()};
}

int rt_net_reap(struct rt_net *n)
{
	int64_t old = qt_mono_ms() - GHOST_MS;
	int removed = 0;
	size_t i = 0;

	for (; i < n->n_ghosts && n->ghosts[i].since <= old && removed < GHOSTS_A_GO; i++) {
		struct qt_err ignored = {0};
		struct rt_link l;

		if (rt_filter_has(n->filter, &n->ghosts[i].addr)) /* started again */
			continue;
		if (rt_rtnl_find(n->rt, n->ghosts[i].addr.link, &l, &ignored) == 1 &&
		    qt_streq(l.alias, n->alias) && rt_rtnl_delete(n->rt, l.name, &ignored) == 0)
			removed++;
	}
	if (i > 0)
		memmove(n->ghosts, n->ghosts + i, (n->n_ghosts - i) * sizeof(*n->ghosts));
	n->n_ghosts -= i;
	return removed;
}

/* What is done inside a fresh namespace, before there is a link in it: settings that later links inherit, and a socket. */
struct inside {
	struct rt_net *n;
	char ping_groups[32];
	struct rt_rtnl *rt; /* out */
};

static int open_inside(void *arg, struct qt_err *e)
{
	return rt_rtnl_open(&((struct inside *)arg)->rt, e);
}

static int prepare_inside(void *arg, struct qt_err *e)
{
	const struct inside *in = arg;
	const struct {
		const char *name, *value;
		bool ipv6;
	} conf[] = {
		{"net/ipv6/conf/all/disable_ipv6", "1", true},
		{"net/ipv6/conf/default/disable_ipv6", "1", true},
		{"net/ipv4/ip_unprivileged_port_start", "0", false},
		{"net/ipv4/ping_group_range", in->ping_groups, false},
		{"net/ipv4/conf/all/accept_redirects", "0", false},
		{"net/ipv4/conf/default/accept_redirects", "0", false},
		{"net/ipv4/conf/all/accept_source_route", "0", false},
		{"net/ipv4/conf/default/accept_source_route", "0", false},
	};

	for (size_t i = 0; i < QT_LEN(conf); i++)
		if ((in->n->ipv6 || !conf[i].ipv6) &&
		    rt_sysctl_set(in->n->sys_fd, conf[i].name, conf[i].value, e) < 0)
			return -1;
	return 0;
}

/* Every group of the container may send pings: "0 65535" as the container counts, in the numbers that the writer must use. */
static int ping_groups(char *out, size_t size, pid_t pid, struct qt_err *e)
{
	char path[40], text[256], *save = NULL;
	uint64_t first = 0, count = 0;
	auto_close int fd = -1;
	const char *a, *b;
	ssize_t len;

	(void)qt_fmt(path, sizeof(path), "/proc/%d/gid_map", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return qt_fail_sys(e, errno, "open the group map");
	len = qt_read_all(fd, text, sizeof(text) - 1, e);
	if (len < 0)
		return -1;
	text[len] = '\0';
	(void)strtok_r(text, " \n", &save);
	a = strtok_r(NULL, " \n", &save);
	b = strtok_r(NULL, " \n", &save);
	if (!a || !b || !qt_u64(&first, a, 0, UINT32_MAX) || !qt_u64(&count, b, 1, UINT32_MAX))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the container has no group map");
	if (first > GID_MAX) /* the kernel cannot say it then: nobody pings */
		(void)qt_copy(out, size, "1 0");
	else
		(void)qt_fmt(out, size, "%llu %llu", (unsigned long long)first,
			     (unsigned long long)(first + count - 1 > GID_MAX ? GID_MAX
									      : first + count - 1));
	return 0;
}

static int no_ipv6(struct rt_net *n, const char *link, struct qt_err *e)
{
	char name[64];

	if (!n->ipv6)
		return 0;
	(void)qt_fmt(name, sizeof(name), "net/ipv6/conf/%s/disable_ipv6", link);
	return rt_sysctl_set(n->sys_fd, name, "1", e);
}

/* Both ends, the host's up last: by then the filter knows the link, and there is no moment without. */
int rt_net_connect_ends(struct rt_net *n, struct rt_rtnl *inner, int index, const struct rt_addr *a,
			struct qt_err *e)
{
	if (no_ipv6(n, a->link, e) < 0 || rt_rtnl_inner_end(inner, rules(n)->gateway, a->ip, e) < 0)
		return -1;
	return rt_rtnl_host_end(n->rt, index, n->alias, rules(n)->gateway, a->ip, e);
}

/* A container that is started again soon after its end meets its own link of last time, whose namespace is still dying. */
static int remove_former(struct rt_net *n, const struct rt_addr *a, struct qt_err *e)
{
	struct rt_link l;

	int there = rt_rtnl_find(n->rt, a->link, &l, e);

	if (there <= 0)
		return there;
	return l.veth && qt_streq(l.alias, n->alias) ? rt_rtnl_delete(n->rt, a->link, e) : -1;
}

static int make_link(struct rt_net *n, int ns_fd, const struct rt_addr *a, int *ret_index,
		     struct qt_err *e)
{
	struct qt_err first = {0}, ignored = {0};

	if (rt_rtnl_veth(n->rt, a->link, ns_fd, n->mtu, ret_index, &first) == 0)
		return 0;
	if (first.sys == EEXIST && remove_former(n, a, &ignored) == 0)
		return rt_rtnl_veth(n->rt, a->link, ns_fd, n->mtu, ret_index, e);
	*e = e->code == QT_OK ? first : *e;
	return -1;
}

int rt_net_attach_link(struct rt_net *n, struct rt_rtnl *inner, int ns_fd, const struct rt_addr *a,
		       struct qt_err *e)
{
	struct qt_err second = {0};
	int index;

	if (make_link(n, ns_fd, a, &index, e) < 0)
		return -1;
	if (rt_net_connect_ends(n, inner, index, a, e) == 0)
		return 0;
	(void)rt_rtnl_delete(n->rt, a->link, &second);
	return -1;
}

/* The network namespace of PID, which must not be ours. */
static int open_its_ns(const struct rt_net *n, pid_t pid, struct qt_err *e)
{
	auto_close int ns_fd = rt_netns_open(pid, e);

	if (ns_fd >= 0 && (pid <= 0 || rt_netns_same(ns_fd, n->own_ns)))
		return qt_fail(e, QT_E_INTERNAL_ERROR,
			       "network: the process has no network namespace of its own");
	return qt_take_fd(&ns_fd);
}

int rt_net_prepare(struct rt_net *n, pid_t pid, struct qt_err *e)
{
	auto_close int ns_fd = open_its_ns(n, pid, e);
	struct inside in = {.n = n};

	if (ns_fd < 0 || ping_groups(in.ping_groups, sizeof(in.ping_groups), pid, e) < 0 ||
	    rt_netns_do(n->own_ns, ns_fd, prepare_inside, &in, e) < 0)
		return qt_context(e, "network");
	return 0;
}

int rt_net_attach(struct rt_net *n, const struct rt_addr *a, const struct qt_id *tenant, pid_t pid,
		  struct qt_err *e)
{
	auto_close int ns_fd = open_its_ns(n, pid, e);
	auto_rtnl struct rt_rtnl *inner = NULL;
	struct qt_err second = {0};

	if (ns_fd < 0)
		return qt_context(e, "network");
	if (!rt_pool_has(n->pool, a))
		return qt_fail(e, QT_E_CONFLICT, "network: the address is not reserved");
	/* Somebody may have reset it; to write what it says already costs nothing. */
	if (rules(n)->uplink[0] != '\0' && rt_net_forward(n, rules(n)->uplink, "1", e) < 0)
		return qt_context(e, "network");
	if (rt_net_enter(n, ns_fd, &inner, e) < 0)
		return qt_context(e, "network");
	if (rt_filter_add(n->filter, a, tenant, e) < 0)
		return qt_context(e, "network");
	if (rt_net_attach_link(n, inner, ns_fd, a, e) == 0)
		return 0;
	(void)rt_filter_del(n->filter, a, &second);
	return qt_context(e, "network");
}

int rt_net_adopt(struct rt_net *n, const struct rt_addr *a, const struct qt_id *tenant,
		 struct qt_err *e)
{
	struct rt_link l;
	int there;

	if (!rt_pool_has(n->pool, a))
		return qt_fail(e, QT_E_CONFLICT, "network: the address is not reserved");
	there = rt_rtnl_find(n->rt, a->link, &l, e);
	if (there < 0)
		return qt_context(e, "network");
	if (there == 0 || !l.veth)
		return qt_fail(e, QT_E_CONFLICT, "network: the container's link is gone");
	return rt_filter_add(n->filter, a, tenant, e) < 0 ? qt_context(e, "network") : 0;
}

int rt_net_detach(struct rt_net *n, const struct rt_addr *a, struct qt_err *e)
{
	if (rt_filter_has(n->filter, a))
		add_ghost(n, a);
	return rt_filter_del(n->filter, a, e) < 0 ? qt_context(e, "network") : 0;
}

int rt_net_enter(struct rt_net *n, int netns_fd, struct rt_rtnl **ret, struct qt_err *e)
{
	struct inside in = {.n = n};

	if (rt_netns_do(n->own_ns, netns_fd, open_inside, &in, e) < 0)
		return -1;
	*ret = in.rt;
	return 0;
}

void rt_net_stats(struct rt_net *n, const struct rt_addr *a, struct rt_net_stats *ret)
{
	struct qt_err ignored = {0};
	struct rt_link l;

	*ret = (struct rt_net_stats){0};
	if (rt_rtnl_find(n->rt, a->link, &l, &ignored) <= 0)
		return;
	/* What the host's end receives is what the container sent. */
	*ret = (struct rt_net_stats){
		.rx_bytes = l.stats.tx_bytes,
		.tx_bytes = l.stats.rx_bytes,
		.rx_packets = l.stats.tx_packets,
		.tx_packets = l.stats.rx_packets,
		.rx_errors = l.stats.tx_errors,
		.tx_errors = l.stats.rx_errors,
	};
}

struct sweep {
	struct rt_net *n;
	bool (*is_known)(const char *link, void *arg);
	void *arg;
	char (*found)[16];
	size_t count, cap;
};

/* The prefix alone proves nothing: a link is ours if it is a veth with a name as we make them and our alias, or none, as a crash
 * between the making and the naming leaves it. */
static int look_at(void *arg, const struct rt_link *l, struct qt_err *e)
{
	struct sweep *s = arg;

	if (!l->veth || !rt_link_ok(rules(s->n)->prefix, l->name) ||
	    (l->alias[0] != '\0' && !qt_streq(l->alias, s->n->alias)) ||
	    s->is_known(l->name, s->arg))
		return 0;
	if (s->count == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 64;
		void *more = realloc(s->found, cap * sizeof(*s->found));

		if (!more)
			return qt_fail_sys(e, ENOMEM, "sweep");
		s->found = more;
		s->cap = cap;
	}
	memcpy(s->found[s->count++], l->name, sizeof(l->name));
	return 0;
}

int rt_net_sweep(struct rt_net *n, bool (*is_known)(const char *link, void *arg), void *arg,
		 struct qt_err *e)
{
	struct sweep s = {n, is_known, arg, NULL, 0, 0};
	auto_free void *owned = NULL;
	struct qt_err mine = {0};

	/* A list that changes while it is read is read again, in the end taken as it is: what was missed is swept next time. */
	for (int i = 0; i < SWEEP_TRIES; i++) {
		mine = (struct qt_err){0};
		s.count = 0;
		if (rt_rtnl_each(n->rt, look_at, &s, &mine) == 0 || mine.sys != EINTR)
			break;
	}
	owned = s.found;
	if (mine.code != QT_OK && mine.sys != EINTR) {
		*e = e->code == QT_OK ? mine : *e;
		return -1;
	}
	for (size_t i = 0; i < s.count; i++)
		if (rt_rtnl_delete(n->rt, s.found[i], e) < 0)
			return -1;
	return (int)s.count;
}
