/* netaddr.h - IPv4 addresses and networks as text and numbers. Numbers are in host byte order. */
#ifndef RT_NETADDR_H
#define RT_NETADDR_H

#include <stdbool.h>
#include <stdint.h>

struct rt_cidr {
	uint32_t base; /* the host bits are zero */
	unsigned bits; /* of the network: 0 to 32 */
};

/* "10.42.0.0/16". Bits set behind the prefix are refused: the writer meant something else. */
bool rt_cidr_parse(struct rt_cidr *ret, const char *text);

/* As a mask: 16 -> 0xffff0000. */
uint32_t rt_cidr_mask(const struct rt_cidr *c);

bool rt_cidr_has(const struct rt_cidr *c, uint32_t ip);

#endif
