/* A terminal is read from its first client on, whether anybody is attached or not: the last SCROLL bytes are kept for whoever comes. Its master end and
 * its process are the container's init's, so that our death, or a restart, costs the scrollback and no more. */
#include "terminal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "quota.h"
#include "str.h"
#include "termmsg.h"
#include "ticket.h"

#define SCROLL	   65536
#define QUEUE_MAX  (128U << 10) /* to one client; then the terminal is not read (the writer's), or the client is closed (another's) */
#define INPUT_MAX  (64U << 10)	/* to the terminal; then the client is not read */
#define CHUNK	   16384
#define TOUCH_MS   20000 /* how often the record hears of activity */
#define SWEEP_MS   2000
#define SWEEP_MOST 16
#define BUCKETS	   256
#define WS_RESTART  1012
#define WS_TOO_SLOW 1013
#define WS_REFUSED  1008

struct note {
	struct note *next;
	struct sq_blob *blob;
	bool text;
};

struct terminal {
	struct terminal *next; /* in its bucket */
	struct sq *sq;
	struct qt_session x;
	int conn, master;
	struct sq_watch end, io;
	bool paused, hung_up;
	struct qt_buf input;
	char *scroll; /* the last of what was written: SCROLL_LEN bytes that end before AT */
	size_t scroll_len, at;
	struct sq_client *first; /* the writer; then those who watch */
	unsigned n_clients;
	bool dirty, touching;
	int64_t touched;
};

struct sq_client {
	struct terminal *t; /* NULL: it has ended */
	struct sq_client *next;
	struct lws *wsi;
	struct sq *sq;
	struct note *notes, **end;
	size_t queued;
	int closing;
	bool counted, began, refused;
	struct qt_id tenant;
	struct qt_buf text; /* a message that is not yet whole */
};

static struct {
	struct terminal *terminals[BUCKETS];
	lws_sorted_usec_list_t timer;
	unsigned n_clients;
	char chunk[CHUNK];
} all;

/* --- to clients ------------------------------------------------------------------------------------------ */

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
		/* The writer has all: the terminal may go on. */
		if (c->t && c->t->first == c && c->t->paused && !c->t->hung_up) {
			c->t->paused = false;
			sq_watch_change(c->sq, &c->t->io, c->t->input.len ? EPOLLIN | EPOLLOUT : EPOLLIN);
		}
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

/* --- the record ------------------------------------------------------------------------------------------ */

struct record_job {
	struct sq_job job;
	struct qt_session x;
	struct sq *sq;
	bool end;
};

static struct terminal **find(const struct qt_id *id)
{
	const char *s = id->s;
	struct terminal **p = &all.terminals[((unsigned char)s[5] * 31 + (unsigned char)s[6]) % BUCKETS];

	while (*p && !qt_streq((*p)->x.id.s, id->s))
		p = &(*p)->next;
	return p;
}

static void record_work(struct sq_job *j, struct qt_life *l)
{
	struct record_job *r = lws_container_of(j, struct record_job, job);
	struct qt_err e = {0};
	int rc = r->end ? qt_life_session_end(l, &r->x, &e) : qt_store_session_touch(l->store, &r->x, qt_session_due(l->conf, &r->x), &e);

	if (rc < 0 && e.code != QT_E_SESSION_NOT_FOUND)
		qt_log_err(QT_LOG_WARN, &e, "session %s: its record is not up to date", r->x.id.s);
}

static void record_done(struct sq_job *j)
{
	struct record_job *r = lws_container_of(j, struct record_job, job);
	struct terminal *t = *find(&r->x.id);

	if (t)
		t->touching = false;
	free(r);
}

/* One at a time for a session, so that an older state never comes last. */
static void record(struct terminal *t, bool end)
{
	struct record_job *r;

	t->dirty = true;
	if (t->touching && !end)
		return;
	r = calloc(1, sizeof(*r));
	if (!r)
		return;
	t->x.attached = t->n_clients;
	*r = (struct record_job){.job = {record_work, record_done, NULL}, .x = t->x, .sq = t->sq, .end = end};
	t->dirty = false;
	t->touching = true;
	t->touched = qt_mono_ms();
	sq_job_submit(t->sq, &r->job);
}

