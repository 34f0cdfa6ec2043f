/* The pipes are the queue: they are read while the client takes what was read, and so a slow client slows the command down. Closing the connection to
 * the container's init ends the command; that is all there is to do for a client that leaves. */
#include "exec.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "frames.h"
#include "log.h"
#include "minit/minit_client.h"
#include "str.h"

#define QUEUE_MAX	(128U << 10)
#define CHUNK		16384
#define TERM_GRACE_MS	2000
#define KILL_GRACE_MS	5000

struct output {
	struct exec *x;
	const char *type; /* "stdout" … */
	int fd;		  /* -1 at its end */
	struct sq_watch watch;
	bool paused;
};

struct exec {
	struct exec *next, **self; /* of all that there are */
	struct sq *sq;
	struct sq_http *h;
	int conn;
	struct sq_watch watch;
	struct output out, err;
	int in; /* -1: all is written */
	struct sq_watch feed;
	char *input;
	size_t input_len, input_at;
	int64_t began; /* monotonic ms */
	int next_signal; /* when the time is over; 0: none is left */
	bool ended;
	lws_sorted_usec_list_t timer;
};

static struct exec *execs;
static char chunk[CHUNK];

static void send_bytes(struct exec *x, const struct qt_buf *b)
{
	struct sq_blob *blob = b->data ? sq_blob_new(b->data, b->len) : NULL;

	/* Without memory the client must not believe that it has all. */
	if (!sq_http_send(x->h, blob))
		sq_http_end(x->h);
	sq_blob_unref(blob);
}

static void send_json(struct exec *x, json_t *frame)
{
	auto_buf struct qt_buf b = QT_BUF(4096);
	auto_free char *text = json_dumps(frame, JSON_COMPACT);
	struct qt_err e = {0};

	json_decref(frame);
	if (text)
		(void)qt_buf_fmt(&b, &e, "%s\n", text);
	send_bytes(x, &b);
}

static json_int_t elapsed(const struct exec *x)
{
	return (json_int_t)(qt_mono_ms() - x->began);
}

/* At most LIMIT bytes; how many there were. */
static size_t pass_on(struct output *o, size_t limit)
{
	auto_buf struct qt_buf b = QT_BUF(2 * CHUNK);
	struct qt_err e = {0};
	ssize_t n = read(o->fd, chunk, limit < CHUNK ? limit : CHUNK);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) {
		sq_unwatch(o->x->sq, &o->watch);
		qt_reset_fd(&o->fd, -1);
		return 0;
	}
	(void)qt_frame_data(&b, o->type, chunk, (size_t)n, &e);
	send_bytes(o->x, &b);
	return (size_t)n;
}

static void on_output(void *arg, uint32_t events)
{
	struct output *o = arg;

	(void)events;
	(void)pass_on(o, CHUNK);
	if (o->fd < 0)
		return;
	o->paused = sq_http_queued(o->x->h) > QUEUE_MAX;
	if (!o->paused)
		sq_watch_change(o->x->sq, &o->watch, EPOLLIN);
}

/* What was written until now, and not what grandchildren go on writing. */
static void drain(struct output *o)
{
	int left = 0;
	size_t n = 1;

	if (o->fd < 0 || ioctl(o->fd, FIONREAD, &left) < 0)
		return;
	for (; left > 0 && n > 0 && o->fd >= 0; left -= (int)n)
		n = pass_on(o, (size_t)left);
}

static void end_input(struct exec *x)
{
	sq_unwatch(x->sq, &x->feed);
	qt_reset_fd(&x->in, -1);
	free(qt_take(&x->input));
}

static void on_feed(void *arg, uint32_t events)
{
	struct exec *x = arg;
	ssize_t n = write(x->in, x->input + x->input_at, x->input_len - x->input_at);

	(void)events;
	if (n > 0)
		x->input_at += (size_t)n;
	if (x->input_at == x->input_len || (n < 0 && errno != EAGAIN && errno != EINTR))
		end_input(x);
	else
		sq_watch_change(x->sq, &x->feed, EPOLLOUT);
}

static void release(struct exec *x)
{
	end_input(x);
	lws_sul_schedule(x->sq->lws, 0, &x->timer, NULL, LWS_SET_TIMER_USEC_CANCEL);
	sq_unwatch(x->sq, &x->watch);
	sq_unwatch(x->sq, &x->out.watch);
	sq_unwatch(x->sq, &x->err.watch);
	qt_reset_fd(&x->conn, -1);
	qt_reset_fd(&x->out.fd, -1);
	qt_reset_fd(&x->err.fd, -1);
	x->ended = true;
}

static void finish(struct exec *x, json_t *last)
{
	send_json(x, last);
	release(x);
	sq_http_end(x->h);
}

static void on_end(void *arg, uint32_t events)
{
	struct exec *x = arg;
	struct qt_err e = {0};
	int code, sig, r = mi_exec_wait(x->conn, 0, &code, &sig, &e);

	(void)events;
	if (r == 0) {
		sq_watch_change(x->sq, &x->watch, EPOLLIN);
		return;
	}
	drain(&x->out);
	drain(&x->err);
	if (r > 0)
		finish(x, json_pack("{s:s, s:i, s:I}", "type", "exit", "code", code, "elapsed_ms", elapsed(x)));
	else
		finish(x, json_pack("{s:s, s:s}", "type", "error", "message", e.msg));
}

