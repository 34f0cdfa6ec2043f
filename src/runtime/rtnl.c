#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <net/if.h> /* before the one of the kernel, which then adds what it lacks */
#include <linux/if.h>
#include <netlink/addr.h>
#include <netlink/attr.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/inet.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <string.h>

#include "cleanup.h"
#include "rtnl.h"
#include "rt.h"
#include "rtnl_batch.h"
#include "str.h"

#define LO_INDEX 1 /* in every namespace: it is made with it */

#define RELEASE(name, type, fn) \
	static void name(type **p) \
	{ \
		if (*p) \
			fn(*p); \
	}
RELEASE(put_link, struct rtnl_link, rtnl_link_put)
RELEASE(put_addr, struct rtnl_addr, rtnl_addr_put)
RELEASE(put_route, struct rtnl_route, rtnl_route_put)
RELEASE(put_nl_addr, struct nl_addr, nl_addr_put)
#define auto_link    QT_AUTO(put_link)
#define auto_addr    QT_AUTO(put_addr)
#define auto_route   QT_AUTO(put_route)
#define auto_nl_addr QT_AUTO(put_nl_addr)

static int no_memory(struct qt_err *e)
{
	return qt_fail_sys(e, ENOMEM, "rtnetlink message");
}

static struct nl_addr *host_addr(uint32_t ip)
{
	uint32_t be = htonl(ip);
	struct nl_addr *a = nl_addr_build(AF_INET, &be, sizeof(be));

	if (a)
		nl_addr_set_prefixlen(a, 32);
	return a;
}

/* Requests: each appends one to the batch. */

static int put_get_link(struct rt_rtnl *r, struct rt_nlb *b, const char *name, uint32_t skip, struct qt_err *e)
{
	struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC};
	struct nl_msg *m = nlmsg_alloc_simple(RTM_GETLINK, 0);

	if (!m || nlmsg_append(m, &ifi, sizeof(ifi), NLMSG_ALIGNTO) < 0 || nla_put_string(m, IFLA_IFNAME, name) < 0 ||
	    nla_put_u32(m, IFLA_EXT_MASK, skip) < 0) {
		nlmsg_free(m);
		m = NULL;
	}
	return rt_nlb_put(r, b, m, "find a link", e);
}

static int put_change(struct rt_rtnl *r, struct rt_nlb *b, int index, struct rtnl_link *change, const char *what,
		      struct qt_err *e)
{
	auto_link struct rtnl_link *which = rtnl_link_alloc();
	struct nl_msg *m = NULL;

	if (!which)
		return no_memory(e);
	rtnl_link_set_ifindex(which, index);
	if (rtnl_link_build_change_request(which, change, 0, &m) < 0)
		return qt_fail_sys(e, EINVAL, "%s", what);
	return rt_nlb_put(r, b, m, what, e);
}

static int put_up(struct rt_rtnl *r, struct rt_nlb *b, int index, const char *what, struct qt_err *e)
{
	auto_link struct rtnl_link *change = rtnl_link_alloc();

	if (!change)
		return no_memory(e);
	rtnl_link_set_flags(change, IFF_UP);
	return put_change(r, b, index, change, what, e);
}

static int put_addr_add(struct rt_rtnl *r, struct rt_nlb *b, int index, uint32_t ip, struct qt_err *e)
{
	auto_addr struct rtnl_addr *a = rtnl_addr_alloc();
	auto_nl_addr struct nl_addr *local = host_addr(ip);
	struct nl_msg *m = NULL;

	if (!a || !local || rtnl_addr_set_local(a, local) < 0)
		return no_memory(e);
	rtnl_addr_set_ifindex(a, index);
	if (rtnl_addr_build_add_request(a, NLM_F_CREATE | NLM_F_EXCL, &m) < 0)
		return qt_fail_sys(e, EINVAL, "add an address");
	return rt_nlb_put(r, b, m, "add an address", e);
}

/* DST 0: the default route. VIA or SRC 0: none. */
static int put_route_add(struct rt_rtnl *r, struct rt_nlb *b, int index, uint32_t dst, uint32_t via, uint32_t src,
			 struct qt_err *e)
{
	auto_route struct rtnl_route *t = rtnl_route_alloc();
	auto_nl_addr struct nl_addr *d = host_addr(dst), *g = host_addr(via), *s = host_addr(src);
	struct rtnl_nexthop *hop = rtnl_route_nh_alloc();
	struct nl_msg *m = NULL;

