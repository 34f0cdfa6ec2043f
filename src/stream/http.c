#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

#include "cleanup.h"
#include "clock.h"
#include "events.h"
#include "exec.h"
#include "http.h"
#include "follow.h"
#include "log.h"
#include "quota.h"
#include "str.h"
#include "ticket.h"

#define WRITE_A_TURN 65536 /* bytes to one client before others have their turn */

/* One waits in the queue. */
struct node {
	struct node *next;
	struct sq_blob *blob;
};

/* While a request is answered; a stream does not need it any more. */
struct request {
	struct sq_job job;
	struct sq_http *h;
	struct qt_in in;
	struct qt_out out;
	char *texts; /* what IN points to */
	char *body;
	size_t body_len;
	int64_t began;
	bool submitted;
	atomic_bool gone;
};

struct sq_http {
	struct sq *sq;
	struct lws *wsi; /* NULL: the client is gone */
	struct request *r;
	struct node *first, **end;
	size_t queued;
	bool ending;
	const struct sq_stream_ops *ops; /* NULL: no stream */
	void *stream;
	struct qt_id tenant; /* whose stream is counted; "": none */
	char request_id[65];
};

/* Those that a WebSocket comes of, and where nginx asks for it (nginx/quilt-server.conf.in). */
static const char *const sockets[QT_BEGUN_KINDS] = {[QT_BEGUN_TERMINAL] = "/_quilt_ws", [QT_BEGUN_GUI] = "/_quilt_gui"};

static unsigned n_clients;

static const sq_begin begins[] = {[QT_BEGUN_EVENTS] = sq_events_begin, [QT_BEGUN_LOGS] = sq_follow_begin,
				   [QT_BEGUN_EXEC] = sq_exec_begin};

unsigned sq_http_count(void)
{
	return n_clients;
}

/* --- the request ----------------------------------------------------------------------------------------- */

/* What nginx says of the request (nginx/quilt-server.conf.in), each in a header of its own. */
static const struct {
	const char *header;
	size_t off;
	bool may_lack;
} heads[] = {
	{"x-quilt-method:", offsetof(struct qt_in, method), false},
	{"x-quilt-uri:", offsetof(struct qt_in, uri), false},
	{"x-quilt-type:", offsetof(struct qt_in, content_type), false},
	{"x-quilt-accept:", offsetof(struct qt_in, accept), false},
	{"x-quilt-tenant-id:", offsetof(struct qt_in, tenant_header), false},
	{"x-quilt-last-event-id:", offsetof(struct qt_in, last_event_id), false},
	{"x-quilt-request-id:", offsetof(struct qt_in, request_id), false},
	{"x-quilt-upgrade:", offsetof(struct qt_in, upgrade.to), false},
	{"x-quilt-protocols:", offsetof(struct qt_in, upgrade.protocols), false},
	{"x-quilt-origin:", offsetof(struct qt_in, upgrade.origin), false},
	{"x-quilt-host:", offsetof(struct qt_in, upgrade.host), false},
	{"x-quilt-tenant:", offsetof(struct qt_in, tenant), true},
	{"x-quilt-key:", offsetof(struct qt_in, key_id), true},
	{"x-quilt-plan:", offsetof(struct qt_in, plan), true},
};

static int header_len(struct lws *wsi, size_t i)
{
	int n = lws_hdr_custom_length(wsi, heads[i].header, (int)strlen(heads[i].header));

	return n > 0 ? n : 0;
}

static bool gone(void *arg)
{
	return atomic_load(&((struct request *)arg)->gone);
}

static bool take_headers(struct request *r, struct lws *wsi)
{
	size_t size = 1;
	char *p;

	for (size_t i = 0; i < QT_LEN(heads); i++)
		size += (size_t)header_len(wsi, i) + 1;
	p = r->texts = calloc(1, size);
	if (!p)
		return false;
	for (size_t i = 0; i < QT_LEN(heads); i++) {
		const char **to = (const char **)(void *)((char *)&r->in + heads[i].off);
		int n = header_len(wsi, i);

		*to = heads[i].may_lack && n == 0 ? NULL : p;
		if (n > 0 && lws_hdr_custom_copy(wsi, p, n + 1, heads[i].header, (int)strlen(heads[i].header)) < 0)
			return false;
		p += n + 1;
	}
	return true;
}

static void request_free(struct request *r)
{
	if (!r)
		return;
	free(r->texts);
	free(r->body);
	free(r->out.text);
	free(r);
}

static void work(struct sq_job *j, struct qt_life *l)
{
	struct request *r = lws_container_of(j, struct request, job);

	qt_dispatch(l, &r->in, &r->out);
}

static void answer(struct sq_http *h);

static void log_answer(const struct request *r)
{
	qt_log(QT_LOG_INFO, "request_id=%s route=%s tenant=%s key=%s status=%d code=%s ms=%d", r->in.request_id, r->out.route_id,
	       r->in.tenant ? r->in.tenant : "-", r->in.key_id ? r->in.key_id : "-", r->out.status,
	       r->out.code == QT_OK ? "-" : qt_err_row(r->out.code)->name, (int)(qt_mono_ms() - r->began));
}