static void active(struct terminal *t)
{
	t->x.last_ms = qt_now_ms();
	t->dirty = true;
}

/* --- the terminal ---------------------------------------------------------------------------------------- */

static void keep_scroll(struct terminal *t, const char *data, size_t len)
{
	if (len > SCROLL) {
		data += len - SCROLL;
		len = SCROLL;
	}
	for (size_t part; len > 0; data += part, len -= part) {
		part = SCROLL - t->at < len ? SCROLL - t->at : len;
		memcpy(t->scroll + t->at, data, part);
		t->at = (t->at + part) % SCROLL;
		t->scroll_len = t->scroll_len + part < SCROLL ? t->scroll_len + part : SCROLL;
	}
}

static struct sq_blob *scroll_blob(const struct terminal *t)
{
	struct sq_blob *b = t->scroll_len ? sq_blob_new(NULL, t->scroll_len) : NULL;
	size_t from = (t->at + SCROLL - t->scroll_len) % SCROLL, first;

	if (!b)
		return NULL;
	first = SCROLL - from < t->scroll_len ? SCROLL - from : t->scroll_len;
	memcpy(b->data, t->scroll + from, first);
	memcpy(b->data + first, t->scroll, t->scroll_len - first);
	return b;
}

/* False when there is no more at present. */
static bool read_some(struct terminal *t)
{
	ssize_t n = read(t->master, all.chunk, CHUNK);
	struct sq_blob *b;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) { /* EIO: nobody has the other end open */
		t->hung_up = true;
		sq_unwatch(t->sq, &t->io);
		return false;
	}
	active(t);
	keep_scroll(t, all.chunk, (size_t)n);
	b = sq_blob_new(all.chunk, (size_t)n);
	for (struct sq_client *c = t->first; c; c = c->next) {
		post(c, b, false);
		if (c != t->first && c->queued > QUEUE_MAX)
			close_client(c, WS_TOO_SLOW);
	}
	sq_blob_unref(b);
	return true;
}

static void write_some(struct terminal *t)
{
	ssize_t n = t->input.len ? write(t->master, t->input.data, t->input.len) : 0;

	if (n <= 0)
		return;
	memmove(t->input.data, t->input.data + n, t->input.len - (size_t)n);
	t->input.len -= (size_t)n;
	if (t->input.len == 0 && t->first)
		lws_callback_on_writable(t->first->wsi); /* reads on there */
}

static void on_io(void *arg, uint32_t events)
{
	struct terminal *t = arg;

	if (events & EPOLLOUT)
		write_some(t);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		(void)read_some(t);
	if (t->hung_up)
		return;
	t->paused = t->first && t->first->queued > QUEUE_MAX;
	sq_watch_change(t->sq, &t->io, (t->paused ? 0 : EPOLLIN) | (t->input.len ? EPOLLOUT : 0));
}

static void terminal_free(struct terminal *t)
{
	sq_unwatch(t->sq, &t->end);
	sq_unwatch(t->sq, &t->io);
	qt_close(t->conn);
	qt_close(t->master);
	qt_buf_done(&t->input);
	free(t->scroll);
	free(t);
}

/* Its clients hear of it, and it is forgotten here and everywhere. */
static void finish(struct terminal *t, json_t *last, int code)
{
	struct terminal **p = find(&t->x.id);

	for (unsigned i = 0; i < SCROLL / CHUNK && !t->hung_up && read_some(t); i++)
		continue;
	while (t->first) {
		struct sq_client *c = t->first;

		t->first = c->next;
		c->t = NULL;
		post_json(c, json_incref(last));
		close_client(c, code);
	}
	json_decref(last);
	t->n_clients = 0;
	record(t, true);
	if (*p == t)
		*p = t->next;
	terminal_free(t);
}

static json_t *exit_frame(int code, int sig)
{
	const char *name = sig > 0 ? sigabbrev_np(sig) : NULL;

	return json_pack("{s:s, s:i, s:o}", "type", "exit", "code", code, "signal", name ? json_sprintf("SIG%s", name) : json_null());
}

