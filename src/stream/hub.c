/* One thread listens to Redis' channel and hands on what it hears; the loop sorts it by tenant. A message that is lost (Redis was away, or we
 * were too slow) is no loss: whoever listens then looks into the tenant's stream, where everything is. */
#include "hub.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#include "cleanup.h"
#include "clock.h"
#include "dec.h"
#include "log.h"
#include "sse.h"
#include "str.h"

#define BUCKETS	  4096 /* a power of two */
#define HEARD_MAX 8192 /* messages between the thread and the loop */
#define FRAME_MAX (1U << 20)
#define AWAY_MS	  200
#define WAIT_MS	  1000

struct sq_tenant {
	struct sq_tenant *next;
	struct qt_id id;
	struct sq_listener *first;
	struct sq_samples samples;
};

/* From the thread to the loop. */
struct heard {
	struct heard *next;
	struct qt_id tenant;
	struct sq_news *news;
};

struct sq_hub {
	struct sq *sq;
	struct sq_tenant *tenants[BUCKETS];
	unsigned turns, turn; /* of the heartbeat */
	lws_sorted_usec_list_t second;

	pthread_mutex_t lock; /* all below */
	struct heard *first, **end;
	unsigned n_heard;
	bool lost;
	int event_fd;
	struct sq_watch watch;
};

/* --- news ------------------------------------------------------------------------------------------------ */

static void id_of(const json_t *data, const char *name, char out[QT_ID_MAX + 1])
{
	const char *v = json_string_value(json_object_get(data, name));

	out[0] = '\0';
	if (v)
		(void)qt_copy(out, QT_ID_MAX + 1, v);
}

/* What clients of the contract's other generation look for in an operation's event (4.3). */
static int frame_of(struct qt_buf *b, const struct qt_heard *ev, const char *id, struct qt_err *e)
{
	auto_buf struct qt_buf data = QT_BUF(FRAME_MAX);

	if (!qt_streq(ev->kind, "operation_update"))
		return qt_sse_frame(b, ev->kind, id, ev->data, ev->len, e);
	if (qt_buf_str(&data, "{\"type\":\"OperationUpdate\",\"data\":", e) < 0 || qt_buf_add(&data, ev->data, ev->len, e) < 0 ||
	    qt_buf_str(&data, "}", e) < 0)
		return -1;
	return qt_sse_frame(b, ev->kind, id, data.data, data.len, e);
}

struct sq_news *sq_news_new(const struct qt_heard *ev)
{
	auto_buf struct qt_buf b = QT_BUF(FRAME_MAX);
	auto_json json_t *data = json_loadb(ev->data, ev->len, 0, NULL);
	struct sq_news *n = calloc(1, sizeof(*n));
	bool sample = ev->id.ms == 0;
	char id[QT_EVENT_ID_TEXT];
	enum qt_event_kind kind;
	struct qt_err e = {0};

	qt_event_id_text(id, &ev->id);
	if (!n || frame_of(&b, ev, sample ? NULL : id, &e) < 0 || !(n->frame = sq_blob_new(b.data, b.len))) {
		free(n);
		return NULL;
	}
	n->refs = 1;
	n->id = ev->id;
	n->kind = qt_event_parse(&kind, ev->kind) ? qt_event_bit(kind) : 0;
	id_of(data, "operation_id", n->operation);
	id_of(data, "container_id", n->container);
	id_of(data, "snapshot_id", n->snapshot);
	return n;
}

void sq_news_unref(struct sq_news *n)
{
	if (!n || --n->refs > 0)
		return;
	sq_blob_unref(n->frame);
	free(n);
}

/* --- the thread ------------------------------------------------------------------------------------------ */

static void tell_loop(struct sq_hub *hub, struct heard *h, bool lost)
{
	(void)pthread_mutex_lock(&hub->lock);
	hub->lost |= lost || (h && hub->n_heard == HEARD_MAX);
	if (h && hub->n_heard < HEARD_MAX) {
		h->next = NULL;
		*hub->end = h;
		hub->end = &h->next;
		hub->n_heard++;
		h = NULL;
	}
	(void)pthread_mutex_unlock(&hub->lock);
	(void)eventfd_write(hub->event_fd, 1);
	if (h) {
		sq_news_unref(h->news);
		free(h);
	}
}

