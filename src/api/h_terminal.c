#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "clock.h"
#include "handlers.h"
#include "origin.h"
#include "query.h"
#include "str.h"

static json_t *view(const struct qt_call *c, const struct qt_session *x)
{
	return qt_session_view(x, c->life->conf->public_url, qt_now_ms());
}

static int open_in(struct qt_call *c, const char *container, struct qt_session *x, struct qt_err *e)
{
	struct qt_ctr k;
	int rc;

	if (qt_store_ctr_get(c->life->store, &c->tenant, container, &k, e) < 0)
		return -1;
	rc = qt_life_session_open(c->life, &k, x, e);
	qt_ctr_done(&k);
	return rc;
}

int qt_h_session_create(struct qt_call *c, struct qt_err *e)
{
	const struct qt_session_req *q = c->req;
	struct qt_session x = {.cols = (uint32_t)q->cols, .rows = (uint32_t)q->rows};

	if (qt_streq(q->target, "master")) {
		(void)qt_fail_field(e, QT_E_NOT_IMPLEMENTED, "/target", "container", "there is no master to open a terminal on");
		e->hint = "Name a container: container_id.";
		return -1;
	}
	if (!q->container[0])
		return qt_fail_field(e, QT_E_UNPROCESSABLE_ENTITY, "/container_id", "string", "container_id is missing");
	(void)qt_copy(x.shell, sizeof(x.shell), q->shell);
	if (open_in(c, q->container, &x, e) < 0)
		return -1;
	c->reply = view(c, &x);
	return 0;
}

int qt_h_session_list(struct qt_call *c, struct qt_err *e)
{
	bool none = qt_streq(qt_query_str(c, "target", "container"), "master");
	json_t *list = none ? json_array() : qt_life_session_list(c->life, &c->tenant, e);

	if (!list)
		return -1;
	c->reply = json_pack("{s:o}", "sessions", list);
	return 0;
}

int qt_h_session_get(struct qt_call *c, struct qt_err *e)
{
	struct qt_session x;

	if (qt_life_session_get(c->life, &c->tenant, c->params[0], &x, e) < 0)
		return -1;
	c->reply = view(c, &x);
	return 0;
}

int qt_h_session_resize(struct qt_call *c, struct qt_err *e)
{
	const struct qt_session_req *q = c->req;
	struct qt_session x;

	if (qt_life_session_get(c->life, &c->tenant, c->params[0], &x, e) < 0 ||
	    qt_life_session_resize(c->life, &x, (uint32_t)q->cols, (uint32_t)q->rows, e) < 0)
		return -1;
	c->reply = json_pack("{s:b}", "success", 1);
	return 0;
}

int qt_h_session_delete(struct qt_call *c, struct qt_err *e)
{
	struct qt_session x;

	if (qt_life_session_get(c->life, &c->tenant, c->params[0], &x, e) < 0 || qt_life_session_end(c->life, &x, e) < 0)
		return -1;
	c->reply = json_pack("{s:b}", "success", 1);
	return 0;
}

/* All that can be wrong with the request, before anything is looked up. */
static int check_upgrade(const struct qt_call *c, struct qt_err *e)
{
	const struct qt_upgrade *u = &c->upgrade;

	if (strcasecmp(u->to, "websocket") != 0)
		return qt_fail_field(e, QT_E_BAD_REQUEST, "Upgrade", "websocket", "this is for WebSockets");
	if (!qt_list_has(u->protocols, "terminal"))
		return qt_fail_field(e, QT_E_BAD_REQUEST, "Sec-WebSocket-Protocol", "terminal", "the subprotocol terminal is required");
	if (u->origin[0] && !qt_origin_allowed(u->origin, u->host, c->life->conf->public_url, c->life->conf->allowed_origins))
		return qt_fail(e, QT_E_FORBIDDEN, "pages of that origin may not open terminals here");
	return 0;
}

static int find(struct qt_call *c, struct qt_session *x, struct qt_err *e)
{
	const char *id = qt_query_str(c, "session_id", NULL), *container = qt_query_str(c, "container_id", NULL);

	if (!id == !container)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "session_id", "session_id or container_id", "name a session or a container");
	if (id)
		return qt_life_session_get(c->life, &c->tenant, id, x, e);
	*x = (struct qt_session){.cols = (uint32_t)qt_query_u64(c, "cols", 0), .rows = (uint32_t)qt_query_u64(c, "rows", 0)};
	(void)qt_copy(x->shell, sizeof(x->shell), qt_query_str(c, "shell", ""));
	return open_in(c, container, x, e);
}

int qt_h_session_attach(struct qt_call *c, struct qt_err *e)
{
	struct qt_begun *b = &c->begun;

	if (check_upgrade(c, e) < 0 || find(c, &b->terminal.session, e) < 0 ||
	    qt_life_session_attach(c->life, &b->terminal.session, &b->terminal.ends, e) < 0)
		return -1;
	b->type = "application/json";
	b->kind = QT_BEGUN_TERMINAL;
	return 0;
}