static void on_end(void *arg, uint32_t events)
{
	struct terminal *t = arg;
	struct qt_err e = {0};
	int code = 0, sig = 0, r = mi_exec_wait(t->conn, 0, &code, &sig, &e);

	(void)events;
	if (r == 0)
		sq_watch_change(t->sq, &t->end, EPOLLIN);
	else if (r > 0)
		finish(t, exit_frame(code, sig), 1000);
	else
		finish(t, json_pack("{s:s, s:s, s:s}", "type", "error", "code", "CONTAINER_ENDED", "message", "the container ended"), 1000);
}

/* The terminal of B, which may be here already: then our new ends of it are not needed. */
static struct terminal *terminal_of(struct sq *sq, struct qt_begun *b)
{
	struct terminal **p = find(&b->terminal.session.id), *t = *p;
	struct qt_err e = {0};

	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	*t = (struct terminal){.sq = sq, .x = b->terminal.session, .conn = -1, .master = -1, .end.fd = -1, .io.fd = -1,
			       .input = QT_BUF(INPUT_MAX + 65536), .scroll = malloc(SCROLL)};
	t->conn = qt_take_fd(&b->terminal.conn);
	t->master = qt_take_fd(&b->terminal.master);
	if (!t->scroll || sq_watch(sq, &t->end, t->conn, EPOLLIN, on_end, t, &e) < 0 ||
	    sq_watch(sq, &t->io, t->master, EPOLLIN, on_io, t, &e) < 0) {
		terminal_free(t);
		return NULL;
	}
	*p = t;
	return t;
}

/* --- clients --------------------------------------------------------------------------------------------- */

struct sq_client *sq_client_new(struct sq *sq, struct qt_begun *b, struct lws *wsi)
{
	struct terminal *t = terminal_of(sq, b);
	struct sq_client *c = t ? calloc(1, sizeof(*c)) : NULL, **p;
	struct qt_err e = {0};

	if (c) {
		*c = (struct sq_client){.t = t, .wsi = wsi, .sq = sq, .tenant = t->x.tenant, .text = QT_BUF(QT_TERM_TEXT_MAX + 1)};
		c->end = &c->notes;
		c->counted = sq_quota_take(sq, &c->tenant, &e) == 0;
		for (p = &t->first; *p; p = &(*p)->next)
			continue;
		*p = c;
		t->n_clients++;
		all.n_clients++;
	}
	return c;
}

void sq_client_begin(struct sq_client *c)
{
	struct terminal *t = c->t;
	struct sq_blob *scroll;

	c->began = true;
	if (!c->counted) {
		post_error(c, "QUOTA_EXCEEDED", "the tenant has as many streams open as it may have");
		close_client(c, WS_REFUSED);
		return;
	}
	if (!t)
		return;
	post_json(c, json_pack("{s:s, s:s, s:s, s:i, s:b}", "type", "ready", "session_id", t->x.id.s, "shell", t->x.shell, "pid", (int)t->x.pid,
			       "writer", t->first == c));
	scroll = scroll_blob(t);
	post(c, scroll, false);
	sq_blob_unref(scroll);
	active(t);
	record(t, false);
}

static void resize(struct terminal *t, unsigned cols, unsigned rows)
{
	const struct winsize w = {.ws_col = (unsigned short)cols, .ws_row = (unsigned short)rows};

	if (ioctl(t->master, TIOCSWINSZ, &w) < 0)
		return;
	t->x.cols = cols;
	t->x.rows = rows;
	record(t, false);
}

/* SIGINT goes where Ctrl-C goes: to the terminal's foreground, which nobody outside can name. */
static void send_signal(struct terminal *t, int sig)
{
	struct qt_err e = {0};

	if (sig != SIGINT || ioctl(t->master, TIOCSIG, sig) < 0)
		(void)mi_signal(t->conn, sig, &e);
}