static void on_message(const struct qt_id *tenant, const struct qt_heard *ev, void *arg)
{
	struct heard *h = calloc(1, sizeof(*h));

	if (!h || !(h->news = sq_news_new(ev))) {
		free(h);
		tell_loop(arg, NULL, true);
		return;
	}
	h->tenant = *tenant;
	tell_loop(arg, h, false);
}

static int listen_until_lost(struct sq_hub *hub, struct qt_store *s, struct qt_err *e)
{
	if (qt_store_listen(s, e) < 0)
		return -1;
	tell_loop(hub, NULL, true); /* what happened before we listened */
	while (qt_store_hear(s, WAIT_MS, on_message, hub, e) >= 0)
		continue;
	return 1;
}

static void *thread_main(void *arg)
{
	static const struct timespec pause = {.tv_nsec = AWAY_MS * 1000000L};
	struct sq_hub *hub = arg;
	bool away = false;

	for (;;) {
		struct qt_store *s = NULL;
		struct qt_err e = {0};
		int r = qt_store_new(&s, &hub->sq->conf, &e);

		if (r == 0)
			r = listen_until_lost(hub, s, &e);
		qt_store_free(s);
		if (r > 0)
			away = false;
		if (!away)
			qt_log_err(QT_LOG_WARN, &e, "Redis' news cannot be heard");
		away = true;
		(void)nanosleep(&pause, NULL);
	}
	return NULL;
}

/* --- the loop -------------------------------------------------------------------------------------------- */

static struct sq_tenant **bucket(struct sq_hub *hub, const struct qt_id *id)
{
	uint32_t h = 2166136261U;

	for (const char *p = id->s; *p; p++)
		h = (h ^ (unsigned char)*p) * 16777619U;
	return &hub->tenants[h & (BUCKETS - 1)];
}

static struct sq_tenant *find(struct sq_hub *hub, const struct qt_id *id)
{
	struct sq_tenant *t = *bucket(hub, id);

	while (t && !qt_streq(t->id.s, id->s))
		t = t->next;
	return t;
}

int sq_hub_join(struct sq *sq, const struct qt_id *tenant, struct sq_listener *l, struct qt_err *e)
{
	struct sq_hub *hub = sq->hub;
	struct sq_tenant *t = find(hub, tenant), **place = bucket(hub, tenant);

	if (!t) {
		t = calloc(1, sizeof(*t));
		if (!t)
			return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
		t->id = *tenant;
		t->next = *place;
		*place = t;
	}
	l->tenant = t;
	l->turn = hub->turn++ % hub->turns;
	l->next = t->first;
	if (l->next)
		l->next->self = &l->next;
	l->self = &t->first;
	t->first = l;
	return 0;
}

void sq_hub_leave(struct sq *sq, struct sq_listener *l)
{
	struct sq_tenant *t = l->tenant, **p;

	if (!t)
		return;
	l->tenant = NULL;
	*l->self = l->next;
	if (l->next)
		l->next->self = l->self;
	if (t->first)
		return;
	for (p = bucket(sq->hub, &t->id); *p != t; p = &(*p)->next)
		continue;
	*p = t->next;
	sq_samples_done(&t->samples);
	free(t);
}

const struct sq_news *sq_hub_sample(struct sq_listener *l, unsigned kind)
{
	const struct sq_samples *s = &l->tenant->samples;

	if (!s->news[kind] || l->sampled[kind] == s->number[kind])
		return NULL;
	l->sampled[kind] = s->number[kind];
	return s->news[kind];
}

struct sq_samples *sq_hub_samples(struct sq *sq, const struct qt_id *tenant)
{
	struct sq_tenant *t = find(sq->hub, tenant);

	return t ? &t->samples : NULL;
}

