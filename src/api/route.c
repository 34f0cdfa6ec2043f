#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "path.h"
#include "route.h"
#include "str.h"

#define PATTERN_MAX 12 /* segments of a route's path: two bits of a score each */

const struct qt_route *const qt_route_tables[] = {
	qt_routes_containers,
	qt_routes_files,
	qt_routes_gui,
	qt_routes_jobs,
	qt_routes_network,
	qt_routes_operations,
	qt_routes_stream,
	qt_routes_snapshots,
	qt_routes_system,
	qt_routes_images,
	qt_routes_terminal,
	qt_routes_volumes,
	NULL,
};

void qt_route_each(void (*fn)(const struct qt_route *r, void *arg), void *arg)
{
	for (size_t t = 0; qt_route_tables[t]; t++)
		for (const struct qt_route *r = qt_route_tables[t]; r->id; r++)
			fn(r, arg);
}

static bool is_rest(const char *segment, size_t len)
{
	return len > 2 && segment[0] == '{' && segment[len - 2] == '*';
}

bool qt_path_match(const char *path, const char *const *segments, const char **params, unsigned *score)
{
	unsigned n_params = 0, i = 0, places = PATTERN_MAX;
	bool rest = false;

	*score = 0;
	for (; *path == '/' && !rest; i++) {
		size_t len = strcspn(++path, "/");

		if (!segments[i] || places == 0)
			return false;
		*score <<= 2;
		places--;
		rest = is_rest(path, len);
		if (path[0] == '{') {
			if (n_params >= QT_PARAMS_MAX)
				return false;
			params[n_params++] = segments[i];
			*score |= rest ? 0 : 1;
		} else if (strlen(segments[i]) == len && memcmp(segments[i], path, len) == 0) {
			*score |= 2;
		} else {
			return false;
		}
		path += len;
	}
	*score <<= 2 * places; /* so that patterns of different lengths can be compared */
	return rest || !segments[i];
}

const char *const *qt_path_rest(const char *path, const char *const *segments)
{
	for (; *path == '/'; segments++) {
		size_t len = strcspn(++path, "/");

		if (is_rest(path, len))
			return segments;
		path += len;
	}
	return segments;
}

static bool method_is(const struct qt_route *r, const char *method)
{
	return qt_streq(r->method, method) || (qt_streq(r->method, "GET") && qt_streq(method, "HEAD"));
}

const struct qt_route *qt_route_find(const char *method, const char *const *segments, const char **params, char *allow,
				     size_t allow_size, struct qt_err *e)
{
	const struct qt_route *best = NULL;
	const char *here[QT_PARAMS_MAX];
	unsigned score, path_score = 0;
	bool path_known = false;
	size_t n = 0;

	allow[0] = '\0';
	for (size_t t = 0; qt_route_tables[t]; t++) {
		for (const struct qt_route *r = qt_route_tables[t]; r->id; r++) {
			memset(here, 0, sizeof(here));
			if (!qt_path_match(r->path, segments, here, &score))
				continue;
			/* A literal path that lacks the method must not fall back to a parameter: DELETE …/help is 405. */
			if (!path_known || score > path_score) {
				path_known = true;
				path_score = score;
				n = 0;
				allow[0] = '\0';
				best = NULL;
			} else if (score < path_score) {
				continue;
			}
			if (n < allow_size)
				n += (size_t)snprintf(allow + n, allow_size - n, "%s%s", n ? ", " : "", r->method);
			if (method_is(r, method)) {
				best = r;
				memcpy(params, here, sizeof(here));
			}
		}
	}
	if (best)
		return best;
	if (path_known)
		(void)qt_fail(e, QT_E_METHOD_NOT_ALLOWED, "this path takes %s", allow);
	else
		(void)qt_fail(e, QT_E_NOT_FOUND, "there is no such path");
	return NULL;
}

#define TENANT_ERRORS QT_E_UNAUTHORIZED, QT_E_TENANT_MISMATCH, QT_E_RATE_LIMITED, QT_E_INTERNAL_ERROR, QT_E_STORE_UNAVAILABLE
/* The last is what a state store that is full says: at least an Idempotency-Key wants room in it. */
#define CHANGE_ERRORS TENANT_ERRORS, QT_E_VALIDATION_ERROR, QT_E_IDEMPOTENCY_CONFLICT, QT_E_IDEMPOTENCY_IN_PROGRESS, QT_E_INSUFFICIENT_STORAGE
#define BODY_ERRORS   QT_E_BAD_REQUEST, QT_E_PAYLOAD_TOO_LARGE, QT_E_UNSUPPORTED_MEDIA_TYPE, QT_E_UNPROCESSABLE_ENTITY

static const enum qt_code public_errors[] = {QT_E_INTERNAL_ERROR, 0};
static const enum qt_code tenant_errors[] = {TENANT_ERRORS, 0};
static const enum qt_code change_errors[] = {CHANGE_ERRORS, 0};
static const enum qt_code body_errors[] = {CHANGE_ERRORS, BODY_ERRORS, 0};
static const enum qt_code stream_errors[] = {TENANT_ERRORS, BODY_ERRORS, 0}; /* which cannot be replayed */

const enum qt_code *qt_common_errors(const struct qt_route *r)
{
	if (r->scope == QT_SCOPE_PUBLIC)
		return public_errors;
	if (r->body)
		return r->flags & QT_R_STREAM ? stream_errors : body_errors;
	return qt_streq(r->method, "GET") ? tenant_errors : change_errors;
}

bool qt_route_may(const struct qt_route *r, enum qt_code code)
{
	const enum qt_code *common = qt_common_errors(r);

	for (size_t i = 0; common[i]; i++)
		if (common[i] == code)
			return true;
	for (size_t i = 0; i < QT_ERRS_MAX && r->errors[i]; i++)
		if (r->errors[i] == code)
			return true;
	return code == QT_E_TENANT_BUSY && r->flags & QT_R_SLOW;
}

const char *qt_routes_selfcheck(void)
{
	for (size_t t = 0; qt_route_tables[t]; t++) {
		for (const struct qt_route *r = qt_route_tables[t]; r->id; r++) {
			if (r->scope == QT_SCOPE_NOBODY)
				return "a route without scope";
			if (!r->summary || !r->fn || (!r->reply && !r->types) || r->ok == 0 || r->budget_ms == 0)
				return "a route without summary, handler, reply, status or budget";
			if (r->also_ok && !r->also_reply)
				return "a second status without its reply";
			if (r->body && (r->body_size == 0 || qt_streq(r->method, "GET")))
				return "a body without size, or of a GET";
			for (size_t u = 0; qt_route_tables[u]; u++)
				for (const struct qt_route *s = qt_route_tables[u]; s->id; s++)
					if (s != r && (qt_streq(s->id, r->id) ||
						       (qt_streq(s->path, r->path) && qt_streq(s->method, r->method))))
						return "two routes of one id, or of one method and path";
		}
	}
	return NULL;
}
