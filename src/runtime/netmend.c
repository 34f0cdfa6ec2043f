/* A container's network while it runs: looked at, put right, given routes. */
#include <string.h>

#include "cleanup.h"
#include "net_inner.h"
#include "rt.h"
#include "str.h"

#define WHOLE (RT_NET_HOST_LINK | RT_NET_LINK | RT_NET_ADDRESS | RT_NET_ROUTE | RT_NET_FILTER)

static const struct rt_rules *rules(const struct rt_net *n)
{
	return rt_filter_rules(n->filter);
}

int rt_net_check(struct rt_net *n, struct qt_err *e)
{
	return rt_filter_check(n->filter, e);
}

unsigned rt_net_look(struct rt_net *n, const struct rt_addr *a, int netns_fd)
{
	auto_rtnl struct rt_rtnl *inner = NULL;
	struct qt_err ignored = {0};
	unsigned checks = 0;
	struct rt_link l;

	if (rt_rtnl_find(n->rt, a->link, &l, &ignored) == 1 && l.up)
		checks |= RT_NET_HOST_LINK;
	if (rt_filter_has(n->filter, a) && rt_filter_knows(n->filter, a))
		checks |= RT_NET_FILTER;
	if (rt_net_enter(n, netns_fd, &inner, &ignored) == 0)
		checks |= rt_rtnl_inner_look(inner, rules(n)->gateway, a->ip);
	return checks;
}

bool rt_net_ok(struct rt_net *n, const struct rt_addr *a, int netns_fd)
{
	const unsigned inside = RT_NET_LINK | RT_NET_ADDRESS | RT_NET_ROUTE;
	auto_rtnl struct rt_rtnl *inner = NULL;
	struct qt_err ignored = {0};

	return rt_filter_has(n->filter, a) && rt_net_enter(n, netns_fd, &inner, &ignored) == 0 &&
	       (rt_rtnl_inner_look(inner, rules(n)->gateway, a->ip) & inside) == inside;
}

int rt_net_mend(struct rt_net *n, const struct rt_addr *a, const struct qt_id *tenant, int netns_fd, struct qt_err *e)
{
	auto_rtnl struct rt_rtnl *inner = NULL;
	struct qt_err there = {0};
	struct rt_link l;
	int found;

	if (rt_net_look(n, a, netns_fd) == WHOLE)
		return 0;
	/* The fence first, as at the attach. */
	if (rt_filter_mend(n->filter, a, tenant, e) < 0 || rt_net_enter(n, netns_fd, &inner, e) < 0)
		return qt_context(e, "network");
	found = rt_rtnl_find(n->rt, a->link, &l, e);
	if (found < 0 || (found == 0 && rt_net_attach_link(n, inner, netns_fd, a, e) < 0))
		return qt_context(e, "network");
	if (found == 1) {
		/* The kernel takes each request by itself: what is there already is refused, what is missing comes. */
		(void)rt_rtnl_inner_end(inner, rules(n)->gateway, a->ip, &there);
		qt_err_reset(&there);
		(void)rt_rtnl_host_end(n->rt, l.index, n->alias, rules(n)->gateway, a->ip, &there);
	}
	if (rt_net_look(n, a, netns_fd) != WHOLE)
		return qt_fail(e, QT_E_UNAVAILABLE, "the container's network cannot be put right while it runs");
	return 0;
}

int rt_net_route(struct rt_net *n, int netns_fd, const struct rt_cidr *dst, bool remove, struct qt_err *e)
{
	auto_rtnl struct rt_rtnl *inner = NULL;
	struct rt_cidr have[RT_ROUTES_MAX];
	int count;

	if (rt_net_enter(n, netns_fd, &inner, e) < 0)
		return qt_context(e, "network");
	if (remove)
		return rt_rtnl_route_del(inner, dst, e);
	count = rt_rtnl_routes(inner, have, e);
	if (count < 0)
		return -1;
	for (int i = 0; i < count; i++)
		if (have[i].base == dst->base && have[i].bits == dst->bits)
			return 0;
	if (count == RT_ROUTES_MAX)
		return qt_fail(e, QT_E_CONFLICT, "the container has its %d routes", RT_ROUTES_MAX);
	return rt_rtnl_route_add(inner, rules(n)->gateway, dst, e);
}

int rt_net_routes(struct rt_net *n, int netns_fd, struct rt_cidr *out, struct qt_err *e)
{
	auto_rtnl struct rt_rtnl *inner = NULL;

	return rt_net_enter(n, netns_fd, &inner, e) < 0 ? -1 : rt_rtnl_routes(inner, out, e);
}

uint32_t rt_net_gateway(const struct rt_net *n)
{
	return rules(n)->gateway;
}

int rt_net_reserve_ip(struct rt_net *n, uint32_t ip, struct rt_addr *ret, struct qt_err *e)
{
	return rt_pool_take_ip(n->pool, ip, ret, e) < 0 ? -1 : rt_net_fresh(n, ret, e);
}
