/* netpool.h - which addresses of the subnet, and which link names, are given out. Pure bookkeeping. */
#ifndef RT_NETPOOL_H
#define RT_NETPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "net.h"
#include "netaddr.h"

#define RT_POOL_BITS_MIN 12 /* of the network's prefix: a million addresses, 20 MB of bookkeeping at the worst */
#define RT_POOL_BITS_MAX 30
#define RT_LINK_RANDOM	 10 /* characters of a link's name behind the prefix */

struct rt_pool;

/* The addresses of NET without its first, its last and GATEWAY. PREFIX begins every link name. START: where the round begins, any
 * number: two runtimes one after the other do not begin at the same address. */
int rt_pool_new(struct rt_pool **ret, const struct rt_cidr *net, uint32_t gateway, const char *prefix, uint32_t start,
		struct qt_err *e);
void rt_pool_free(struct rt_pool *p);

/* The next free address, round robin, so that one just given back waits longest, with a fresh random link name. An address whose
 * last link still exists, says IS_THERE, is passed over: packets for its former owner may still be under way. */
int rt_pool_take(struct rt_pool *p, bool (*is_there)(void *arg, const char *link), void *arg, struct rt_addr *ret,
		 struct qt_err *e);
int rt_pool_take_this(struct rt_pool *p, const struct rt_addr *a, struct qt_err *e);
/* The address IP with a fresh link name. VALIDATION_ERROR if it is not of the network, or not for containers; CONFLICT if it is taken. */
int rt_pool_take_ip(struct rt_pool *p, uint32_t ip, struct rt_addr *ret, struct qt_err *e);
void rt_pool_give(struct rt_pool *p, const struct rt_addr *a); /* does nothing if A is not given out */
bool rt_pool_has(const struct rt_pool *p, const struct rt_addr *a); /* is exactly this one given out? */

/* May the host still hold something of a former owner of the address? Of all at first, and of each that was given back, until all are clean. */
bool rt_pool_dirty(const struct rt_pool *p, uint32_t ip);
void rt_pool_clean(struct rt_pool *p);

/* Is the address one that a container could have, and none has? */
bool rt_pool_free_ip(const struct rt_pool *p, uint32_t ip);

/* Is NAME one that a pool with this PREFIX makes? */
bool rt_link_ok(const char *prefix, const char *name);

#endif
