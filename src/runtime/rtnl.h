/* rtnl.h - links, addresses and routes over rtnetlink (libnl-route-3). One socket, in the namespace where it was opened. */
#ifndef RT_RTNL_H
#define RT_RTNL_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "net.h"

#define RT_INNER_LINK "eth0" /* the container's end */

struct rt_rtnl;

int rt_rtnl_open(struct rt_rtnl **ret, struct qt_err *e);
void rt_rtnl_close(struct rt_rtnl *r);
static inline void rt_rtnl_closep(struct rt_rtnl **r)
{
	rt_rtnl_close(*r);
}
#define auto_rtnl QT_AUTO(rt_rtnl_closep)

/* A veth pair, both ends down: LINK here, eth0 in the namespace behind NETNS_FD (borrowed). *RET_INDEX is LINK's. EEXIST stands in
 * e->sys if either name is taken; nothing was made then. MTU 0: the kernel's default. */
int rt_rtnl_veth(struct rt_rtnl *r, const char *link, int netns_fd, unsigned mtu, int *ret_index, struct qt_err *e);

/* The host's end comes up: forwarding, strict reverse path, no redirects, answers to ARP for its own address only; its alias is
 * ALIAS; address GATEWAY/32, route IP/32. */
int rt_rtnl_host_end(struct rt_rtnl *r, int index, const char *alias, uint32_t gateway, uint32_t ip, struct qt_err *e);

/* By a socket of the container's namespace: lo and eth0 up, IP/32 on eth0, default route by GATEWAY, which is on the link whatever
 * the address says. */
int rt_rtnl_inner_end(struct rt_rtnl *r, uint32_t gateway, uint32_t ip, struct qt_err *e);

/* Does it look so? RT_NET_LINK, RT_NET_ADDRESS and RT_NET_ROUTE (rt.h). Four questions with bounded answers: the namespace may have been
 * filled by somebody hostile. */
unsigned rt_rtnl_inner_look(struct rt_rtnl *r, uint32_t gateway, uint32_t ip);

/* By a socket of the container's namespace: a route to DST by GATEWAY, marked as one of these; both idempotent. */
int rt_rtnl_route_add(struct rt_rtnl *r, uint32_t gateway, const struct rt_cidr *dst, struct qt_err *e);
int rt_rtnl_route_del(struct rt_rtnl *r, const struct rt_cidr *dst, struct qt_err *e);
/* Those that are so marked, at most RT_ROUTES_MAX; their number, or -1. */
int rt_rtnl_routes(struct rt_rtnl *r, struct rt_cidr *out, struct qt_err *e);

/* Remove a link by name. Waits for the kernel's RCU: about 18 ms. Success if there is none. */
int rt_rtnl_delete(struct rt_rtnl *r, const char *link, struct qt_err *e);

struct rt_link {
	int index;
	unsigned mtu;
	bool veth, up; /* up: and so is the other end */
	char name[16], alias[64]; /* alias "" if none, or if it is longer */
	struct rt_net_stats stats; /* as this end sees them */
};

/* 1 and *RET, 0 if there is no such link, -1. */
int rt_rtnl_find(struct rt_rtnl *r, const char *link, struct rt_link *ret, struct qt_err *e);

/* Every link of the namespace, without its counters. FN returns -1 to end the walk, which is then the result. */
int rt_rtnl_each(struct rt_rtnl *r, int (*fn)(void *arg, const struct rt_link *l, struct qt_err *e), void *arg,
		 struct qt_err *e);

/* The link of the IPv4 default route of the main table with the lowest metric: 1 and its name, 0 if there is none, -1. */
int rt_rtnl_default(struct rt_rtnl *r, char ret_name[16], struct qt_err *e);

#endif
