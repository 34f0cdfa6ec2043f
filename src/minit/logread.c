#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "logread.h"

#define FRAME	   (sizeof(struct log_head) + sizeof(struct log_tail))
#define FIRST_READ 65536U
#define TRIES	   8
#define READ_MAX   (64U << 20) /* a file is not read further back than this */

/* One file, being read from its end. */
struct walk {
	int fd;
	struct log_file head;
	uint64_t size;
};

/* What is still wanted; records come newest first. */
struct wanted {
	struct qt_log_record *r;
	size_t n, limit, bytes;
	uint64_t below; /* only numbers less than this */
	const struct qt_logs_want *only;
};

static bool open_walk(struct walk *w, int fd)
{
	struct stat st;

	*w = (struct walk){.fd = fd};
	if (fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(w->head))
		return false;
	w->size = (uint64_t)st.st_size;
	return pread(fd, &w->head, sizeof(w->head), 0) == (ssize_t)sizeof(w->head) && w->head.magic == LOG_MAGIC &&
	       w->head.version == LOG_VERSION && w->head.mark != 0 && w->head.first_seq <= LOG_SEQ_MAX;
}

/* Is there a record in the bytes of BUF that end at END? Its whole size, else 0. */
static size_t record_before(const char *buf, size_t end, uint64_t mark, struct qt_log_record *ret)
{
	struct log_head h;
	struct log_tail t;

	if (end < FRAME)
		return 0;
	memcpy(&t, buf + end - sizeof(t), sizeof(t));
	if (t.mark != mark || t.len > LOG_TEXT_MAX || end < FRAME + t.len)
		return 0;
	memcpy(&h, buf + end - FRAME - t.len, sizeof(h));
	if (h.len != t.len)
		return 0;
	*ret = (struct qt_log_record){.seq = h.seq, .time_ms = h.time_ms, .stream = h.stream, .level = h.level, .flags = h.flags,
				      .len = h.len, .text = buf + end - sizeof(t) - t.len};
	return FRAME + t.len;
}

bool qt_log_wanted(const struct qt_logs_want *want, const struct qt_log_record *r)
{
	return r->time_ms >= want->since_ms && (want->streams == 0 || want->streams & 1U << (r->stream & 31U));
}

/* Collect from the LEN bytes at BUF, the end of the file. False if there are older ones before BUF that are still wanted. */
static bool collect(struct wanted *want, const struct walk *w, const char *buf, size_t len, bool all)
{
	struct qt_log_record r;
	size_t end = len, size = 0;

	while (end >= FRAME && len - end <= LOG_BATCH_MAX && (size = record_before(buf, end, w->head.mark, &r)) == 0)
		end--;
	for (; size > 0; size = record_before(buf, end, w->head.mark, &r)) {
		if (r.seq >= want->below || r.seq < w->head.first_seq)
			return true;
		want->below = r.seq;
		end -= size;
		if (!qt_log_wanted(want->only, &r)) {
			if (r.time_ms >= want->only->since_ms)
				continue;
			want->limit = want->n; /* the others are older still */
			return true;
		}
		if (want->n == want->limit || r.len > want->bytes) {
			want->limit = want->n;
			return true;
		}
		want->r[want->n++] = r;
		want->bytes -= r.len;
	}
	return all || end > LOG_TEXT_MAX + FRAME;
}

/* Read back so far as needed; *RET_MEM holds the texts. */
static int walk_back(struct wanted *want, const struct walk *w, void **ret_mem, struct qt_err *e)
{
	uint64_t whole = w->size - sizeof(w->head);

	for (uint64_t span = FIRST_READ;; span *= 4) {
		struct wanted attempt = *want;
		size_t len = (size_t)(span < whole ? span : whole);
		auto_free char *buf = malloc(len + 1);
		ssize_t got;

		if (!buf)
			return qt_fail_sys(e, ENOMEM, "read the log");
		do
			got = pread(w->fd, buf, len, (off_t)(w->size - len));
		while (got < 0 && errno == EINTR);
		if (got < 0)
			return qt_fail_sys(e, errno, "read the log");
		/* Short: minit emptied it meanwhile; what came before the cut ends torn. */
		if (collect(&attempt, w, buf, (size_t)got, len == whole || span >= READ_MAX || (size_t)got < len)) {
			*want = attempt;
			*ret_mem = qt_take(&buf);
			return 0;
		}
	}
}

/* One attempt. 1; 0 if minit emptied a file while we read it: what its end was like nobody knows, so there may be less than there
 * should; -1. */
static int read_once(const int fds[2], struct wanted *want, struct qt_logs *ret, struct qt_err *e)
{
	struct walk w[2], now;
	bool ok[2];
	unsigned newer;

	for (int i = 0; i < 2; i++)
		ok[i] = open_walk(&w[i], fds[i]);
	if (!ok[0] && !ok[1])
		return 1;
	newer = !ok[0] || (ok[1] && w[1].head.first_seq > w[0].head.first_seq);
	/* Looked at again, since now that there is a newer one it is whole. */
	ok[!newer] = open_walk(&w[!newer], fds[!newer]);
	for (unsigned i = 0; i < 2; i++) {
		unsigned k = newer ^ i;

		struct wanted before = *want;

		if (!ok[k] || want->n == want->limit)
			continue;
		if (walk_back(want, &w[k], &ret->mem[i], e) < 0)
			return -1;
		if (!open_walk(&now, fds[k]) || now.head.mark != w[k].head.mark) {
			*want = before;
			return 0;
		}
		if (w[k].head.first_seq < want->below)
			want->below = w[k].head.first_seq;
	}
	return 1;
}

