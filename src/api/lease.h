/*
 * lease.h - what the workers of a node know of an API key for a moment: whose it is, and some requests of its rate limit that were taken ahead. So of several requests in a row
 * only one asks Redis who it is.
 *
 * A lease lasts QT_LEASE_MS, which is also how long a key works after it was revoked. What was taken and not used is given back with the next request. So the limit counts
 * all requests on all nodes as ever; a key that falls silent loses what its last lease had left, QT_LEASE_MAX for each request that asked Redis at that same moment. When
 * half of the burst is used up, nobody takes ahead any more: nobody is refused for what another has taken and does not use.
 */
#ifndef QT_LEASE_H
#define QT_LEASE_H

#include "store.h"

#define QT_LEASE_MS  250
#define QT_LEASE_MAX 10 /* requests */

struct qt_leases;

/* In memory that children of the caller share. */
int qt_leases_new(struct qt_leases **ret, struct qt_err *e);

/* As qt_store_auth_limited(). L may be NULL: always by Redis. */
int qt_leases_auth(struct qt_leases *l, struct qt_store *s, const struct qt_conf *conf, const char *key, struct qt_apikey *ret, unsigned *retry_after_s,
		   struct qt_err *e);

#endif
