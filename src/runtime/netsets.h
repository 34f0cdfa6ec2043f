/* netsets.h - table and sets of the packet filter. For netrules.c. */
#ifndef RT_NETSETS_H
#define RT_NETSETS_H

#include "netrules.h"

/* What stands in the sets for a container. */
struct rt_element_keys {
	unsigned char link_ip[20];
	uint32_t pair[2]; /* the tenant's number, the address as in a packet */
};
void rt_element_keys(struct rt_element_keys *ret, const struct rt_element *el);

void rt_sets_put_table(struct rt_nft *n, const struct rt_rules *r);

/* All sets, with the elements that do not depend on containers. */
void rt_sets_put_all(struct rt_nft *n, const struct rt_rules *r);

#endif
