/* net_peer.h - a process in a user and a network namespace of its own, which sends and receives what a test asks of it. */
#ifndef NET_PEER_H
#define NET_PEER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PATIENCE_MS 60000
#define PEER_UID    1234500000u /* its user 0 outside; 65,536 of them */

struct peer {
	pid_t pid; /* 0: none */
	int sock, ns_fd;
};

void peer_start(struct peer *p); /* fails the test */
void peer_stop(struct peer *p);  /* kills and reaps it; its namespace dies soon after */

/* All return 0 or more, or -errno. Addresses are in host byte order; FROM 0: the kernel's choice. */
int peer_listen(struct peer *p, uint16_t port);
int peer_connect(struct peer *p, uint32_t ip, uint16_t port, uint32_t from); /* begins it, forgetting the one before */
int peer_connected(struct peer *p, int wait_ms);			     /* -EAGAIN: not yet */
int peer_hang_up(struct peer *p);					     /* nothing of it is sent again */
int peer_accept(struct peer *p, uint32_t *ret_from);			     /* waits */
int peer_bind_udp(struct peer *p, uint16_t port);
int peer_send_udp(struct peer *p, uint32_t ip, uint16_t port, uint16_t count); /* one datagram to each of COUNT ports from PORT on */
int peer_flood_udp(struct peer *p, uint32_t ip, uint16_t port, uint16_t count); /* COUNT to this one, as fast as can be */
int peer_recv_udp(struct peer *p, uint32_t *ret_from);			     /* waits */
int peer_ping(struct peer *p, uint32_t ip);				     /* waits for the answer */
int peer_add_addr(struct peer *p, const char *link, uint32_t ip);
int peer_sysctl_set(struct peer *p, const char *name, const char *value);
int peer_sysctl_get(struct peer *p, const char *name, char *out, size_t size);
int peer_counters(struct peer *p, uint64_t out[4]); /* of eth0: bytes and packets received, bytes and packets sent */

#endif
