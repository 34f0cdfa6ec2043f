#include <string.h>
#include <strings.h>

#include "identity.h"
#include "lease.h"
#include "str.h"

#define KEY_MAX 128

static int plain_key(const char *key, struct qt_err *e)
{
	size_t len = strlen(key);

	if (len == 0 || len > KEY_MAX)
		return qt_fail(e, QT_E_UNAUTHORIZED, "the API key is not valid");
	/* A comma or a space is a header folded from two. */
	for (size_t i = 0; i < len; i++)
		if (!((key[i] >= 'a' && key[i] <= 'z') || (key[i] >= 'A' && key[i] <= 'Z') ||
		      (key[i] >= '0' && key[i] <= '9') || key[i] == '_' || key[i] == '-' || key[i] == '.'))
			return qt_fail(e, QT_E_UNAUTHORIZED, "the API key is not valid");
	return 0;
}

int qt_identity_auth(struct qt_life *l, struct qt_leases *leases, const struct qt_credentials *cr, struct qt_apikey *ret, unsigned *retry_after_s,
		     struct qt_err *e)
{
	const char *key = cr->api_key;

	if (cr->n_api_key > 1 || cr->n_authorization > 1 || cr->n_token > 1)
		return qt_fail(e, QT_E_UNAUTHORIZED, "a credential came more than once");
	if ((!key || !*key) && (!cr->authorization || !*cr->authorization)) {
		key = cr->token;
		if (!key || !*key)
			return qt_fail(e, QT_E_UNAUTHORIZED, "no API key");
	} else if (!key || !*key) {
		if (strncasecmp(cr->authorization, "Bearer ", 7) != 0)
			return qt_fail(e, QT_E_UNAUTHORIZED, "Authorization must be a bearer token");
		key = cr->authorization + 7;
	}
	if (plain_key(key, e) < 0)
		return -1;
	return qt_leases_auth(leases, l->store, l->conf, key, ret, retry_after_s, e);
}

int qt_identity_take(struct qt_call *c, const char *tenant, const char *key_id, const char *plan, struct qt_err *e)
{
	if (!tenant || !qt_id_parse(&c->tenant, "ten", tenant) || !key_id ||
	    !qt_copy(c->key_id, sizeof(c->key_id), key_id) || !plan || !qt_copy(c->plan, sizeof(c->plan), plan))
		return qt_fail(e, QT_E_UNAUTHORIZED, "no API key");
	if (*c->tenant_header && !qt_streq(c->tenant_header, c->tenant.s))
		return qt_fail(e, QT_E_TENANT_MISMATCH, "X-Tenant-Id names another tenant");
	return 0;
}
