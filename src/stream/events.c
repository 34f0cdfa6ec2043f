/* The stream in Redis is the queue of every client that is slow: here lie at most QUEUE_MAX bytes and a page for each. While a client keeps up,
 * it hears what the hub hears; when it does not, or may have missed something, it reads on in the stream from where it was, page by
 * page as its connection takes them, until it is abreast of the news again. */
#include "events.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "hub.h"
#include "log.h"
#include "sse.h"
#include "str.h"

#define QUEUE_MAX (128U << 10)
#define PAGE	  64
#define PAGE_MAX  (128U << 10)
#define RETRY_US  (500 * LWS_US_PER_MS)

struct filter {
	char operation[QT_ID_MAX + 1], container[QT_ID_MAX + 1], snapshot[QT_ID_MAX + 1];
	uint32_t kinds; /* 0: all */
};

struct page;

struct events {
	struct sq_listener l;
	struct sq *sq;
	struct qt_id tenant;
	struct sq_http *h;
	struct filter *filter;	   /* NULL: all */
	struct qt_event_id seen;   /* all up to it was queued, or filtered out */
	struct qt_event_id newest; /* that was heard of */
	struct page *page;	   /* under way; NULL: none */
	bool behind;		   /* what is heard is not queued: the stream is read */
	bool gapped;		   /* a gap was told, and not yet got over */
	lws_sorted_usec_list_t retry;
};

/* A look into the stream. Outlives a client that leaves meanwhile. */
struct page {
	struct sq_job job;
	struct events *ev; /* NULL: left */
	struct qt_event_id after, oldest;
	struct sq_news *news[PAGE];
	unsigned n;
	int more; /* -1: Redis is away */
	bool failed; /* the news could not be made */
};

static const char ready_data[] = "{\"type\":\"ready\"}";

static bool wanted(const struct filter *f, const struct sq_news *n)
{
	return !f || ((!f->kinds || f->kinds & n->kind) && (!f->operation[0] || qt_streq(f->operation, n->operation)) && (!f->container[0] || qt_streq(f->container, n->container)) &&
		      (!f->snapshot[0] || qt_streq(f->snapshot, n->snapshot)));
}

static bool full(const struct events *ev)
{
	return sq_http_queued(ev->h) > QUEUE_MAX;
}

static bool give(struct events *ev, const struct sq_news *n)
{
	if (wanted(ev->filter, n) && !sq_http_send(ev->h, n->frame))
		return false;
	ev->seen = n->id;
	return true;
}

static bool give_frame(struct events *ev, const char *event, const char *data)
{
	auto_buf struct qt_buf b = QT_BUF(1024);
	struct qt_err e = {0};
	struct sq_blob *frame = qt_sse_frame(&b, event, NULL, data, strlen(data), &e) < 0 ? NULL : sq_blob_new(b.data, b.len);
	bool ok = sq_http_send(ev->h, frame);

	sq_blob_unref(frame);
	return ok;
}

/* --- reading the stream ---------------------------------------------------------------------------------- */

static void found(const struct qt_heard *e, void *arg)
{
	struct page *p = arg;

	p->failed |= p->n == PAGE || !(p->news[p->n] = sq_news_new(e));
	if (!p->failed)
		p->n++;
}

static void work(struct sq_job *j, struct qt_life *l)
{
	struct page *p = lws_container_of(j, struct page, job);
	struct qt_err e = {0};

	p->more = qt_store_events_after(l->store, &j->tenant, &p->after, PAGE, PAGE_MAX, found, p, &p->oldest, &e);
}

static void read_on(struct events *ev);

static void on_retry(lws_sorted_usec_list_t *sul)
{
	read_on(lws_container_of(sul, struct events, retry));
}

/* Between what the client has and the oldest event that there is, something may have been. */
static bool tell_gap(struct events *ev, const struct page *p)
{
	static const struct qt_event_id none;
	char after[QT_EVENT_ID_TEXT], before[QT_EVENT_ID_TEXT], data[160];

	if (qt_event_id_cmp(&p->after, &none) == 0 || qt_event_id_cmp(&p->oldest, &p->after) <= 0 || ev->gapped)
		return true;
	qt_event_id_text(after, &p->after);
	qt_event_id_text(before, &p->oldest);
	(void)qt_fmt(data, sizeof(data), "{\"after\":\"%s\",\"before\":\"%s\"}", after, before);
	ev->gapped = true;
	return give_frame(ev, "gap", data);
}

static bool take_page(struct events *ev, const struct page *p)
{
	if (!tell_gap(ev, p))
		return false;
	for (unsigned i = 0; i < p->n; i++) {
		if (!give(ev, p->news[i]))
			return false;
		ev->gapped = false;
	}
	if (p->more == 0 && qt_event_id_cmp(&ev->newest, &ev->seen) <= 0)
		ev->behind = false;
	return true;
}

