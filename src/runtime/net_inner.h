/* net_inner.h - what net.c, netopen.c and netmend.c share. */
#ifndef RT_NET_INNER_H
#define RT_NET_INNER_H

#include "net.h"
#include "netct.h"
#include "netfilter.h"
#include "netpool.h"
#include "rtnl.h"

/* Links that were detached: each should go with its namespace, soon. */
struct ghost {
	struct rt_addr addr;
	int64_t since; /* monotonic milliseconds */
};

struct rt_net {
	struct rt_rtnl *rt;
	struct rt_filter *filter;
	struct rt_pool *pool;
	struct rt_ct *ct; /* NULL: the kernel cannot tell of connections */
	int own_ns, sys_fd;
	bool ipv6; /* has the kernel got it? */
	unsigned mtu; /* 0: the default */
	char alias[32];
	struct ghost *ghosts; /* the oldest first */
	size_t n_ghosts, cap_ghosts;
};

/* VALUE "1" or "0": LINK forwards, or does not. */
int rt_net_forward(struct rt_net *n, const char *link, const char *value, struct qt_err *e);

/* A, which was just taken from the pool, is as good as new: the connections of whoever had it before are forgotten. A is given back on failure. */
int rt_net_fresh(struct rt_net *n, const struct rt_addr *a, struct qt_err *e);

/* A socket in the namespace behind NETNS_FD (borrowed), the caller's. */
int rt_net_enter(struct rt_net *n, int netns_fd, struct rt_rtnl **ret, struct qt_err *e);

/* Both ends of the link INDEX of A, whose inner one INNER reaches: addresses, routes, up; the host's end last. */
int rt_net_connect_ends(struct rt_net *n, struct rt_rtnl *inner, int index, const struct rt_addr *a, struct qt_err *e);

/* Make the link of A into the namespace NS_FD, which INNER reaches, and connect it. Undone on failure. */
int rt_net_attach_link(struct rt_net *n, struct rt_rtnl *inner, int ns_fd, const struct rt_addr *a, struct qt_err *e);

#endif
