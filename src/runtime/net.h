/* net.h - a container's link, address, routes and packet filter. Netlink only, no child processes. */
#ifndef RT_NET_H
#define RT_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf.h"
#include "err.h"
#include "id.h"
#include "netaddr.h"

struct rt_net; /* sockets, our nftables table, what is attached; one a process */

struct rt_addr {
	uint32_t ip;   /* IPv4, host byte order */
	char link[16]; /* the host's end: link_prefix and lower-case letters and digits, unique on this host */
};

/* Reads subnet, gateway, uplink, nameservers, link_prefix and instance from CONF; opens rtnetlink (libnl-3) and nfnetlink (libmnl,
 * libnftnl) sockets, turns IPv4 forwarding on for the uplink (and for each container's link at attach, never for the
 * host as a whole), and makes the table `inet INSTANCE` anew with no containers in it (netrules.c; security.md 5.11), in one
 * transaction. A setting that makes no sense is a VALIDATION_ERROR. The uplink `auto` on a host without a default
 * route is `none`. For processes with one thread: it changes namespaces for moments. */
int rt_net_open(struct rt_net **ret, const struct qt_conf *conf, struct qt_err *e);
void rt_net_close(struct rt_net *n);  /* leaves links and table: containers run on */

/* For the last one out: the table goes, and forwarding of the uplink is again what it was before us (the table's comment
 * remembers, also over a restart). CONFLICT while containers are attached, since nothing would fence them in. */
int rt_net_remove(struct rt_net *n, struct qt_err *e);

/* The link that egress leaves by, or NULL: for the log. */
const char *rt_net_uplink(const struct rt_net *n);

/* A free address and link name for a new container; not given again before rt_net_release(). The network's first and last
 * addresses and the gateway's are never used. Round robin, and an address whose last link still exists (a namespace dies some time
 * after its last process) is passed over. CAPACITY_FULL when none is left. */
int rt_net_reserve(struct rt_net *n, struct rt_addr *ret, struct qt_err *e);
/* The same for one that the journal remembers; CONFLICT if taken. */
int rt_net_reserve_this(struct rt_net *n, const struct rt_addr *a, struct qt_err *e);
/* The same for an address that somebody chose, with a new link name. VALIDATION_ERROR if it is none that containers can have. */
int rt_net_reserve_ip(struct rt_net *n, uint32_t ip, struct rt_addr *ret, struct qt_err *e);
void rt_net_release(struct rt_net *n, const struct rt_addr *a);

/* Before an attach: the sysctls of security.md 5.3 step 4 in the network namespace of PID, which holds still, and has its id maps. Nothing to undo. */
int rt_net_prepare(struct rt_net *n, pid_t pid, struct qt_err *e);

/* Attach: a veth pair whose far end is made in the network namespace of PID as eth0, with address /32, lo and eth0 up, default
 * route by the gateway (onlink), no IPv6; the near end has the gateway's address, a /32 route to the container, and its filter elements: the anti-spoofing pair, and its membership of TENANT. The filter
 * is there before the link is up. PID holds still, and has a namespace that rt_net_prepare() saw and nobody used. A must be reserved; it
 * may have been attached before and detached, and its link of that time still be dying: that one is removed then (18 ms).
 * Undone entirely on failure. */
int rt_net_attach(struct rt_net *n, const struct rt_addr *a, const struct qt_id *tenant, pid_t pid, struct qt_err *e);

/* After a restart of the runtime: the container runs and its link is there; put its filter elements back. A must be reserved (by
 * rt_net_reserve_this). CONFLICT if the link is gone. */
int rt_net_adopt(struct rt_net *n, const struct rt_addr *a, const struct qt_id *tenant, struct qt_err *e);

/* Take the filter elements away: from then on nothing passes. The link goes with its namespace, which is 18 ms cheaper than removing
 * it; what is left of one after a crash is for rt_net_sweep(). Idempotent. */
int rt_net_detach(struct rt_net *n, const struct rt_addr *a, struct qt_err *e);

/* Call now and then (each second, say): removes links that were detached more than 2 s ago and are still there, since connections
 * without a process can keep a namespace for minutes. At most two at a call, 18 ms each; mostly none, and then it costs nothing.
 * Their number. */
int rt_net_reap(struct rt_net *n);

/* Call every net_check_s: the packet filter is compared with what it should be, and made anew if somebody changed it. 1 if so, 0, -1. */
int rt_net_check(struct rt_net *n, struct qt_err *e);

/* Seen from inside the network namespace behind NETNS_FD (borrowed): address there, eth0 and lo up, default route; and the filter
 * knows the container. About 0.1 ms, whatever is in the namespace. */
bool rt_net_ok(struct rt_net *n, const struct rt_addr *a, int netns_fd);

/* The same question by question: enum rt_net_check bits, the host's end among them, and the filter as the kernel has it. */
unsigned rt_net_look(struct rt_net *n, const struct rt_addr *a, int netns_fd);

/* Put back what rt_net_look() misses. UNAVAILABLE if that does not help: somebody in the namespace has it otherwise. Its other
 * routes go with a link that had to be made anew. */
int rt_net_mend(struct rt_net *n, const struct rt_addr *a, const struct qt_id *tenant, int netns_fd, struct qt_err *e);

/* A route to DST inside, by the gateway, or no longer. Idempotent. CONFLICT when there are RT_ROUTES_MAX. */
int rt_net_route(struct rt_net *n, int netns_fd, const struct rt_cidr *dst, bool remove, struct qt_err *e);
/* Those that there are, into OUT of RT_ROUTES_MAX; their number, or -1. */
int rt_net_routes(struct rt_net *n, int netns_fd, struct rt_cidr *out, struct qt_err *e);

uint32_t rt_net_gateway(const struct rt_net *n);

struct rt_net_stats {
	uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets, rx_errors, tx_errors; /* as the container sees them */
};
/* Zeros when the link is not there. */
void rt_net_stats(struct rt_net *n, const struct rt_addr *a, struct rt_net_stats *ret);

/* Links that we made (a veth with a name of our form and our alias) and IS_KNOWN refuses are removed, 18 ms each: for the sweep at
 * start. Their number, or -1. */
int rt_net_sweep(struct rt_net *n, bool (*is_known)(const char *link, void *arg), void *arg, struct qt_err *e);

/* What resolv.conf in containers says: the gateway and dns_domain with the setting dns, else the nameservers; may be empty. -1 if a setting is
 * wrong or SIZE too small (256 bytes are enough). */
int rt_net_resolv_conf(const struct qt_conf *conf, char *out, size_t size);

#endif