static void page_free(struct page *p)
{
	for (unsigned i = 0; i < p->n; i++)
		sq_news_unref(p->news[i]);
	free(p);
}

static void done(struct sq_job *j)
{
	struct page *p = lws_container_of(j, struct page, job);
	struct events *ev = p->ev;

	if (ev) {
		ev->page = NULL;
		if (p->more < 0 || p->failed)
			lws_sul_schedule(ev->sq->lws, 0, &ev->retry, on_retry, RETRY_US);
		else if (!take_page(ev, p))
			sq_http_end(ev->h);
		else
			read_on(ev);
	}
	page_free(p);
}

static void read_on(struct events *ev)
{
	struct page *p;

	if (!ev->behind || ev->page || full(ev))
		return;
	p = calloc(1, sizeof(*p));
	if (!p) {
		lws_sul_schedule(ev->sq->lws, 0, &ev->retry, on_retry, RETRY_US);
		return;
	}
	p->ev = ev;
	p->job.tenant = ev->tenant;
	p->after = ev->seen;
	p->job.work = work;
	p->job.done = done;
	ev->page = p;
	sq_job_submit(ev->sq, &p->job);
}

/* --- the client ------------------------------------------------------------------------------------------ */

static void hear(struct sq_listener *l, const struct sq_news *n)
{
	struct events *ev = lws_container_of(l, struct events, l);

	ev->newest = n->id;
	if (ev->behind || qt_event_id_cmp(&n->id, &ev->seen) <= 0)
		return;
	if (full(ev) || !give(ev, n))
		ev->behind = true; /* read_on() when the queue is empty */
}

static void look(struct sq_listener *l)
{
	struct events *ev = lws_container_of(l, struct events, l);

	ev->behind = true;
	read_on(ev);
}

static void beat(struct sq_listener *l, struct sq_blob *frame)
{
	struct events *ev = lws_container_of(l, struct events, l);

	if (sq_http_queued(ev->h) > 0)
		return;
	for (unsigned i = 0; i < SQ_SAMPLES; i++) {
		const struct sq_news *n = l->wants_samples ? sq_hub_sample(l, i) : NULL;

		if (n && wanted(ev->filter, n))
			(void)sq_http_send(ev->h, n->frame);
	}
	(void)sq_http_send(ev->h, frame);
}

static void drained(void *stream)
{
	read_on(stream);
}

static void left(void *stream)
{
	struct events *ev = stream;

	sq_hub_leave(ev->sq, &ev->l);
	lws_sul_schedule(ev->sq->lws, 0, &ev->retry, on_retry, LWS_SET_TIMER_USEC_CANCEL);
	if (ev->page)
		ev->page->ev = NULL;
	free(ev->filter);
	free(ev);
}

/* Samples are of the tenant as a whole. */
static bool wants_samples(const struct qt_begun *b)
{
	static const uint32_t samples = QT_EVENT_BIT(STATS) | QT_EVENT_BIT(METRICS);

	return !b->events.operation[0] && !b->events.container[0] && !b->events.snapshot[0] && (!b->events.kinds || b->events.kinds & samples);
}

static int set_filter(struct events *ev, const struct qt_begun *b, struct qt_err *e)
{
	ev->l.wants_samples = wants_samples(b);
	if (!b->events.operation[0] && !b->events.container[0] && !b->events.snapshot[0] && !b->events.kinds)
		return 0;
	ev->filter = calloc(1, sizeof(*ev->filter));
	if (!ev->filter)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	memcpy(ev->filter->operation, b->events.operation, sizeof(b->events.operation));
	memcpy(ev->filter->container, b->events.container, sizeof(b->events.container));
	memcpy(ev->filter->snapshot, b->events.snapshot, sizeof(b->events.snapshot));
	ev->filter->kinds = b->events.kinds;
	return 0;
}

int sq_events_begin(struct sq *sq, struct sq_http *h, struct qt_begun *b, struct qt_err *e)
{
	static const struct sq_stream_ops ops = {drained, left};
	struct events *ev = calloc(1, sizeof(*ev));

	if (!ev)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	*ev = (struct events){.l = {.hear = hear, .look = look, .beat = beat}, .sq = sq, .tenant = b->events.tenant, .h = h,
			       .seen = b->events.after, .behind = true};
	if (set_filter(ev, b, e) < 0 || sq_hub_join(sq, &b->events.tenant, &ev->l, e) < 0) {
		free(ev->filter);
		free(ev);
		return -1;
	}
	sq_http_stream(h, &ops, ev);
	if (!give_frame(ev, "ready", ready_data))
		sq_http_end(h);
	/* What happened since the handler looked, and what the client asked for. */
	read_on(ev);
	return 0;
}