	if (!t || !d || !g || !s || !hop) {
		if (hop)
			rtnl_route_nh_free(hop);
		return no_memory(e);
	}
	rtnl_route_nh_set_ifindex(hop, index);
	if (via) {
		rtnl_route_nh_set_gateway(hop, g);
		rtnl_route_nh_set_flags(hop, RTNH_F_ONLINK);
		rtnl_route_set_flags(t, RTNH_F_ONLINK);
	}
	rtnl_route_add_nexthop(t, hop); /* takes it */
	if (dst == 0)
		nl_addr_set_prefixlen(d, 0);
	if (rtnl_route_set_dst(t, d) < 0 || (src && rtnl_route_set_pref_src(t, s) < 0))
		return no_memory(e);
	rtnl_route_set_table(t, RT_TABLE_MAIN);
	rtnl_route_set_protocol(t, RTPROT_STATIC);
	rtnl_route_set_scope(t, via ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK);
	if (rtnl_route_build_add_request(t, NLM_F_CREATE | NLM_F_EXCL, &m) < 0)
		return qt_fail_sys(e, EINVAL, "add a route");
	return rt_nlb_put(r, b, m, via ? "add the default route" : "add the container's route", e);
}

static int put_ask_route(struct rt_rtnl *r, struct rt_nlb *b, uint32_t dst, struct qt_err *e)
{
	struct rtmsg rt = {.rtm_family = AF_INET, .rtm_dst_len = 32};
	struct nl_msg *m = nlmsg_alloc_simple(RTM_GETROUTE, 0);

	if (!m || nlmsg_append(m, &rt, sizeof(rt), NLMSG_ALIGNTO) < 0 || nla_put_u32(m, RTA_DST, htonl(dst)) < 0) {
		nlmsg_free(m);
		m = NULL;
	}
	return rt_nlb_put(r, b, m, "ask for a route", e);
}

/* Answers. */

static int parse_link(struct nlmsghdr *h, struct rt_link *ret, unsigned *ret_flags, struct qt_err *e)
{
	struct nlattr *tb[IFLA_MAX + 1], *info[IFLA_INFO_MAX + 1];
	const struct ifinfomsg *ifi = nlmsg_data(h);
	struct rtnl_link_stats64 s;

	memset(ret, 0, sizeof(*ret));
	if (h->nlmsg_type != RTM_NEWLINK || nlmsg_parse(h, sizeof(*ifi), tb, IFLA_MAX, NULL) < 0)
		return qt_fail_sys(e, EPROTO, "read a link");
	ret->index = ifi->ifi_index;
	/* Not IFF_RUNNING: some kernels say so only up to a second later. */
	ret->up = (ifi->ifi_flags & (IFF_UP | IFF_LOWER_UP)) == (IFF_UP | IFF_LOWER_UP);
	if (ret_flags)
		*ret_flags = ifi->ifi_flags;
	if (tb[IFLA_IFNAME])
		(void)nla_strlcpy(ret->name, tb[IFLA_IFNAME], sizeof(ret->name));
	if (tb[IFLA_IFALIAS] && nla_len(tb[IFLA_IFALIAS]) < (int)sizeof(ret->alias))
		(void)nla_strlcpy(ret->alias, tb[IFLA_IFALIAS], sizeof(ret->alias));
	if (tb[IFLA_MTU])
		ret->mtu = nla_get_u32(tb[IFLA_MTU]);
	if (tb[IFLA_LINKINFO] && nla_parse_nested(info, IFLA_INFO_MAX, tb[IFLA_LINKINFO], NULL) == 0 && info[IFLA_INFO_KIND])
		ret->veth = nla_strcmp(info[IFLA_INFO_KIND], "veth") == 0;
	if (tb[IFLA_STATS64]) {
		memset(&s, 0, sizeof(s));
		(void)nla_memcpy(&s, tb[IFLA_STATS64], sizeof(s));
		ret->stats = (struct rt_net_stats){
			.rx_bytes = s.rx_bytes,
			.tx_bytes = s.tx_bytes,
			.rx_packets = s.rx_packets,
			.tx_packets = s.tx_packets,
			.rx_errors = s.rx_errors,
			.tx_errors = s.tx_errors,
		};
	}
	return 0;
}

