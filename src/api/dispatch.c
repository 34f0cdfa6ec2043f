#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "answer.h"
#include "cleanup.h"
#include "dispatch.h"
#include "idem.h"
#include "identity.h"
#include "life/files.h"
#include "log.h"
#include "path.h"
#include "query.h"
#include "route.h"
#include "str.h"
#include "upload.h"

#define REQ_SIZE_MAX 4096

static const char json_media[] = "application/json";

void qt_answer_error(const struct qt_err *e, const char *request_id, struct qt_out *out)
{
	const struct qt_err_row *row = qt_err_row(e->code);
	auto_json json_t *body = qt_error_body(e, request_id);

	out->status = row->status;
	out->type = json_media;
	out->retry_after = e->retry_after ? e->retry_after : row->retry_after;
	out->code = e->code;
	out->text = json_dumps(body, JSON_COMPACT);
	out->len = out->text ? strlen(out->text) : 0;
}

/* application/json, with any parameters. */
static bool is_json(const char *type)
{
	size_t n = strlen(json_media);

	return strncasecmp(type, json_media, n) == 0 && (type[n] == '\0' || type[n] == ';' || type[n] == ' ');
}

static int decode(struct qt_call *c, const char *text, size_t len, json_t **json, void *req, struct qt_err *e)
{
	const struct qt_route *r = c->route;

	*json = qt_json_parse(text, len, r->flags & QT_R_EMPTY_OK, e);
	if (!*json || qt_decode(*json, r->body, req, r->body_size, r->body_defaults, &c->seen, e) < 0)
		return -1;
	c->req = req;
	return 0;
}

static int read_body(struct qt_call *c, const struct qt_in *in, json_t **json, void *req, struct qt_err *e)
{
	const struct qt_route *r = c->route;

	if (!r->body)
		return 0;
	if (r->flags & QT_R_UPLOAD && !c->beside)
		return 0; /* raw: all that there is to say is in the query */
	if (r->flags & QT_R_UPLOAD)
		return decode(c, c->beside, c->beside_len, json, req, e);
	if (in->body_too_large)
		return qt_fail(e, QT_E_PAYLOAD_TOO_LARGE, "the body is larger than this server takes");
	if (in->body_len > 0 && !is_json(in->content_type)) {
		(void)qt_fail_field(e, QT_E_UNSUPPORTED_MEDIA_TYPE, "", json_media, "the body must be %s", json_media);
		(void)qt_copy(e->received, sizeof(e->received), *in->content_type ? "another type" : "no type");
		return -1;
	}
	return decode(c, in->body ? in->body : "", in->body_len, json, req, e);
}

/* Which route, and for whom; and the body, if it is a large one. */
static int find(struct qt_call *c, const struct qt_in *in, struct qt_uri *uri, struct qt_err *e)
{
	if (qt_uri_parse(uri, in->uri, e) < 0)
		return -1;
	c->path = uri->segments;
	c->n_query = uri->n_query;
	memcpy(c->query, uri->query, sizeof(c->query));
	c->route = qt_route_find(in->method, uri->segments, c->params, c->allow, sizeof(c->allow), e);
	if (!c->route)
		return -1;
	c->rest = qt_path_rest(c->route->path, uri->segments);
	if (c->route->scope != QT_SCOPE_PUBLIC && qt_identity_take(c, in->tenant, in->key_id, in->plan, e) < 0)
		return -1;
	return c->route->flags & QT_R_UPLOAD ? qt_upload_take(c, in, e) : 0;
}

static int carry_out(struct qt_call *c, const struct qt_in *in, json_t **json, void *req, struct qt_err *e)
{
	if (read_body(c, in, json, req, e) < 0 || qt_query_check(c, e) < 0)
		return -1;
	if (c->route->fn(c, e) < 0)
		return -1;
	if (c->begun.kind == QT_BEGUN_NOTHING || in->streams)
		return 0;
	qt_begun_done(&c->begun);
	return qt_fail(e, QT_E_INTERNAL_ERROR, "%s came to a worker", c->route->id);
}

static void succeed(struct qt_call *c, struct qt_out *out, struct qt_err *e)
{
	out->status = c->status ? c->status : c->route->ok;
	if (c->begun.kind != QT_BEGUN_NOTHING) {
		out->begun = c->begun;
		out->type = c->begun.type;
		return;
	}
	if (c->file) {
		out->file = qt_take(&c->file);
		out->len = out->file->size;
		out->type = "application/octet-stream";
		return;
	}
	if (c->text) {
		out->text = qt_take(&c->text);
		out->type = c->text_type;
	} else {
		out->text = c->reply ? json_dumps(c->reply, JSON_COMPACT) : NULL;
		out->type = json_media;
		if (!out->text)
			(void)qt_fail(e, QT_E_INTERNAL_ERROR, "%s has no answer that is JSON", c->route->id);
	}
	out->len = c->text_len ? c->text_len : out->text ? strlen(out->text) : 0;
}

