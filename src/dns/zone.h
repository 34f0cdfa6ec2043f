/* zone.h - what the resolver knows: whose each address is, and each tenant's names. Made whole, never changed. */
#ifndef DNS_ZONE_H
#define DNS_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "id.h"

#define DNS_NAME_MAX 63 /* of a container */

struct dns_host {
	uint32_t ip; /* host byte order */
	struct qt_id tenant;
	char name[DNS_NAME_MAX + 1]; /* as the container is called */
};

struct dns_zone; /* of one node */

int dns_zone_new(struct dns_zone **ret, struct qt_err *e);
void dns_zone_free(struct dns_zone *z); /* NULL is well */

/* Before the seal. What cannot be a name of the DNS (two dots in a row) is kept for its address alone. */
int dns_zone_add(struct dns_zone *z, const struct dns_host *h, struct qt_err *e);
void dns_zone_seal(struct dns_zone *z);

/* After it. The container that has the address, or NULL. */
const struct dns_host *dns_zone_at(const struct dns_zone *z, uint32_t ip);

/* The tenant's container of that NAME, which is in lower case. Of several that differ in case only the one that is so written, or the first
 * in the order of their names. NULL: none. */
const struct dns_host *dns_zone_find(const struct dns_zone *z, const struct qt_id *tenant, const char *name);

size_t dns_zone_count(const struct dns_zone *z);

#endif
