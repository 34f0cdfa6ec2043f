/* net.h - a container's link, address, routes and packet filter. Netlink only, no child processes. */
#ifndef RT_NET_H
#define RT_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf.h"
#include "err.h"
#include "id.h"

struct rt_net; /* sockets, our nftables table, what is attached; one a process */

struct rt_addr {
	uint32_t ip;   /* IPv4, host byte order */
	char link[16]; /* the host's end: link_prefix and lower-case letters and digits, unique on this host */
};

/* Reads subnet, gateway, uplink, link_prefix and instance from CONF; opens rtnetlink (libnl-3) and nfnetlink (libmnl, libnftnl)
 * sockets, turns IPv4 forwarding on for our links, and makes the table `inet INSTANCE` anew with no containers in it
 * (security.md 5.11), in one transaction. */
int rt_net_open(struct rt_net **ret, const struct qt_conf *conf, struct qt_err *e);
void rt_net_close(struct rt_net *n);  /* leaves links and table: containers run on */
int rt_net_remove(struct rt_net *n, struct qt_err *e); /* the table, for the last one out */

/* A free address and link name for a new container; not given again before rt_net_release(). The network's first and last
 * addresses are never used. CAPACITY_FULL when none is left. */
int rt_net_reserve(struct rt_net *n, struct rt_addr *ret, struct qt_err *e);
/* The same for one that the journal remembers; CONFLICT if taken. */
int rt_net_reserve_this(struct rt_net *n, const struct rt_addr *a, struct qt_err *e);
void rt_net_release(struct rt_net *n, const struct rt_addr *a);

/* Attach: a veth pair whose far end is made in the network namespace of PID as eth0, with address /32, lo and eth0 up, default
 * route by the gateway (onlink); the near end has the gateway's address, a /32 route to the container, and its filter elements:
 * the anti-spoofing pair, and the pairs with every other attached container of TENANT. Undone entirely on failure. */
int rt_net_attach(struct rt_net *n, const struct rt_addr *a, const struct qt_id *tenant, pid_t pid, struct qt_err *e);

/* After a restart of the runtime: the container runs and its link is there; put its filter elements back. */
int rt_net_adopt(struct rt_net *n, const struct rt_addr *a, const struct qt_id *tenant, struct qt_err *e);

/* Take the filter elements away (the link goes with its namespace; it is removed if it is still there and ORPHAN). Idempotent. */
int rt_net_detach(struct rt_net *n, const struct rt_addr *a, struct qt_err *e);

/* Seen from inside the network namespace behind NETNS_FD: address there, eth0 and lo up, default route. */
bool rt_net_ok(struct rt_net *n, const struct rt_addr *a, int netns_fd);

struct rt_net_stats {
	uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets, rx_errors, tx_errors; /* as the container sees them */
};
/* Zeros when the link is not there. */
void rt_net_stats(struct rt_net *n, const struct rt_addr *a, struct rt_net_stats *ret);

/* Links with our prefix that IS_KNOWN refuses are removed: for the sweep at start. Their number, or -1. */
int rt_net_sweep(struct rt_net *n, bool (*is_known)(const char *link, void *arg), void *arg, struct qt_err *e);

/* "10.42.0.17". OUT has at least 16 bytes. */
void rt_net_text(char *out, size_t size, uint32_t ip);
bool rt_net_parse(uint32_t *ret, const char *text);

#endif
