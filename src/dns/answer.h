/* answer.h - what a question of a container is answered with, or that others are to be asked. No I/O. */
#ifndef DNS_ANSWER_H
#define DNS_ANSWER_H

#include "netaddr.h"
#include "query.h"
#include "zone.h"

#define DNS_TTL_S 2 /* of a container's name: so long may a rename be overlooked */

struct dns_view {
	const struct dns_zone *zone;
	const char *domain; /* "quilt.internal" */
	struct rt_cidr subnet;
};

enum dns_way {
	DNS_ANSWER,  /* RET holds it */
	DNS_FORWARD, /* none of ours: for a nameserver */
	DNS_UNKNOWN, /* it would be ours, and is not known: RET holds the answer, in case that looking anew does not help */
};

/* Q, which was read well, of the container at SOURCE. Texts in RET are those of V, or in TEXT of DNS_TEXT_MAX bytes. */
enum dns_way dns_decide(const struct dns_view *v, uint32_t source, const struct dns_query *q, char *text, struct dns_answer *ret);

#endif