struct link_reply {
	unsigned want; /* the request that asks for it */
	struct rt_link link;
	unsigned flags;
};

static int on_link(void *arg, unsigned i, struct nlmsghdr *h, struct qt_err *e)
{
	struct link_reply *lr = arg;

	return i == lr->want ? parse_link(h, &lr->link, &lr->flags, e) : 0;
}

int rt_rtnl_find(struct rt_rtnl *r, const char *link, struct rt_link *ret, struct qt_err *e)
{
	struct link_reply lr = {0};
	struct rt_nlb b = {0};
	struct qt_err mine = {0};

	if (put_get_link(r, &b, link, 0, e) < 0)
		return -1;
	if (rt_nlb_run(r, &b, on_link, &lr, &mine) < 0) {
		if (mine.sys == ENODEV)
			return 0;
		return qt_fail_sys(e, mine.sys, "find a link");
	}
	*ret = lr.link;
	return 1;
}

int rt_rtnl_veth(struct rt_rtnl *r, const char *link, int netns_fd, unsigned mtu, int *ret_index, struct qt_err *e)
{
	auto_link struct rtnl_link *near = rtnl_link_veth_alloc();
	auto_link struct rtnl_link *far = near ? rtnl_link_veth_get_peer(near) : NULL;
	struct link_reply lr = {.want = 1};
	struct rt_nlb b = {0};
	struct nl_msg *m = NULL;

	if (!far)
		return no_memory(e);
	rtnl_link_set_name(near, link);
	rtnl_link_set_name(far, RT_INNER_LINK);
	rtnl_link_set_ns_fd(far, netns_fd);
	/* The default is one for each possible CPU, each with its objects in sysfs, at both ends; a veth has no use for them. */
	rtnl_link_set_num_tx_queues(near, 1);
	rtnl_link_set_num_rx_queues(near, 1);
	rtnl_link_set_num_tx_queues(far, 1);
	rtnl_link_set_num_rx_queues(far, 1);
	if (mtu) {
		rtnl_link_set_mtu(near, mtu);
		rtnl_link_set_mtu(far, mtu);
	}
	if (rtnl_link_build_add_request(near, NLM_F_CREATE | NLM_F_EXCL, &m) < 0)
		return qt_fail_sys(e, EINVAL, "make a link");
	/* If a foreign link has the name, the second request finds that one: the first one's error decides. */
	if (rt_nlb_put(r, &b, m, "make a link", e) < 0 || put_get_link(r, &b, link, RTEXT_FILTER_SKIP_STATS, e) < 0 ||
	    rt_nlb_run(r, &b, on_link, &lr, e) < 0)
		return -1;
	*ret_index = lr.link.index;
	return 0;
}

int rt_rtnl_host_end(struct rt_rtnl *r, int index, const char *alias, uint32_t gateway, uint32_t ip, struct qt_err *e)
{
	static const struct {
		unsigned name, value;
	} conf[] = {
		{IPV4_DEVCONF_FORWARDING, 1},
		{IPV4_DEVCONF_RP_FILTER, 1},
		{IPV4_DEVCONF_ACCEPT_REDIRECTS, 0},
		{IPV4_DEVCONF_SEND_REDIRECTS, 0},
		{IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE, 0},
		{IPV4_DEVCONF_PROXY_ARP, 0},
		{IPV4_DEVCONF_ROUTE_LOCALNET, 0},
		/* Who asks for another address of the host gets no answer; who is asked does not learn one. */
		{IPV4_DEVCONF_ARP_IGNORE, 1},
		{IPV4_DEVCONF_ARP_ANNOUNCE, 2},
	};
	auto_link struct rtnl_link *change = rtnl_link_alloc();
	struct rt_nlb b = {0};

	if (!change)
		return no_memory(e);
	rtnl_link_set_flags(change, IFF_UP);
	rtnl_link_set_ifalias(change, alias);
	for (size_t i = 0; i < QT_LEN(conf); i++)
		if (rtnl_link_inet_set_conf(change, conf[i].name, conf[i].value) < 0)
			return no_memory(e);
	if (put_change(r, &b, index, change, "bring up the host's end", e) < 0 || put_addr_add(r, &b, index, gateway, e) < 0 ||
	    put_route_add(r, &b, index, ip, 0, gateway, e) < 0)
		return -1;
	return rt_nlb_run(r, &b, NULL, NULL, e);
}