int qt_logs_read(const int fds[2], size_t limit, size_t max_bytes, struct qt_logs *ret, struct qt_err *e)
{
	const struct qt_logs_want all = {.limit = limit, .max_bytes = max_bytes};

	return qt_logs_find(fds, &all, ret, e);
}

int qt_logs_find(const int fds[2], const struct qt_logs_want *only, struct qt_logs *ret, struct qt_err *e)
{
	size_t limit = only->limit;

	*ret = (struct qt_logs){0};
	if (limit == 0)
		return 0;
	for (unsigned tries = 0; tries < TRIES; tries++) {
		struct wanted want = {.limit = limit, .bytes = only->max_bytes, .below = LOG_SEQ_MAX + 1, .only = only};
		int done;

		qt_logs_done(ret);
		want.r = ret->records = calloc(limit, sizeof(*want.r));
		if (!want.r)
			return qt_fail_sys(e, ENOMEM, "read the log");
		done = read_once(fds, &want, ret, e);
		if (done < 0)
			return -1;
		ret->n = want.n;
		if (done)
			break;
	}
	for (size_t i = 0; i < ret->n / 2; i++) {
		struct qt_log_record t = ret->records[i];

		ret->records[i] = ret->records[ret->n - 1 - i];
		ret->records[ret->n - 1 - i] = t;
	}
	return 0;
}

/* --- following ------------------------------------------------------------------------------------------- */

/* Which file the cursor reads in; -1: none has anything for it. A file that it does not know any more was emptied meanwhile: then it goes on in
 * the oldest that has something newer than it saw. */
static int place(const struct walk w[2], const bool ok[2], struct qt_log_cursor *c)
{
	int older, newer, at;

	for (int i = 0; i < 2; i++)
		if (ok[i] && c->mark != 0 && w[i].head.mark == c->mark)
			return i;
	if (!ok[0] && !ok[1])
		return -1;
	newer = !ok[0] || (ok[1] && w[1].head.first_seq > w[0].head.first_seq);
	older = !newer;
	at = !ok[older] || w[newer].head.first_seq <= c->seq + 1 ? newer : older;
	c->mark = w[at].head.mark;
	c->off = sizeof(struct log_file);
	return at;
}

/* Is there a whole record at the beginning of the LEN bytes? Its size, else 0. */
static size_t record_at(const char *buf, size_t len, uint64_t mark, struct qt_log_record *ret)
{
	struct log_head h;
	struct log_tail t;

	if (len < FRAME)
		return 0;
	memcpy(&h, buf, sizeof(h));
	if (h.len > LOG_TEXT_MAX || len < FRAME + h.len)
		return 0;
	memcpy(&t, buf + sizeof(h) + h.len, sizeof(t));
	if (t.mark != mark || t.len != h.len || h.seq > LOG_SEQ_MAX)
		return 0;
	*ret = (struct qt_log_record){.seq = h.seq, .time_ms = h.time_ms, .stream = h.stream, .level = h.level, .flags = h.flags,
				      .len = h.len, .text = buf + sizeof(h)};
	return FRAME + h.len;
}

int qt_logs_next(const int fds[2], struct qt_log_cursor *c, char *buf, void (*fn)(const struct qt_log_record *r, void *arg), void *arg,
		 struct qt_err *e)
{
	struct walk w[2], now;
	bool ok[2];
	struct qt_log_record r;
	size_t done = 0, size;
	ssize_t got;
	int at;

	for (int i = 0; i < 2; i++)
		ok[i] = open_walk(&w[i], fds[i]);
	at = place(w, ok, c);
	if (at < 0)
		return 0;
	do
		got = pread(fds[at], buf, QT_LOG_CHUNK, (off_t)c->off);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return qt_fail_sys(e, errno, "read the log");
	/* Emptied while it was read: what we have is of two lives. */
	if (!open_walk(&now, fds[at]) || now.head.mark != c->mark)
		return 1;
	while ((size = record_at(buf + done, (size_t)got - done, c->mark, &r)) > 0) {
		if (r.seq > c->seq) {
			fn(&r, arg);
			c->seq = r.seq;
		}
		done += size;
	}
	c->off += done;
	if (done > 0)
		return 1;
	/* The other one was newer before we read this one: so this one is whole, and we have all of it. */
	if (!ok[!at] || w[!at].head.first_seq <= w[at].head.first_seq)
		return 0;
	c->mark = w[!at].head.mark;
	c->off = sizeof(struct log_file);
	return 1;
}

void qt_logs_done(struct qt_logs *l)
{
	free(l->records);
	free(l->mem[0]);
	free(l->mem[1]);
	*l = (struct qt_logs){0};
}

const char *qt_log_stream_name(uint8_t stream)
{
	return stream == LOG_STDOUT ? "stdout" : stream == LOG_STDERR ? "stderr" : "system";
}

const char *qt_log_level_name(uint8_t level)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};

	return names[level < QT_LEN(names) ? level : LOG_INFO];
}
