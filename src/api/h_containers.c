#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "handlers.h"
#include "num.h"
#include "query.h"
#include "str.h"

int qt_h_container(struct qt_call *c, struct qt_ctr *ret, struct qt_err *e)
{
	return qt_store_ctr_get(c->life->store, &c->tenant, c->params[0], ret, e);
}

int qt_h_ctr_list(struct qt_call *c, struct qt_err *e)
{
	const char *state_text = qt_query_str(c, "state", NULL);
	unsigned limit = (unsigned)qt_query_u64(c, "limit", 0);
	struct qt_ctr_list list = {0};
	enum qt_state state;
	json_t *items;

	if (state_text && !qt_state_parse(&state, state_text))
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "state", "created; starting; running; exited; error",
				     "there is no state \"%.20s\"", state_text);
	if (qt_store_ctr_list(c->life->store, &c->tenant, state_text ? (int)state : -1, limit, qt_query_str(c, "cursor", ""),
			      &list, e) < 0)
		return -1;
	items = json_array();
	for (size_t i = 0; i < list.n; i++)
		json_array_append_new(items, qt_ctr_view(&list.v[i]));
	c->reply = json_pack("{s:o, s:{s:b, s:o}}", "containers", items, "pagination", "has_next", list.cursor[0] != '\0',
			     "next_cursor", list.cursor[0] ? json_string(list.cursor) : json_null());
	qt_ctr_list_done(&list);
	return 0;
}

int qt_h_ctr_get(struct qt_call *c, struct qt_err *e)
{
	struct qt_ctr k;

	if (qt_h_container(c, &k, e) < 0)
		return -1;
	c->reply = qt_ctr_view(&k);
	qt_ctr_done(&k);
	return 0;
}

int qt_h_ctr_by_name(struct qt_call *c, struct qt_err *e)
{
	struct qt_id id;

	if (qt_store_ctr_by_name(c->life->store, &c->tenant, c->params[0], &id, e) < 0) {
		if (e->code != QT_E_CONTAINER_NOT_FOUND)
			return -1;
		c->reply = json_pack("{s:n, s:b}", "container_id", "found", 0);
		if (!c->life->conf->by_name_miss_200)
			return -1;
		qt_err_reset(e);
		json_object_set_new(c->reply, "name", json_string(c->params[0]));
		return 0;
	}
	c->reply = json_pack("{s:s, s:s, s:b}", "container_id", id.s, "name", c->params[0], "found", 1);
	return 0;
}

int qt_h_ctr_ready(struct qt_call *c, struct qt_err *e)
{
	struct qt_ready r;
	struct qt_ctr k;
	int rc;

	if (qt_h_container(c, &k, e) < 0)
		return -1;
	rc = qt_life_ready(c->life, &k, &r, e);
	if (rc == 0)
		c->reply = qt_ready_view(&r, k.id.s);
	qt_ctr_done(&k);
	return rc;
}

int qt_h_ctr_metrics(struct qt_call *c, struct qt_err *e)
{
	struct qt_ctr k;

	if (qt_h_container(c, &k, e) < 0)
		return -1;
	c->reply = qt_life_metrics(c->life, &k, e);
	qt_ctr_done(&k);
	return c->reply ? 0 : -1;
}

/* "2026-04-17T10:00:00Z", or seconds since 1970. */
static int parse_since(const char *text, uint64_t *ret, struct qt_err *e)
{
	struct tm tm = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	time_t t;

	if (qt_u64(ret, text, 0, UINT32_MAX)) {
		*ret *= 1000;
		return 0;
	}
	t = end && !*end ? timegm(&tm) : -1;
	if (t < 0)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "since", "seconds since 1970; 2026-04-17T10:00:00Z", "since is not a time");
	*ret = (uint64_t)t * 1000;
	return 0;
}

static int logs_want(const struct qt_call *c, struct qt_logs_want *w, struct qt_err *e)
{
	static const uint8_t streams[] = {LOG_STDOUT, LOG_STDERR, LOG_SYSTEM};
	const char *since = qt_query_str(c, "since", NULL), *stream = qt_query_str(c, "stream", NULL);

	*w = (struct qt_logs_want){.limit = qt_query_u64(c, "limit", 100)};
	for (size_t i = 0; stream && i < QT_LEN(streams); i++)
		if (qt_streq(stream, qt_log_stream_name(streams[i])))
			w->streams |= 1U << streams[i];
	return since ? parse_since(since, &w->since_ms, e) : 0;
}

static int follow(struct qt_call *c, const struct qt_ctr *k, const struct qt_logs_want *w, struct qt_err *e)
{
	struct qt_begun *b = &c->begun;

	b->logs.past = qt_life_logs(c->life, k, w, &b->logs.at.seq, b->logs.fds, e);
	if (!b->logs.past)
		return -1;
	b->logs.want = *w;
	b->logs.sse = strstr(c->accept, "text/event-stream") != NULL;
	b->type = b->logs.sse ? "text/event-stream" : "application/x-ndjson";
	b->kind = QT_BEGUN_LOGS;
	return 0;
}

int qt_h_ctr_logs(struct qt_call *c, struct qt_err *e)
{
	struct qt_logs_want want;
	json_t *logs = NULL;
	struct qt_ctr k;
	int rc;

	if (logs_want(c, &want, e) < 0 || qt_h_container(c, &k, e) < 0)
		return -1;
	if (qt_streq(qt_query_str(c, "follow", "false"), "true")) {
		rc = follow(c, &k, &want, e);
	} else {
		logs = qt_life_logs(c->life, &k, &want, NULL, NULL, e);
		rc = logs ? 0 : -1;
	}
	if (logs)
		c->reply = json_pack("{s:s, s:o}", "container_id", k.id.s, "logs", logs);
	qt_ctr_done(&k);
	return rc;
}
