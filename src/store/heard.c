/* Reading the tenants' events: what is in a stream, and what is told as it happens. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>

#include "clock.h"
#include "conn.h"
#include "keys.h"
#include "num.h"
#include "str.h"

bool qt_event_id_parse(struct qt_event_id *ret, const char *text)
{
	struct qt_event_id id = {0};
	char head[QT_EVENT_ID_TEXT];
	char *dash;

	if (!qt_copy(head, sizeof(head), text))
		return false;
	dash = strchr(head, '-');
	if (dash)
		*dash = '\0';
	if (!qt_u64(&id.ms, head, 0, UINT64_MAX) || (dash && !qt_u64(&id.seq, dash + 1, 0, UINT64_MAX)))
		return false;
	*ret = id;
	return true;
}

void qt_event_id_text(char out[QT_EVENT_ID_TEXT], const struct qt_event_id *id)
{
	(void)qt_fmt(out, QT_EVENT_ID_TEXT, "%" PRIu64 "-%" PRIu64, id->ms, id->seq);
}

int qt_event_id_cmp(const struct qt_event_id *a, const struct qt_event_id *b)
{
	if (a->ms != b->ms)
		return a->ms < b->ms ? -1 : 1;
	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

static int read_id(const redisReply *r, struct qt_event_id *ret, struct qt_err *e)
{
	char text[QT_EVENT_ID_TEXT];

	if (qt_reply_text(r, text, sizeof(text), e) < 0)
		return -1;
	return qt_event_id_parse(ret, text) ? 0 : qt_reply_bad(e);
}

int qt_store_events_last(struct qt_store *s, const struct qt_id *tenant, struct qt_event_id *ret, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;

	qt_fcall(&w, "qt_events_last", true, qt_key_tenant(tenant).s);
	qt_word(&w, tenant->s);
	r = qt_call(s, &w, 0, e);
	return r ? read_id(r, ret, e) : -1;
}

/* { id, { "kind", k, "data", d, … } } */
static int read_event(const redisReply *r, struct qt_heard *ret, struct qt_err *e)
{
	const redisReply *f;

	memset(ret, 0, sizeof(*ret));
	if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 || read_id(r->element[0], &ret->id, e) < 0)
		return qt_reply_bad(e);
	f = r->element[1];
	if (f->type != REDIS_REPLY_ARRAY)
		return qt_reply_bad(e);
	for (size_t i = 0; i + 1 < f->elements; i += 2) {
		const redisReply *name = f->element[i], *v = f->element[i + 1];

		if (name->type != REDIS_REPLY_STRING || v->type != REDIS_REPLY_STRING)
			return qt_reply_bad(e);
		if (qt_streq(name->str, "kind") && qt_reply_text(v, ret->kind, sizeof(ret->kind), e) < 0)
			return -1;
		if (qt_streq(name->str, "data")) {
			ret->data = v->str;
			ret->len = v->len;
		}
	}
	return ret->data ? 0 : qt_reply_bad(e);
}

int qt_store_events_after(struct qt_store *s, const struct qt_id *tenant, const struct qt_event_id *after, unsigned count, size_t bytes,
			  void (*fn)(const struct qt_heard *ev, void *arg), void *arg, struct qt_event_id *ret_oldest, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	char from[QT_EVENT_ID_TEXT];
	const redisReply *list;

	qt_event_id_text(from, after);
	qt_fcall(&w, "qt_events_after", true, qt_key_tenant(tenant).s);
	qt_word(&w, tenant->s);
	qt_word(&w, from);
	qt_word_i64(&w, count);
	qt_word_i64(&w, (int64_t)bytes);
	r = qt_call(s, &w, 0, e);
	if (!r)
		return -1;
	if (r->type != REDIS_REPLY_ARRAY || r->elements != 3 || r->element[1]->type != REDIS_REPLY_INTEGER ||
	    read_id(r->element[0], ret_oldest, e) < 0)
		return qt_reply_bad(e);
	list = r->element[2];
	if (list->type != REDIS_REPLY_ARRAY || list->elements > count)
		return qt_reply_bad(e);
	for (size_t i = 0; i < list->elements; i++) {
		struct qt_heard ev;

		if (read_event(list->element[i], &ev, e) < 0)
			return -1;
		fn(&ev, arg);
	}
	return r->element[1]->integer == 1 && list->elements > 0;
}

int qt_store_listen(struct qt_store *s, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	qt_word(&w, "SUBSCRIBE");
	qt_word(&w, QT_CHANNEL_EVENTS);
	return qt_call_ok(s, &w, e);
}

/* "tenant id kind data" of the message; the text is cut up in place. */
static bool split(char *text, size_t len, struct qt_id *tenant, struct qt_heard *ev)
{
	char *part[3], *p = text, *end = text + len;

	for (int i = 0; i < 3; i++) {
		part[i] = p;
		p = memchr(p, ' ', (size_t)(end - p));
		if (!p)
			return false;
		*p++ = '\0';
	}
	ev->data = p;
	ev->len = (size_t)(end - p);
	return qt_id_parse(tenant, "ten", part[0]) && qt_event_id_parse(&ev->id, part[1]) && qt_copy(ev->kind, sizeof(ev->kind), part[2]);
}

static int lost(struct qt_store *s, struct qt_err *e)
{
	return qt_fail(e, QT_E_STORE_UNAVAILABLE, "Redis: %s", s->ctx && s->ctx->err ? s->ctx->errstr : "the subscription ended");
}

int qt_store_hear(struct qt_store *s, int wait_ms, void (*fn)(const struct qt_id *tenant, const struct qt_heard *ev, void *arg), void *arg,
		  struct qt_err *e)
{
	int64_t deadline = qt_mono_ms() + wait_ms;

	if (!s->ctx)
		return lost(s, e);
	for (;;) {
		struct pollfd p = {.fd = s->ctx->fd, .events = POLLIN};
		auto_reply redisReply *r = NULL;
		void *reply = NULL;
		struct qt_heard ev = {0};
		struct qt_id tenant;

		if (redisGetReplyFromReader(s->ctx, &reply) != REDIS_OK)
			return lost(s, e);
		r = reply;
		if (r) {
			if (r->type != REDIS_REPLY_ARRAY || r->elements != 3 || r->element[2]->type != REDIS_REPLY_STRING)
				return qt_reply_bad(e);
			if (!split(r->element[2]->str, r->element[2]->len, &tenant, &ev))
				continue; /* not of our functions */
			fn(&tenant, &ev, arg);
			return 1;
		}
		if (poll(&p, 1, qt_left_ms(deadline)) < 0 && errno != EINTR)
			return qt_fail_sys(e, errno, "poll");
		if (p.revents && redisBufferRead(s->ctx) != REDIS_OK)
			return lost(s, e);
		if (!p.revents && qt_left_ms(deadline) == 0)
			return 0;
	}
}
