#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "logw.h"

#define FRAME (sizeof(struct log_head) + sizeof(struct log_tail))

static struct {
	int fd[2];
	unsigned cur;
	bool broken; /* begin the current file anew */
	uint64_t mark, seq, off;
	uint64_t max;
	size_t used;
} w;

/* Whole pages, since they are given back; and a tail more than a batch, to find the end of a torn one. */
static _Alignas(4096) unsigned char batch[24576];
_Static_assert(sizeof(batch) >= LOG_BATCH_MAX + sizeof(struct log_tail), "a batch and a tail");

static bool write_at(int fd, const void *data, size_t len, uint64_t off)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return true;
}

/* Empty the current file. Its first record will have the number SEQ. */
static void begin(uint64_t seq)
{
	struct log_file f = {.magic = LOG_MAGIC, .version = LOG_VERSION, .first_seq = seq};

	w.broken = true;
	if (getrandom(&f.mark, sizeof(f.mark), 0) != (ssize_t)sizeof(f.mark))
		return;
	f.mark |= 1;
	w.mark = f.mark;
	w.off = sizeof(f);
	if (ftruncate(w.fd[w.cur], 0) == 0 && write_at(w.fd[w.cur], &f, sizeof(f), 0))
		w.broken = false;
}

void logw_flush(void)
{
	if (w.used == 0)
		return;
	if (write_at(w.fd[w.cur], batch, w.used, w.off))
		w.off += w.used;
	else if (ftruncate(w.fd[w.cur], (off_t)w.off) < 0)
		w.broken = true;
	/* Large batches are rare: what they touched goes back to the kernel. */
	if (w.used > 8192)
		(void)madvise(batch, sizeof(batch), MADV_DONTNEED);
	w.used = 0;
}

size_t logw_text_max(void)
{
	uint64_t room = w.max - sizeof(struct log_file) - FRAME;

	return room < LOG_TEXT_MAX ? (size_t)room : LOG_TEXT_MAX;
}

void logw_add(uint8_t stream, uint8_t level, uint16_t flags, const char *text, size_t len, uint64_t now_ms)
{
	struct log_head h = {(uint32_t)len, stream, level, flags, w.seq++, now_ms};
	struct log_tail t = {.len = (uint32_t)len};
	size_t size = len + FRAME;
	bool full = w.off + w.used + size > w.max;

	if (full || w.used + size > LOG_BATCH_MAX)
		logw_flush();
	if (full && !w.broken)
		w.cur ^= 1;
	if (full || w.broken)
		begin(h.seq);
	if (w.broken)
		return;
	t.mark = w.mark;
	memcpy(batch + w.used, &h, sizeof(h));
	memcpy(batch + w.used + sizeof(h), text, len);
	memcpy(batch + w.used + sizeof(h) + len, &t, sizeof(t));
	w.used += size;
}

static bool read_head(int fd, struct log_file *ret)
{
	return pread(fd, ret, sizeof(*ret), 0) == (ssize_t)sizeof(*ret) && ret->magic == LOG_MAGIC &&
	       ret->version == LOG_VERSION && ret->mark != 0 && ret->first_seq <= LOG_SEQ_MAX;
}

/* Does a whole record end at END of the file? Its number then, else 0. */
static uint64_t record_at(int fd, uint64_t end, const struct log_tail *t)
{
	struct log_head h;

	if (t->mark != w.mark || t->len > LOG_TEXT_MAX || end < sizeof(struct log_file) + FRAME + t->len)
		return 0;
	if (pread(fd, &h, sizeof(h), (off_t)(end - FRAME - t->len)) != (ssize_t)sizeof(h) || h.len != t->len)
		return 0;
	return h.seq;
}

/* Set the place to go on at in the current file, F being its head, and cut off what is torn. False if there is none. */
static bool resume(const struct log_file *f)
{
	int fd = w.fd[w.cur];
	struct log_tail t;
	struct stat st;
	uint64_t start, size;
	ssize_t n;

	w.seq = f->first_seq;
	w.mark = f->mark;
	w.off = sizeof(*f);
	if (fstat(fd, &st) < 0)
		return false;
	size = (uint64_t)st.st_size;
	if (size == sizeof(*f))
		return true;
	start = size - sizeof(*f) > sizeof(batch) ? size - sizeof(batch) : sizeof(*f);
	n = pread(fd, batch, (size_t)(size - start), (off_t)start);
	for (; n >= (ssize_t)sizeof(t); n--) {
		uint64_t end = start + (uint64_t)n, seq;

		memcpy(&t, batch + n - sizeof(t), sizeof(t));
		seq = record_at(fd, end, &t);
		if (seq >= f->first_seq && seq <= LOG_SEQ_MAX) {
			w.seq = seq + 1;
			w.off = end;
			return ftruncate(fd, (off_t)end) == 0;
		}
	}
	/* Nothing whole near the end: more records than that cannot have been in it. */
	w.seq = f->first_seq + size / FRAME + 1;
	return false;
}

/* Nobody counts so far: the files are damaged, and what would be written behind them no reader would take. */
static void begin_anew(void)
{
	w.cur = 0;
	w.seq = 1;
	w.broken = true;
	for (int i = 0; i < 2; i++)
		if (ftruncate(w.fd[i], 0) < 0)
			return;
}

void logw_open(int fd, uint32_t file_bytes)
{
	struct log_file f[2];
	bool ok[2];

	memset(&w, 0, sizeof(w));
	w.max = file_bytes;
	w.seq = 1;
	w.broken = true;
	for (int i = 0; i < 2; i++) {
		w.fd[i] = fd + i;
		ok[i] = read_head(w.fd[i], &f[i]);
	}
	if (!ok[0] && !ok[1])
		return;
	w.cur = !ok[0] || (ok[1] && f[1].first_seq > f[0].first_seq);
	w.broken = !resume(&f[w.cur]);
	if (w.broken)
		w.cur ^= 1;
	if (w.seq > LOG_SEQ_MAX / 2)
		begin_anew();
}
