/* The requests about a container's network. Privileges: see the rows in ops.c. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "cleanup.h"
#include "dnssock.h"
#include "netns.h"
#include "peer.h"
#include "str.h"

#define TEXTS_MAX 4096 /* of routes, in ops.def */

/* The two addresses of an answer, in its scratch. */
enum { IP_AT = 0, GATEWAY_AT = 16, ROUTES_AT = 32 };

static bool runs(const struct rt_ctr *c)
{
	return c->state == RT_ST_RUNNING && !c->gone;
}

static int add_routes(struct rt *rt, int ns_fd, struct rt_answer *a, struct rt_net_rep *rep, struct qt_err *e)
{
	struct rt_cidr routes[RT_ROUTES_MAX];
	int n = rt_net_routes(rt->net, ns_fd, routes, e);

	for (int i = 0; i < n; i++) {
		char ip[16], text[20];

		rt_net_text(ip, sizeof(ip), routes[i].base);
		(void)qt_fmt(text, sizeof(text), "%s/%u", ip, routes[i].bits);
		(void)rt_strv_add(&rep->routes, a->scratch + ROUTES_AT, TEXTS_MAX, text); /* 32 of 20 bytes fit */
	}
	return n < 0 ? -1 : 0;
}

int rt_op_net(struct rt *rt, struct rt_ctr *c, const void *req, struct rt_answer *a, struct qt_err *e)
{
	struct rt_net_rep *rep = a->rep;
	auto_close int fd = -1;

	(void)req;
	rt_net_text(a->scratch + IP_AT, 16, c->addr.ip);
	rt_net_text(a->scratch + GATEWAY_AT, 16, rt_net_gateway(rt->net));
	*rep = (struct rt_net_rep){.ip = rt_str(a->scratch + IP_AT),
				   .link = rt_str(c->addr.link),
				   .gateway = rt_str(a->scratch + GATEWAY_AT),
				   .routes = {.s = a->scratch + ROUTES_AT}};
	rep->checks = (rt_net_uplink(rt->net) ? RT_NET_EGRESS : 0U) | (rt_peer_has(rt, RT_ROLE_DNS) ? RT_NET_DNS : 0U);
	if (!runs(c))
		return 0;
	fd = rt_netns_open(c->pid, e);
	if (fd < 0)
		return -1;
	rep->checks |= rt_net_look(rt->net, &c->addr, fd);
	return add_routes(rt, fd, a, rep, e);
}

int rt_op_net_mend(struct rt *rt, struct rt_ctr *c, const void *req, struct rt_answer *a, struct qt_err *e)
{
	auto_close int fd = rt_netns_open(c->pid, e);

	(void)req;
	(void)a;
	return fd < 0 ? -1 : rt_net_mend(rt->net, &c->addr, &c->tenant, fd, e);
}

int rt_op_route(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_route_req *req = req_;
	struct rt_cidr dst;
	auto_close int fd = -1;

	(void)a;
	if (req->remove > 1)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "route: remove is 0 or 1");
	if (rt_route_parse(&dst, req->destination.s, e) < 0)
		return -1;
	fd = rt_netns_open(c->pid, e);
	return fd < 0 ? -1 : rt_net_route(rt->net, fd, &dst, req->remove != 0, e);
}

int rt_op_address(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_address_req *req = req_;
	const struct rt_addr old = c->addr;
	struct rt_addr new = old;
	uint32_t ip;

	if (!rt_net_parse(&ip, req->ip.s))
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/ip_address", "an IPv4 address", "this is no IPv4 address");
	if (ip != old.ip) {
		if (rt_net_reserve_ip(rt->net, ip, &new, e) < 0)
			return -1;
		c->addr = new;
		if (rt_ctr_save(c, true, e) < 0) {
			c->addr = old;
			rt_net_release(rt->net, &new);
			return -1;
		}
		rt_net_release(rt->net, &old);
	}
	rt_net_text(a->scratch, 16, c->addr.ip);
	*(struct rt_address_rep *)a->rep = (struct rt_address_rep){.ip = rt_str(a->scratch), .link = rt_str(c->addr.link)};
	return 0;
}

int rt_op_dns(struct rt *rt, struct rt_ctr *c, const void *req, struct rt_answer *a, struct qt_err *e)
{
	(void)c;
	(void)req;
	if (!rt->conf.dns)
		return qt_fail(e, QT_E_UNAVAILABLE, "the setting dns is 0: there is no resolver");
	/* The resolver before this one had them, and is gone now. */
	if (rt->dns_fd[0] < 0 && rt_dns_open(rt->dns_fd, rt_net_gateway(rt->net), e) < 0)
		return -1;
	a->fds[0] = fcntl(rt->dns_fd[0], F_DUPFD_CLOEXEC, 3);
	a->fds[1] = fcntl(rt->dns_fd[1], F_DUPFD_CLOEXEC, 3);
	if (a->fds[0] >= 0 && a->fds[1] >= 0)
		return 0;
	(void)qt_fail_sys(e, errno, "the resolver's sockets");
	qt_reset_fd(&a->fds[0], -1);
	qt_reset_fd(&a->fds[1], -1);
	return -1;
}
