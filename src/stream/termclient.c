/* Who is attached to terminals: what goes to them, what they say. */
#include <string.h>

#include "cleanup.h"
#include "quota.h"
#include "str.h"
#include "terminal_in.h"
#include "termmsg.h"

struct note {
	struct note *next;
	struct sq_blob *blob;
	bool text;
};

struct sq_client {
	struct sq_terminal *t; /* NULL: it has ended */
	struct sq_client *next;
	struct lws *wsi;
	struct note *notes, **end;
	size_t queued;
	int closing;
	bool counted, refused;
	struct qt_id tenant;
	struct qt_buf text; /* a message that is not yet whole */
};

static unsigned n_clients;

unsigned sq_client_count(void)
{
	return n_clients;
}

static bool is_writer(const struct sq_client *c)
{
	return c->t && c->t->first == c;
}

/* --- to them --------------------------------------------------------------------------------------------- */

static void post(struct sq_client *c, struct sq_blob *b, bool text)
{
	struct note *n = b && !c->closing ? malloc(sizeof(*n)) : NULL;

	if (!n)
		return;
	b->refs++;
	*n = (struct note){NULL, b, text};
	*c->end = n;
	c->end = &n->next;
	c->queued += b->len;
	lws_callback_on_writable(c->wsi);
}

/* FRAME is stolen. */
static void post_json(struct sq_client *c, json_t *frame)
{
	auto_free char *text = json_dumps(frame, JSON_COMPACT);
	struct sq_blob *b = text ? sq_blob_new(text, strlen(text)) : NULL;

	json_decref(frame);
	post(c, b, true);
	sq_blob_unref(b);
}

static void post_error(struct sq_client *c, const char *code, const char *message)
{
	post_json(c, json_pack("{s:s, s:s, s:s}", "type", "error", "code", code, "message", message));
}

static void close_client(struct sq_client *c, int code)
{
	if (c->closing)
		return;
	c->closing = code;
	lws_callback_on_writable(c->wsi);
}

struct sq_blob *sq_client_next(struct sq_client *c, bool *text)
{
	struct note *n = c->notes;
	struct sq_blob *b;

	if (!n) {
		if (is_writer(c))
			sq_terminal_go_on(c->t);
		return NULL;
	}
	b = n->blob;
	*text = n->text;
	c->notes = n->next;
	if (!c->notes)
		c->end = &c->notes;
	c->queued -= b->len;
	free(n);
	return b;
}

int sq_client_closing(const struct sq_client *c)
{
	return c->closing;
}

void sq_clients_show(struct sq_terminal *t, struct sq_blob *b)
{
	for (struct sq_client *c = t->first; c; c = c->next) {
		post(c, b, false);
		if (c != t->first && c->queued > SQ_TERM_QUEUE_MAX)
			close_client(c, SQ_WS_TOO_SLOW);
	}
}

void sq_clients_close(struct sq_terminal *t, int code)
{
	for (struct sq_client *c = t->first; c; c = c->next)
		close_client(c, code);
}

void sq_clients_end(struct sq_terminal *t, json_t *last)
{
	while (t->first) {
		struct sq_client *c = t->first;

		t->first = c->next;
		c->t = NULL;
		post_json(c, json_incref(last));
		close_client(c, 1000);
	}
	json_decref(last);
	t->n_clients = 0;
}

size_t sq_writer_queued(const struct sq_terminal *t)
{
	return t->first ? t->first->queued : 0;
}

void sq_writer_wake(struct sq_terminal *t)
{
	if (t->first)
		lws_callback_on_writable(t->first->wsi);
}

/* --- from them ------------------------------------------------------------------------------------------- */

struct sq_client *sq_client_new(struct sq_terminal *t, struct lws *wsi)
{
	struct sq_client *c = calloc(1, sizeof(*c)), **p;
	struct qt_err e = {0};

	if (!c)
		return NULL;
	*c = (struct sq_client){.t = t, .wsi = wsi, .tenant = t->x.tenant, .text = QT_BUF(QT_TERM_TEXT_MAX + 1)};
	c->end = &c->notes;
	c->counted = sq_quota_take(t->sq, &c->tenant, &e) == 0;
	for (p = &t->first; *p; p = &(*p)->next)
		continue;
	*p = c;
	t->n_clients++;
	n_clients++;
	return c;
}

void sq_client_begin(struct sq_client *c)
{
	struct sq_terminal *t = c->t;
	struct sq_blob *scroll;

	if (!c->counted) {
		post_error(c, "QUOTA_EXCEEDED", "the tenant has as many streams open as it may have");
		close_client(c, SQ_WS_REFUSED);
		return;
	}
	if (!t)
		return;
	post_json(c, json_pack("{s:s, s:s, s:s, s:i, s:b}", "type", "ready", "session_id", t->x.id.s, "shell", t->x.shell, "pid", (int)t->x.pid,
			       "writer", is_writer(c)));
	scroll = sq_scroll_blob(&t->scroll);
	post(c, scroll, false);
	sq_blob_unref(scroll);
	sq_terminal_active(t);
	sq_terminal_record(t, false);
}

static void obey(struct sq_client *c, const char *text, size_t len)
{
	struct qt_term_msg m;

	qt_term_parse(text, len, &m);
	switch (m.kind) {
	case QT_TERM_BAD:
		post_error(c, "BAD_MESSAGE", "that is not a message of this protocol");
		break;
	case QT_TERM_PING:
		post_json(c, json_pack("{s:s, s:o}", "type", "pong", "ts", m.ts));
		break;
	case QT_TERM_RESIZE:
		if (is_writer(c))
			sq_terminal_resize(c->t, m.cols, m.rows);
		break;
	case QT_TERM_SIGNAL:
		if (is_writer(c))
			sq_terminal_signal(c->t, m.signal);
		break;
	}
}

static bool type_in(struct sq_client *c, const void *data, size_t len)
{
	if (!c->t)
		return true;
	if (is_writer(c))
		return sq_terminal_type(c->t, data, len);
	if (!c->refused)
		post_error(c, "READ_ONLY", "another client types in this session");
	c->refused = true;
	return true;
}

bool sq_client_hear(struct sq_client *c, const void *data, size_t len, bool binary, bool final)
{
	struct qt_err e = {0};

	if (c->closing)
		return true;
	if (binary)
		return type_in(c, data, len);
	/* One that is too long is cut, and then none. */
	(void)qt_buf_add(&c->text, data, len < c->text.max - c->text.len ? len : c->text.max - c->text.len, &e);
	if (final) {
		obey(c, c->text.data ? c->text.data : "", c->text.len);
		c->text.len = 0;
	}
	return c->queued < SQ_TERM_QUEUE_MAX;
}

void sq_client_left(struct sq_client *c)
{
	struct sq_terminal *t = c->t;
	bool was_writer = is_writer(c);

	for (struct sq_client **p = t ? &t->first : NULL; p && *p; p = &(*p)->next) {
		if (*p == c) {
			*p = c->next;
			break;
		}
	}
	if (t) {
		t->n_clients--;
		/* The next one types from now on. */
		if (was_writer && t->first) {
			t->first->refused = false;
			post_json(t->first, json_pack("{s:s}", "type", "writer"));
		}
		if (was_writer)
			sq_terminal_go_on(t);
		sq_terminal_record(t, false);
	}
	while (c->notes) {
		struct note *n = c->notes;

		c->notes = n->next;
		sq_blob_unref(n->blob);
		free(n);
	}
	if (c->counted)
		sq_quota_give(&c->tenant);
	qt_buf_done(&c->text);
	n_clients--;
	free(c);
}