int rt_rtnl_inner_end(struct rt_rtnl *r, uint32_t gateway, uint32_t ip, struct qt_err *e)
{
	struct rt_nlb b = {0};
	struct rt_link eth;
	int there = rt_rtnl_find(r, RT_INNER_LINK, &eth, e);

	if (there <= 0)
		return there < 0 ? -1 : qt_fail_sys(e, ENODEV, "find the container's end");
	if (put_up(r, &b, LO_INDEX, "bring up lo", e) < 0 || put_up(r, &b, eth.index, "bring up eth0", e) < 0 ||
	    put_addr_add(r, &b, eth.index, ip, e) < 0 || put_route_add(r, &b, eth.index, 0, gateway, 0, e) < 0)
		return -1;
	return rt_nlb_run(r, &b, NULL, NULL, e);
}

struct looks {
	int eth_index;
	bool lo_up, eth_up, local, routed;
	uint32_t gateway;
};

static int on_look(void *arg, unsigned i, struct nlmsghdr *h, struct qt_err *e)
{
	struct looks *k = arg;
	struct nlattr *tb[RTA_MAX + 1];
	struct rt_link l;
	unsigned flags;

	if (i < 2) {
		if (parse_link(h, &l, &flags, e) < 0)
			return -1;
		if (i == 0)
			k->lo_up = flags & IFF_UP;
		else
			k->eth_up = l.up;
		k->eth_index = l.index;
		return 0;
	}
	if (h->nlmsg_type != RTM_NEWROUTE || nlmsg_parse(h, sizeof(struct rtmsg), tb, RTA_MAX, NULL) < 0)
		return qt_fail_sys(e, EPROTO, "read a route");
	if (i == 2)
		k->local = ((const struct rtmsg *)nlmsg_data(h))->rtm_type == RTN_LOCAL;
	else
		k->routed = tb[RTA_GATEWAY] && ntohl(nla_get_u32(tb[RTA_GATEWAY])) == k->gateway && tb[RTA_OIF] &&
			    (int)nla_get_u32(tb[RTA_OIF]) == k->eth_index;
	return 0;
}

unsigned rt_rtnl_inner_look(struct rt_rtnl *r, uint32_t gateway, uint32_t ip)
{
	const uint32_t outside = 0x01010101; /* any address that only the default route leads to; nothing is sent */
	struct looks k = {.gateway = gateway};
	struct rt_nlb b = {0};
	struct qt_err e = {0};

	/* What is not there is an error of its question; the others are answered all the same. */
	if (put_get_link(r, &b, "lo", RTEXT_FILTER_SKIP_STATS, &e) < 0 ||
	    put_get_link(r, &b, RT_INNER_LINK, RTEXT_FILTER_SKIP_STATS, &e) < 0 || put_ask_route(r, &b, ip, &e) < 0 ||
	    put_ask_route(r, &b, outside, &e) < 0)
		return 0;
	(void)rt_nlb_run(r, &b, on_look, &k, &e);
	return (k.lo_up && k.eth_up ? RT_NET_LINK : 0U) | (k.local ? RT_NET_ADDRESS : 0U) | (k.routed ? RT_NET_ROUTE : 0U);
}

int rt_rtnl_delete(struct rt_rtnl *r, const char *link, struct qt_err *e)
{
	auto_link struct rtnl_link *l = rtnl_link_alloc();
	struct qt_err mine = {0};
	struct rt_nlb b = {0};
	struct nl_msg *m = NULL;

	if (!l)
		return no_memory(e);
	rtnl_link_set_name(l, link);
	if (rtnl_link_build_delete_request(l, &m) < 0)
		return qt_fail_sys(e, EINVAL, "remove a link");
	if (rt_nlb_put(r, &b, m, "remove a link", e) < 0)
		return -1;
	if (rt_nlb_run(r, &b, NULL, NULL, &mine) < 0 && mine.sys != ENODEV)
		return qt_fail_sys(e, mine.sys, "remove a link");
	return 0;
}

struct walk {
	int (*fn)(void *arg, const struct rt_link *l, struct qt_err *e);
	void *arg;
	bool ended;
};