static void arm(struct exec *x, int64_t ms);

static void on_time(lws_sorted_usec_list_t *sul)
{
	struct exec *x = lws_container_of(sul, struct exec, timer);
	struct qt_err e = {0};
	int sig = x->next_signal;

	if (sig == SIGTERM)
		send_json(x, json_pack("{s:s, s:I, s:s}", "type", "timeout", "elapsed_ms", elapsed(x), "message", "the command ran out of time"));
	if (sig == 0) {
		/* It cannot even be killed now (frozen, or deep in the kernel). Closing the connection has it killed when it can. */
		finish(x, json_pack("{s:s, s:i, s:I}", "type", "exit", "code", 128 + SIGKILL, "elapsed_ms", elapsed(x)));
		return;
	}
	(void)mi_signal(x->conn, sig, &e); /* if it cannot be sent, the connection's end is told, too */
	x->next_signal = sig == SIGTERM ? SIGKILL : 0;
	arm(x, sig == SIGTERM ? TERM_GRACE_MS : KILL_GRACE_MS);
}

static void arm(struct exec *x, int64_t ms)
{
	lws_sul_schedule(x->sq->lws, 0, &x->timer, on_time, ms * LWS_US_PER_MS);
}

static void drained(void *stream)
{
	struct exec *x = stream;

	for (struct output *o = &x->out; o; o = o == &x->out ? &x->err : NULL) {
		if (!o->paused || o->fd < 0)
			continue;
		o->paused = false;
		sq_watch_change(x->sq, &o->watch, EPOLLIN);
	}
}

static void left(void *stream)
{
	struct exec *x = stream;

	if (!x->ended)
		qt_log(QT_LOG_INFO, "request_id=%s the client went away, and its command is ended", sq_http_request_id(x->h));
	release(x);
	*x->self = x->next;
	if (x->next)
		x->next->self = x->self;
	free(x);
}

unsigned sq_execs_stop(void)
{
	unsigned n = 0;

	for (struct exec *x = execs; x; x = x->next, n++)
		if (!x->ended)
			finish(x, json_pack("{s:s, s:s}", "type", "error", "message", "the server restarts, and the command was ended with it"));
	return n;
}

static int watch_all(struct exec *x, struct qt_err *e)
{
	if (sq_watch(x->sq, &x->watch, x->conn, EPOLLIN, on_end, x, e) < 0 ||
	    (x->in >= 0 && sq_watch(x->sq, &x->feed, x->in, EPOLLOUT, on_feed, x, e) < 0))
		return -1;
	for (struct output *o = &x->out; o; o = o == &x->out ? &x->err : NULL)
		if (sq_watch(x->sq, &o->watch, o->fd, EPOLLIN, on_output, o, e) < 0)
			return -1;
	return 0;
}

/* Nothing runs: as a shell says it. */
static void tell_failed(struct exec *x, const struct qt_exec_running *r)
{
	auto_buf struct qt_buf b = QT_BUF(4096);
	struct qt_err e = {0};

	(void)qt_frame_data(&b, "stderr", r->text, strlen(r->text), &e);
	send_bytes(x, &b);
	finish(x, json_pack("{s:s, s:i, s:I}", "type", "exit", "code", r->exit_code, "elapsed_ms", elapsed(x)));
}

int sq_exec_begin(struct sq *sq, struct sq_http *h, struct qt_begun *b, struct qt_err *e)
{
	static const struct sq_stream_ops ops = {drained, left};
	struct qt_exec_running *r = &b->exec.run;
	struct exec *x = calloc(1, sizeof(*x));

	if (!x)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	*x = (struct exec){.sq = sq, .h = h, .conn = -1, .watch.fd = -1, .in = -1, .feed.fd = -1, .began = b->exec.started_ms, .next_signal = SIGTERM,
			   .out = {x, "stdout", -1, {.fd = -1}, false}, .err = {x, "stderr", -1, {.fd = -1}, false}};
	x->in = qt_take_fd(&r->in);
	x->input = qt_take(&b->exec.input);
	x->input_len = b->exec.input_len;
	x->conn = qt_take_fd(&r->conn);
	x->out.fd = qt_take_fd(&r->out);
	x->err.fd = qt_take_fd(&r->err);
	if (r->pid > 0 && watch_all(x, e) < 0) {
		release(x);
		free(x);
		return -1;
	}
	x->next = execs;
	x->self = &execs;
	if (x->next)
		x->next->self = &x->next;
	execs = x;
	sq_http_stream(h, &ops, x);
	send_json(x, json_pack("{s:s, s:s, s:i}", "type", "started", "container_id", b->exec.container.s, "pid", (int)r->pid));
	if (r->pid == 0)
		tell_failed(x, r);
	else
		arm(x, b->exec.timeout_ms);
	qt_begun_done(b);
	return 0;
}