/* None of what is called here takes anybody off the lists: a client that must go is closed by the loop later. */
static void for_all(struct sq_hub *hub, void (*fn)(struct sq_listener *l, void *arg), void *arg)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct sq_tenant *t = hub->tenants[i]; t; t = t->next)
			for (struct sq_listener *l = t->first; l; l = l->next)
				fn(l, arg);
}

static void look(struct sq_listener *l, void *arg)
{
	(void)arg;
	l->look(l);
}

static void on_heard(void *arg, uint32_t events)
{
	struct sq_hub *hub = arg;
	struct heard *h;
	eventfd_t n;
	bool lost;

	(void)events;
	(void)eventfd_read(hub->event_fd, &n);
	(void)pthread_mutex_lock(&hub->lock);
	h = hub->first;
	lost = hub->lost;
	hub->first = NULL;
	hub->end = &hub->first;
	hub->n_heard = 0;
	hub->lost = false;
	(void)pthread_mutex_unlock(&hub->lock);
	while (h) {
		struct sq_tenant *t = find(hub, &h->tenant);
		struct heard *next = h->next;

		for (struct sq_listener *l = t ? t->first : NULL; l; l = l->next)
			l->hear(l, h->news);
		sq_news_unref(h->news);
		free(h);
		h = next;
	}
	if (lost)
		for_all(hub, look, NULL);
	sq_watch_change(hub->sq, &hub->watch, EPOLLIN);
}

struct beat {
	unsigned turn;
	struct sq_blob *frame;
};

static void beat(struct sq_listener *l, void *arg)
{
	const struct beat *b = arg;

	if (l->turn == b->turn)
		l->beat(l, b->frame);
}

/* Looked at once a round of the heartbeat: so each listener's turn finds one that is new. */
static void sample(struct sq_hub *hub, unsigned turn)
{
	for (size_t i = turn; i < BUCKETS; i += hub->turns) {
		for (struct sq_tenant *t = hub->tenants[i]; t; t = t->next) {
			struct sq_listener *l = t->first;

			while (l && !l->wants_samples)
				l = l->next;
			if (l)
				sq_sample(hub->sq, &t->id, &t->samples);
		}
	}
}

/* Each second a part of the clients: so that they do not all wake up at once. */
static void on_second(lws_sorted_usec_list_t *sul)
{
	struct sq_hub *hub = lws_container_of(sul, struct sq_hub, second);
	struct beat b = {.turn = (unsigned)(qt_mono_ms() / 1000) % hub->turns};
	auto_buf struct qt_buf buf = QT_BUF(256);
	struct qt_err e = {0};
	char data[48];

	lws_sul_schedule(hub->sq->lws, 0, &hub->second, on_second, LWS_US_PER_SEC);
	(void)qt_fmt(data, sizeof(data), "{\"ts\":%lld}", (long long)(qt_now_ms() / 1000));
	if (qt_sse_frame(&buf, "heartbeat", NULL, data, strlen(data), &e) < 0 || !(b.frame = sq_blob_new(buf.data, buf.len)))
		return;
	for_all(hub, beat, &b);
	sq_blob_unref(b.frame);
	sample(hub, b.turn);
}

int sq_hub_open(struct sq *sq, struct qt_err *e)
{
	struct sq_hub *hub = calloc(1, sizeof(*hub));
	pthread_t t;
	int sys;

	if (!hub)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	sq->hub = hub;
	hub->sq = sq;
	hub->end = &hub->first;
	hub->turns = (unsigned)sq->conf.heartbeat_s;
	(void)pthread_mutex_init(&hub->lock, NULL);
	hub->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (hub->event_fd < 0)
		return qt_fail_sys(e, errno, "eventfd");
	if (sq_watch(sq, &hub->watch, hub->event_fd, EPOLLIN, on_heard, hub, e) < 0)
		return -1;
	lws_sul_schedule(sq->lws, 0, &hub->second, on_second, LWS_US_PER_SEC);
	sys = pthread_create(&t, NULL, thread_main, hub);
	if (sys != 0)
		return qt_fail_sys(e, sys, "start a thread");
	(void)pthread_detach(t);
	return 0;
}