static void done(struct sq_job *j)
{
	struct request *r = lws_container_of(j, struct request, job);
	struct sq_http *h = r->h;

	if (h->wsi) {
		answer(h);
		return;
	}
	log_answer(r);
	qt_begun_done(&r->out.begun);
	request_free(r);
	free(h);
}

static struct sq_http *begin(struct sq *sq, struct lws *wsi)
{
	struct sq_http *h = calloc(1, sizeof(*h));
	struct request *r = calloc(1, sizeof(*r));

	if (!h || !r || !take_headers(r, wsi)) {
		request_free(r);
		free(h);
		return NULL;
	}
	r->h = h;
	r->began = qt_mono_ms();
	atomic_init(&r->gone, false);
	r->in.gone = gone;
	r->in.gone_arg = r;
	r->in.streams = true;
	r->in.idempotency_key = ""; /* a stream cannot be replayed */
	r->job.work = work;
	r->job.done = done;
	h->sq = sq;
	h->wsi = wsi;
	h->r = r;
	h->end = &h->first;
	(void)qt_copy(h->request_id, sizeof(h->request_id), r->in.request_id);
	n_clients++;
	return h;
}

static int take_body(struct sq_http *h, const void *data, size_t len)
{
	struct request *r = h->r;
	char *more;

	if (r->in.body_too_large || len == 0)
		return 0;
	if (r->body_len + len > h->sq->conf.max_body_bytes) {
		r->in.body_too_large = true;
		return 0;
	}
	more = realloc(r->body, r->body_len + len + 1);
	if (!more)
		return -1;
	r->body = more;
	memcpy(r->body + r->body_len, data, len);
	r->body_len += len;
	r->body[r->body_len] = '\0';
	return 0;
}

/* --- the answer ------------------------------------------------------------------------------------------ */

bool sq_http_send(struct sq_http *h, struct sq_blob *b)
{
	struct node *n = b ? malloc(sizeof(*n)) : NULL;

	if (!n)
		return false;
	b->refs++;
	*n = (struct node){NULL, b};
	*h->end = n;
	h->end = &n->next;
	h->queued += b->len;
	lws_callback_on_writable(h->wsi);
	return true;
}

size_t sq_http_queued(const struct sq_http *h)
{
	return h->queued;
}

void sq_http_end(struct sq_http *h)
{
	h->ending = true;
	lws_callback_on_writable(h->wsi);
}

const char *sq_http_request_id(const struct sq_http *h)
{
	return h->request_id;
}

void sq_http_stream(struct sq_http *h, const struct sq_stream_ops *ops, void *self)
{
	h->ops = ops;
	h->stream = self;
}

static bool send_text(struct sq_http *h, const char *text, size_t len)
{
	struct sq_blob *b = sq_blob_new(text, len);
	bool ok = sq_http_send(h, b);

	sq_blob_unref(b);
	return ok;
}

static bool send_head(struct sq_http *h, const struct qt_out *out, bool stream)
{
	char text[512], more[256] = "";
	size_t n = 0;

	if (!stream)
		n += (size_t)snprintf(more + n, sizeof(more) - n, "Content-Length: %zu\r\n", out->len);
	if (out->allow[0])
		n += (size_t)snprintf(more + n, sizeof(more) - n, "Allow: %s\r\n", out->allow);
	if (out->retry_after)
		n += (size_t)snprintf(more + n, sizeof(more) - n, "Retry-After: %d\r\n", out->retry_after);
	if (stream)
		n += (size_t)snprintf(more + n, sizeof(more) - n, "Cache-Control: no-store\r\n");
	(void)snprintf(text, sizeof(text), "HTTP/1.1 %d -\r\nContent-Type: %s\r\nConnection: close\r\n%s\r\n", out->status, out->type, more);
	return send_text(h, text, strlen(text));
}

/* E takes the place of what the handler said. */
static void refuse(struct sq_http *h, const struct qt_err *e)
{
	struct qt_out *out = &h->r->out;

	if (!qt_err_row(e->code)->show)
		qt_log_err(QT_LOG_ERROR, e, "request_id=%s", h->request_id);
	free(qt_take(&out->text));
	qt_answer_error(e, h->request_id, out);
}

static void drop_queue(struct sq_http *h)
{
	while (h->first) {
		struct node *n = h->first;

		h->first = n->next;
		sq_blob_unref(n->blob);
		free(n);
	}
	h->end = &h->first;
	h->queued = 0;
}

/* nginx goes on at a place of its own, with a request that asks for the WebSocket and names the ticket: whether there will be one can only be said before it
 * asks, and not at once (ws.c). */