static void obey(struct sq_client *c, const char *text, size_t len)
{
	struct qt_term_msg m;
	bool writer = c->t && c->t->first == c;

	qt_term_parse(text, len, &m);
	switch (m.kind) {
	case QT_TERM_BAD:
		post_error(c, "BAD_MESSAGE", "that is not a message of this protocol");
		break;
	case QT_TERM_PING:
		post_json(c, json_pack("{s:s, s:o}", "type", "pong", "ts", m.ts));
		break;
	case QT_TERM_RESIZE:
		if (writer)
			resize(c->t, m.cols, m.rows);
		break;
	case QT_TERM_SIGNAL:
		if (writer)
			send_signal(c->t, m.signal);
		break;
	}
}

static bool type_in(struct sq_client *c, const void *data, size_t len)
{
	struct terminal *t = c->t;
	struct qt_err e = {0};

	if (!t)
		return true;
	if (t->first != c) {
		if (!c->refused)
			post_error(c, "READ_ONLY", "another client types in this session");
		c->refused = true;
		return true;
	}
	active(t);
	if (qt_buf_add(&t->input, data, len, &e) < 0)
		return false;
	write_some(t);
	if (t->input.len > 0 && !t->hung_up)
		sq_watch_change(t->sq, &t->io, (t->paused ? 0 : EPOLLIN) | EPOLLOUT);
	return t->input.len < INPUT_MAX;
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
	return c->queued < QUEUE_MAX;
}

void sq_client_left(struct sq_client *c)
{
	struct terminal *t = c->t;
	bool was_writer = t && t->first == c;

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
		if (t->paused && was_writer && !t->hung_up) {
			t->paused = false;
			sq_watch_change(t->sq, &t->io, t->input.len ? EPOLLIN | EPOLLOUT : EPOLLIN);
		}
		record(t, false);
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
	all.n_clients--;
	free(c);
}

/* --- now and then ---------------------------------------------------------------------------------------- */

struct sweep {
	struct sq_job job;
	struct sq *sq;
	bool began;
};
static struct sweep sweep;

static void sweep_work(struct sq_job *j, struct qt_life *l)
{
	struct sweep *s = lws_container_of(j, struct sweep, job);
	struct qt_session_name names[SWEEP_MOST];
	struct qt_err e = {0};
	int n;

	/* Whoever was attached to an earlier life of ours is not any more. */
	if (!s->began)
		s->began = qt_store_sessions_reset(l->store, l->conf->node, &e) == 0;
	n = qt_store_sessions_due(l->store, l->conf->node, qt_now_ms(), names, SWEEP_MOST, &e);
	for (int i = 0; i < n; i++) {
		struct qt_session x;
		struct qt_err why = {0};

		if (qt_store_session_get(l->store, &names[i].tenant, names[i].id.s, &x, &why) < 0)
			continue;
		qt_log(QT_LOG_INFO, "session %s is over: %s", x.id.s,
		       x.expires_ms <= qt_now_ms() ? "its time is up" : "nothing was typed or written for long");
		if (qt_life_session_end(l, &x, &why) < 0)
			qt_log_err(QT_LOG_WARN, &why, "session %s cannot be ended yet", x.id.s);
	}
}

static void on_timer(lws_sorted_usec_list_t *sul);

static void sweep_done(struct sq_job *j)
{
	struct sweep *s = lws_container_of(j, struct sweep, job);

	lws_sul_schedule(s->sq->lws, 0, &all.timer, on_timer, SWEEP_MS * LWS_US_PER_MS);
}

static void on_timer(lws_sorted_usec_list_t *sul)
{
	int64_t now = qt_mono_ms();

	(void)sul;
	sq_tickets_expire();
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct terminal *t = all.terminals[i]; t; t = t->next)
			if (t->dirty && !t->touching && now - t->touched >= TOUCH_MS)
				record(t, false);
	sq_job_submit(sweep.sq, &sweep.job);
}

int sq_terminals_open(struct sq *sq, struct qt_err *e)
{
	(void)e;
	sweep = (struct sweep){{sweep_work, sweep_done, NULL}, sq, false};
	lws_sul_schedule(sq->lws, 0, &all.timer, on_timer, 1);
	return 0;
}

unsigned sq_terminals_stop(struct sq *sq)
{
	(void)sq;
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct terminal *t = all.terminals[i]; t; t = t->next)
			for (struct sq_client *c = t->first; c; c = c->next)
				close_client(c, WS_RESTART);
	return all.n_clients;
}
