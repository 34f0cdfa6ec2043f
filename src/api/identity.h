/* identity.h - who asks. nginx asks `/_auth` before any request under /api/ goes further; what that found comes back with the
 * request in parameters that no client can send (nginx writes every parameter by hand). */
#ifndef QT_IDENTITY_H
#define QT_IDENTITY_H

#include "call.h"

/* Of the subrequest: the credential headers as they came (NULL if absent), and how often each came. Exactly one key: X-Api-Key wins
 * over Authorization: Bearer. A header that came twice or holds a list is refused (V36, V37, V39). */
struct qt_credentials {
	const char *api_key, *authorization;
	unsigned n_api_key, n_authorization;
	const char *token; /* of the URL, where the route takes it: counts when there is neither header */
	unsigned n_token;
};
struct qt_leases; /* lease.h; may be NULL */
int qt_identity_auth(struct qt_life *l, struct qt_leases *leases, const struct qt_credentials *cr, struct qt_apikey *ret, unsigned *retry_after_s,
		     struct qt_err *e);

/* The tenant, key and plan that nginx hands on, into C. UNAUTHORIZED if they are not there; TENANT_MISMATCH if the client's own
 * X-Tenant-Id names another. */
int qt_identity_take(struct qt_call *c, const char *tenant, const char *key_id, const char *plan, struct qt_err *e);

#endif
