/* feed.h - the zone, read from Redis by a thread of its own: a store that hangs must not keep a name waiting that is known. */
#ifndef DNS_FEED_H
#define DNS_FEED_H

#include <stdint.h>

#include "conf.h"
#include "zone.h"

struct dns_feed;

int dns_feed_open(struct dns_feed **ret, const struct qt_conf *conf, struct qt_err *e);
void dns_feed_close(struct dns_feed *f);

/* Readable when a reading has ended. */
int dns_feed_fd(const struct dns_feed *f);

/* What the readings since the last call made: a zone (the caller's), or NULL if nothing has changed or Redis is away. *ENDED is the number of the last
 * reading that has ended. */
struct dns_zone *dns_feed_take(struct dns_feed *f, uint64_t *ended);

/* Read soon. The number of the reading that will begin after now. */
uint64_t dns_feed_want(struct dns_feed *f);

/* Has one succeeded? */
bool dns_feed_ready(const struct dns_feed *f);

#endif
