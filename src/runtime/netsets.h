/* netsets.h - table and sets of the packet filter. For netrules.c. */
#ifndef RT_NETSETS_H
#define RT_NETSETS_H

#include "netrules.h"

void rt_sets_put_table(struct rt_nft *n, const struct rt_rules *r);

/* All sets, with the elements that do not depend on containers. */
void rt_sets_put_all(struct rt_nft *n, const struct rt_rules *r);

#endif