void qt_dispatch_look(const char *method, const char *raw_uri, struct qt_look *ret)
{
	const char *params[QT_PARAMS_MAX];
	auto_free struct qt_uri *uri = malloc(sizeof(*uri));
	const struct qt_route *r;
	struct qt_err e = {0};
	bool follow = false;
	char allow[64];

	memset(ret, 0, sizeof(*ret));
	if (!uri || qt_uri_parse(uri, raw_uri, &e) < 0)
		return;
	/* What is no route there is refused by quilt-stream, too: nginx has no other way for it. */
	if (qt_streq(uri->segments[0], "ws"))
		ret->pool = QT_POOL_STREAM;
	r = qt_route_find(method, uri->segments, params, allow, sizeof(allow), &e);
	if (!r)
		return;
	ret->flags = r->flags;
	ret->is_gui = r->flags & QT_R_GUI && qt_id_parse(&ret->container, "ctr", params[0]);
	for (unsigned i = 0; i < uri->n_query; i++) {
		follow |= qt_streq(uri->query[i].name, "follow") && qt_streq(uri->query[i].value, "true");
		if (r->flags & QT_R_GUI && qt_streq(uri->query[i].name, "gui_token"))
			(void)qt_copy(ret->link, sizeof(ret->link), uri->query[i].value);
		if (!(r->flags & QT_R_TOKEN) || !qt_streq(uri->query[i].name, "token"))
			continue;
		ret->n_token++;
		if (!qt_copy(ret->token, sizeof(ret->token), uri->query[i].value))
			(void)qt_copy(ret->token, sizeof(ret->token), "/"); /* too long, and no key */
	}
	if (r->flags & QT_R_STREAM || (r->flags & QT_R_FOLLOW && follow))
		ret->pool = QT_POOL_STREAM;
	else
		ret->pool = r->flags & QT_R_SLOW ? QT_POOL_SLOW : QT_POOL_QUICK;
}

unsigned qt_dispatch_flags(const char *method, const char *raw_uri)
{
	struct qt_look look;

	qt_dispatch_look(method, raw_uri, &look);
	return look.flags;
}

static void refuse(struct qt_call *c, struct qt_out *out, const struct qt_err *e)
{
	if (c->route && !qt_route_may(c->route, e->code))
		qt_log_err(QT_LOG_ERROR, e, "request_id=%s route=%s undocumented error", c->request_id, c->route->id);
	else if (!qt_err_row(e->code)->show)
		qt_log_err(QT_LOG_ERROR, e, "request_id=%s route=%s", c->request_id, out->route_id);
	free(out->text);
	qt_answer_error(e, c->request_id, out);
	if (e->code == QT_E_METHOD_NOT_ALLOWED)
		(void)qt_copy(out->allow, sizeof(out->allow), c->allow);
	/* A reader of by-name asks for these two even of a miss (contract 3.5). */
	if (c->reply && out->text) {
		auto_json json_t *body = json_loads(out->text, 0, NULL);

		json_object_update_missing(body, c->reply);
		free(out->text);
		out->text = json_dumps(body, JSON_COMPACT);
		out->len = out->text ? strlen(out->text) : 0;
	}
}

void qt_dispatch(struct qt_life *l, const struct qt_in *in, struct qt_out *out)
{
	_Alignas(16) char req[REQ_SIZE_MAX];
	struct qt_call c = {.method = in->method,
			    .content_type = in->content_type,
			    .accept = in->accept,
			    .tenant_header = in->tenant_header,
			    .last_event_id = in->last_event_id,
			    .upgrade = in->upgrade,
			    .body = in->body,
			    .body_len = in->body_len,
			    .upload = -1,
			    .gone = in->gone,
			    .gone_arg = in->gone_arg,
			    .life = l};
	auto_free struct qt_uri *uri = malloc(sizeof(*uri));
	struct qt_idem idem = {0};
	json_t *json = NULL;
	struct qt_err e = {0};
	bool replayed = false;

	memset(out, 0, sizeof(*out));
	(void)qt_copy(c.request_id, sizeof(c.request_id), in->request_id);
	if (!uri)
		(void)qt_fail(&e, QT_E_UNAVAILABLE, "out of memory");
	else if (find(&c, in, uri, &e) == 0)
		replayed = qt_idem_begin(&c, in, &idem, out, &e) == 1;
	out->route_id = c.route ? c.route->id : "-";
	if (!replayed) {
		if (e.code == QT_OK && carry_out(&c, in, &json, req, &e) == 0)
			succeed(&c, out, &e);
		if (e.code != QT_OK)
			refuse(&c, out, &e);
		if (idem.token.s[0])
			qt_idem_end(&c, &idem, out);
	}
	qt_close(c.upload);
	free(c.beside);
	free(c.text);
	json_decref(c.reply);
	json_decref(json);
}