static int send_ticket(struct sq_http *h, struct qt_begun *b, struct qt_err *e)
{
	const char *where = sockets[b->kind];
	char ticket[33], text[160];

	if (sq_ticket_issue(b, ticket, e) < 0)
		return -1;
	(void)qt_fmt(text, sizeof(text), "HTTP/1.1 200 -\r\nX-Accel-Redirect: %s?%s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", where, ticket);
	if (!send_text(h, text, strlen(text)))
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	sq_http_end(h);
	return 0;
}

/* The head goes first, and is taken back if there will be no stream: nothing has been written yet. */
static int begin_stream(struct sq_http *h, struct qt_out *out, bool head, struct qt_err *e)
{
	if (sockets[out->begun.kind])
		return send_ticket(h, &out->begun, e);
	if (!send_head(h, out, true))
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	if (!head)
		return begins[out->begun.kind](h->sq, h, &out->begun, e);
	qt_begun_done(&out->begun);
	sq_http_end(h);
	return 0;
}

static void send_answer(struct sq_http *h, const struct qt_out *out, bool head)
{
	drop_queue(h);
	if (send_head(h, out, false) && !head && out->len > 0)
		(void)send_text(h, out->text, out->len);
	sq_http_end(h);
}

/* The thread is done: a stream begins, or the text goes out. */
static void answer(struct sq_http *h)
{
	struct request *r = h->r;
	bool head = qt_streq(r->in.method, "HEAD");
	struct qt_err e = {0};

	/* Whoever stays needs no headers, and there are not so many places for them as for clients. */
	lws_http_headers_detach(h->wsi);
	if (r->out.begun.kind != QT_BEGUN_NOTHING) {
		if (begin_stream(h, &r->out, head, &e) < 0) {
			qt_begun_done(&r->out.begun);
			refuse(h, &e);
			send_answer(h, &r->out, head);
		}
	} else {
		send_answer(h, &r->out, head);
	}
	log_answer(r);
	h->r = NULL;
	request_free(r);
}

/* Counted before anything is begun. Who this is may be missing: then the pipeline says so. */
static int count(struct sq_http *h, struct qt_err *e)
{
	struct qt_id id;

	if (!h->r->in.tenant || !qt_id_parse(&id, "ten", h->r->in.tenant))
		return 0;
	if (sq_quota_take(h->sq, &id, e) < 0)
		return -1;
	h->tenant = id;
	h->r->job.tenant = id;
	return 0;
}

static void submit(struct sq_http *h)
{
	struct request *r = h->r;
	struct qt_err e = {0};

	r->in.body = r->body;
	r->in.body_len = r->body_len;
	lws_set_timeout(h->wsi, NO_PENDING_TIMEOUT, 0);
	if (count(h, &e) < 0) {
		refuse(h, &e);
		r->out.route_id = "-";
		answer(h);
		return;
	}
	r->submitted = true;
	sq_job_submit(h->sq, &r->job);
}

/* -1: close it. */
static int write_some(struct sq_http *h)
{
	size_t budget = WRITE_A_TURN;

	while (h->first && budget > 0 && !lws_send_pipe_choked(h->wsi)) {
		struct node *n = h->first;
		size_t len = n->blob->len;
		int r = lws_write(h->wsi, (unsigned char *)n->blob->data, len, LWS_WRITE_HTTP);

		h->first = n->next;
		if (!h->first)
			h->end = &h->first;
		h->queued -= len;
		sq_blob_unref(n->blob);
		free(n);
		if (r < 0)
			return -1;
		budget -= len < budget ? len : budget;
	}
	if (h->first || (h->ending && lws_partial_buffered(h->wsi)))
		lws_callback_on_writable(h->wsi);
	else if (h->ending)
		return -1;
	else if (h->ops)
		h->ops->drained(h->stream);
	return 0;
}

static void leave(struct sq_http *h)
{
	struct request *r = h->r;

	drop_queue(h);
	n_clients--;
	h->wsi = NULL;
	if (h->ops)
		h->ops->left(h->stream);
	if (h->tenant.s[0])
		sq_quota_give(&h->tenant);
	if (r && r->submitted) {
		atomic_store(&r->gone, true); /* done() has the rest */
		return;
	}
	request_free(r);
	free(h);
}

int sq_http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct sq_http **place = user, *h = place ? *place : NULL;

	switch (reason) {
	case LWS_CALLBACK_HTTP:
		if (h || !(h = *place = begin(lws_context_user(lws_get_context(wsi)), wsi)))
			return -1;
		if (lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) == 0)
			submit(h);
		return 0;
	case LWS_CALLBACK_HTTP_BODY:
		return h && h->r && !h->r->submitted ? take_body(h, in, len) : -1;
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		if (!h || !h->r || h->r->submitted)
			return -1;
		submit(h);
		return 0;
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return h ? write_some(h) : -1;
	case LWS_CALLBACK_CLOSED_HTTP:
	case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
		if (h) {
			*place = NULL;
			leave(h);
		}
		return 0;
	default:
		return 0;
	}
}