static int on_each(void *arg, unsigned i, struct nlmsghdr *h, struct qt_err *e)
{
	struct walk *w = arg;
	struct rt_link l;

	(void)i;
	if (w->ended)
		return 0;
	if (parse_link(h, &l, NULL, e) < 0 || w->fn(w->arg, &l, e) < 0) {
		w->ended = true;
		return -1;
	}
	return 0;
}

int rt_rtnl_each(struct rt_rtnl *r, int (*fn)(void *arg, const struct rt_link *l, struct qt_err *e), void *arg,
		 struct qt_err *e)
{
	struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC};
	struct nl_msg *m = nlmsg_alloc_simple(RTM_GETLINK, NLM_F_DUMP);
	struct walk w = {fn, arg, false};
	struct rt_nlb b = {0};

	if (!m || nlmsg_append(m, &ifi, sizeof(ifi), NLMSG_ALIGNTO) < 0 ||
	    nla_put_u32(m, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS) < 0) {
		nlmsg_free(m);
		return no_memory(e);
	}
	if (rt_nlb_put(r, &b, m, "list links", e) < 0)
		return -1;
	return rt_nlb_run(r, &b, on_each, &w, e);
}

struct best {
	bool found;
	uint32_t metric;
	int index;
};

static int on_route(void *arg, unsigned i, struct nlmsghdr *h, struct qt_err *e)
{
	const struct rtmsg *rt = nlmsg_data(h);
	struct nlattr *tb[RTA_MAX + 1];
	struct best *best = arg;
	uint32_t metric;
	int index = 0;

	(void)i;
	if (h->nlmsg_type != RTM_NEWROUTE || nlmsg_parse(h, sizeof(*rt), tb, RTA_MAX, NULL) < 0)
		return qt_fail_sys(e, EPROTO, "read a route");
	if (rt->rtm_dst_len != 0 || rt->rtm_type != RTN_UNICAST || rt->rtm_table != RT_TABLE_MAIN)
		return 0;
	metric = tb[RTA_PRIORITY] ? nla_get_u32(tb[RTA_PRIORITY]) : 0;
	if (tb[RTA_OIF])
		index = (int)nla_get_u32(tb[RTA_OIF]);
	else if (tb[RTA_MULTIPATH] && nla_len(tb[RTA_MULTIPATH]) >= (int)sizeof(struct rtnexthop))
		index = ((const struct rtnexthop *)nla_data(tb[RTA_MULTIPATH]))->rtnh_ifindex;
	if (index > 0 && (!best->found || metric < best->metric))
		*best = (struct best){true, metric, index};
	return 0;
}

static int link_name(struct rt_rtnl *r, int index, char *out, struct qt_err *e)
{
	struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC, .ifi_index = index};
	struct nl_msg *m = nlmsg_alloc_simple(RTM_GETLINK, 0);
	struct link_reply lr = {0};
	struct rt_nlb b = {0};

	if (!m || nlmsg_append(m, &ifi, sizeof(ifi), NLMSG_ALIGNTO) < 0) {
		nlmsg_free(m);
		return no_memory(e);
	}
	if (rt_nlb_put(r, &b, m, "find a link", e) < 0 || rt_nlb_run(r, &b, on_link, &lr, e) < 0)
		return -1;
	memcpy(out, lr.link.name, sizeof(lr.link.name));
	return 0;
}

int rt_rtnl_default(struct rt_rtnl *r, char ret_name[16], struct qt_err *e)
{
	struct qt_err mine;
	struct best best;
	int tries = 0;

	do {
		struct rtmsg rt = {.rtm_family = AF_INET};
		struct nl_msg *m = nlmsg_alloc_simple(RTM_GETROUTE, NLM_F_DUMP);
		struct rt_nlb b = {0};

		mine = (struct qt_err){0};
		best = (struct best){0};
		if (!m || nlmsg_append(m, &rt, sizeof(rt), NLMSG_ALIGNTO) < 0) {
			nlmsg_free(m);
			return no_memory(e);
		}
		if (rt_nlb_put(r, &b, m, "list routes", e) < 0)
			return -1;
		(void)rt_nlb_run(r, &b, on_route, &best, &mine);
	} while (mine.sys == EINTR && ++tries < 3);
	if (mine.code != QT_OK)
		return qt_fail_sys(e, mine.sys, "list routes");
	if (!best.found)
		return 0;
	return link_name(r, best.index, ret_name, e) < 0 ? -1 : 1;
}
