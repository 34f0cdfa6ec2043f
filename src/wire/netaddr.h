/* netaddr.h - IPv4 addresses and networks as text and numbers. Numbers are in host byte order. */
#ifndef RT_NETADDR_H
#define RT_NETADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct rt_cidr {
	uint32_t base; /* the host bits are zero */
	unsigned bits; /* of the network: 0 to 32 */
};

/* "10.42.0.0/16". Bits set behind the prefix are refused: the writer meant something else. */
bool rt_cidr_parse(struct rt_cidr *ret, const char *text);

/* As a mask: 16 -> 0xffff0000. */
uint32_t rt_cidr_mask(const struct rt_cidr *c);

bool rt_cidr_has(const struct rt_cidr *c, uint32_t ip);

/* "10.42.0.17". OUT has at least 16 bytes. */
void rt_net_text(char *out, size_t size, uint32_t ip);
bool rt_net_parse(uint32_t *ret, const char *text);

/* The destination of a route that a tenant may set: a network, not all of them, which is there already, and none that meets 0.0.0.0/8,
 * loopback, link-local or multicast. VALIDATION_ERROR at /destination. */
#define RT_ROUTES_MAX 32 /* of a container */
int rt_route_parse(struct rt_cidr *ret, const char *text, struct qt_err *e);

#endif
