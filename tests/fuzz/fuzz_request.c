/* A request as it comes from outside: the raw URL, its route and query; and a body against the table of that route, or of any other. A line with the method and
 * the URL, then the body. */
#include "fuzz.h"

#include "cleanup.h"
#include "dec.h"
#include "dispatch.h"
#include "identity.h"
#include "path.h"
#include "query.h"
#include "route.h"
#include "str.h"

static _Alignas(16) char decoded[1 << 16];

struct body {
	const json_t *root;
	const char *id; /* of the route; NULL: all */
};

static void decode(const struct qt_route *r, void *arg)
{
	const struct body *b = arg;
	struct qt_err e = {0};
	uint64_t seen;

	if (!r->body || (b->id && !qt_streq(b->id, r->id)))
		return;
	FUZZ_MUST(r->body_size <= sizeof(decoded));
	if (qt_decode(b->root, r->body, decoded, r->body_size, r->body_defaults, &seen, &e) == 0)
		return;
	FUZZ_MUST(e.code == QT_E_UNPROCESSABLE_ENTITY || e.code == QT_E_VALIDATION_ERROR || qt_route_may(r, e.code));
	FUZZ_MUST(e.msg[0]);
}

static void query(const struct qt_route *r, struct qt_uri *u)
{
	struct qt_call c = {.route = r};
	struct qt_err e = {0};

	memcpy(c.query, u->query, sizeof(u->query));
	c.n_query = u->n_query;
	if (qt_query_check(&c, &e) < 0)
		FUZZ_MUST(e.code == QT_E_VALIDATION_ERROR);
}

static const char *look(const char *method, const char *url)
{
	static struct qt_uri u;
	const char *params[QT_PARAMS_MAX] = {0};
	const struct qt_route *r;
	struct qt_look l;
	struct qt_err e = {0};
	char allow[64];

	qt_dispatch_look(method, url, &l);
	FUZZ_MUST(memchr(l.token, '\0', sizeof(l.token)));
	(void)qt_dispatch_flags(method, url);
	if (qt_uri_parse(&u, url, &e) < 0) {
		FUZZ_MUST(e.code == QT_E_BAD_REQUEST || e.code == QT_E_URI_TOO_LONG);
		return NULL;
	}
	for (size_t i = 0; u.segments[i]; i++) {
		const char *s = u.segments[i];

		FUZZ_MUST(s[0] && !qt_streq(s, ".") && !qt_streq(s, ".."));
		for (; *s; s++)
			FUZZ_MUST((unsigned char)*s >= 0x20 && *s != 0x7f);
	}
	r = qt_route_find(method, u.segments, params, allow, sizeof(allow), &e);
	if (!r) {
		FUZZ_MUST(e.code == QT_E_NOT_FOUND || e.code == QT_E_METHOD_NOT_ALLOWED);
		return NULL;
	}
	query(r, &u);
	/* A key in the URL counts on few routes. */
	FUZZ_MUST(l.n_token == 0 || (r->flags & QT_R_TOKEN));
	return r->id;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nl = size > 0 ? memchr(data, '\n', size) : NULL;
	size_t head = nl ? (size_t)(nl - data) : size;
	auto_free char *line = fuzz_text(data, head), *body = NULL;
	char *sp = strchr(line, ' ');
	struct body b = {0};
	struct qt_err e = {0};
	auto_json json_t *root = NULL;

	if (sp) {
		*sp = '\0';
		b.id = look(line, sp + 1);
	}
	if (!nl)
		return 0;
	body = fuzz_bytes(nl + 1, size - head - 1);
	root = qt_json_parse(body, size - head - 1, true, &e);
	if (!root) {
		FUZZ_MUST(e.code == QT_E_BAD_REQUEST || e.code == QT_E_UNPROCESSABLE_ENTITY);
		return 0;
	}
	b.root = root;
	qt_route_each(decode, &b);
	return 0;
}
