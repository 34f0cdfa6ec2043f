/* The files are looked at LOOK_US after LOOK_US (inotify would want to open them anew, which their mode forbids), and as fast as the client takes what
 * they have while there is more. They are the queue: here lies a chunk for each client. */
#include "follow.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "sse.h"
#include "str.h"

#define QUEUE_MAX (64U << 10)
#define LOOK_US	  (100 * LWS_US_PER_MS)
#define TEXT_MAX  (256U << 10) /* a record of control characters grows by six */

struct follow {
	struct sq *sq;
	struct sq_http *h;
	int fds[2];
	struct qt_log_cursor at;
	struct qt_logs_want want;
	bool sse, failed;
	int64_t said_ms; /* when anything was sent, for the heartbeat */
	uint64_t last;	 /* number of the record before */
	lws_sorted_usec_list_t timer;
};

static char chunk[QT_LOG_CHUNK];

static void send_line(struct follow *f, const char *event, const char *id, const char *line, size_t len)
{
	auto_buf struct qt_buf b = QT_BUF(2 * TEXT_MAX);
	struct qt_err e = {0};
	struct sq_blob *blob;
	int r;

	if (f->sse)
		r = qt_sse_frame(&b, event, id, line, len, &e);
	else
		r = qt_buf_add(&b, line, len, &e) < 0 ? -1 : qt_buf_str(&b, "\n", &e);
	blob = r == 0 ? sq_blob_new(b.data, b.len) : NULL;
	f->failed |= !sq_http_send(f->h, blob);
	sq_blob_unref(blob);
	f->said_ms = qt_mono_ms();
}

static void send_record(struct follow *f, const struct qt_log_record *r)
{
	auto_free char *line = qt_life_log_line(r);
	char id[24];

	if (!line) {
		f->failed = true;
		return;
	}
	(void)qt_fmt(id, sizeof(id), "%llu", (unsigned long long)r->seq);
	send_line(f, "log", id, line, strlen(line));
}

/* The files went round faster than the client reads. */
static void tell_lost(struct follow *f, const struct qt_log_record *before, uint64_t n)
{
	struct qt_log_record r = {.seq = before->seq - 1, .time_ms = before->time_ms, .stream = LOG_SYSTEM, .level = LOG_WARN};
	char text[64];

	(void)qt_fmt(text, sizeof(text), "%llu lines are lost here", (unsigned long long)n);
	r.text = text;
	r.len = (uint32_t)strlen(text);
	send_record(f, &r);
}

static void on_record(const struct qt_log_record *r, void *arg)
{
	struct follow *f = arg;

	if (f->last && r->seq > f->last + 1)
		tell_lost(f, r, r->seq - f->last - 1);
	f->last = r->seq;
	if (qt_log_wanted(&f->want, r))
		send_record(f, r);
}

/* A container that was deleted writes no more. */
static bool deleted(const struct follow *f)
{
	struct stat st;

	return fstat(f->fds[0], &st) < 0 || st.st_nlink == 0;
}

static void on_timer(lws_sorted_usec_list_t *sul)
{
	struct follow *f = lws_container_of(sul, struct follow, timer);
	struct qt_err e = {0};
	bool last = deleted(f); /* looked at before the files: what is in them then is all */
	int more = 0;

	if (sq_http_queued(f->h) <= QUEUE_MAX)
		more = qt_logs_next(f->fds, &f->at, chunk, on_record, f, &e);
	if (more < 0)
		qt_log_err(QT_LOG_ERROR, &e, "request_id=%s following a log", sq_http_request_id(f->h));
	if (more < 0 || f->failed || (last && more == 0 && sq_http_queued(f->h) <= QUEUE_MAX)) {
		sq_http_end(f->h);
		return;
	}
	if (qt_mono_ms() - f->said_ms >= (int64_t)f->sq->conf.heartbeat_s * 1000 && sq_http_queued(f->h) == 0)
		send_line(f, "heartbeat", NULL, f->sse ? "{}" : "", f->sse ? 2 : 0);
	lws_sul_schedule(f->sq->lws, 0, &f->timer, on_timer, more > 0 && sq_http_queued(f->h) <= QUEUE_MAX ? 1 : LOOK_US);
}

static void drained(void *stream)
{
	(void)stream; /* the timer looks */
}

static void left(void *stream)
{
	struct follow *f = stream;

	lws_sul_schedule(f->sq->lws, 0, &f->timer, on_timer, LWS_SET_TIMER_USEC_CANCEL);
	qt_close(f->fds[0]);
	qt_close(f->fds[1]);
	free(f);
}

int sq_follow_begin(struct sq *sq, struct sq_http *h, struct qt_begun *b, struct qt_err *e)
{
	static const struct sq_stream_ops ops = {drained, left};
	struct follow *f = calloc(1, sizeof(*f));
	json_t *entry;
	size_t i;

	if (!f)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	*f = (struct follow){.sq = sq, .h = h, .fds = {qt_take_fd(&b->logs.fds[0]), qt_take_fd(&b->logs.fds[1])}, .at = b->logs.at,
			     .last = b->logs.at.seq, .want = b->logs.want, .sse = b->logs.sse, .said_ms = qt_mono_ms()};
	json_array_foreach(b->logs.past, i, entry) {
		auto_free char *line = json_dumps(entry, JSON_COMPACT);

		if (line)
			send_line(f, "log", NULL, line, strlen(line));
	}
	json_decref(qt_take(&b->logs.past));
	sq_http_stream(h, &ops, f);
	lws_sul_schedule(sq->lws, 0, &f->timer, on_timer, 1);
	return 0;
}
