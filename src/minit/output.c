#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "logw.h"
#include "minit.h"

#undef mi_say

#define DRAIN_READS 256 /* somebody may write faster than we read */

static struct output {
	int fd;
	uint8_t stream, level;
	uint32_t len;
} outputs[2] = {{.fd = -1, .stream = LOG_STDOUT, .level = LOG_INFO}, {.fd = -1, .stream = LOG_STDERR, .level = LOG_WARN}};

static _Alignas(4096) char bufs[2][LOG_TEXT_MAX];

bool mi_output_open(int fds[3])
{
	for (unsigned i = 0; i < 2; i++) {
		int p[2];

		if (pipe2(p, O_CLOEXEC) < 0)
			return false;
		outputs[i].fd = p[0];
		fds[1 + i] = p[1];
		/* So that the user may open /dev/stdout. */
		(void)fchown(p[1], mi.uid, mi.gid);
		if (fcntl(p[0], F_SETFL, O_NONBLOCK) < 0 || !mi_watch(p[0], MI_SRC_OUTPUT, i, 0))
			return false;
	}
	return true;
}

/* A length up to LEN that does not end within a character of UTF-8. */
static size_t whole(const char *s, size_t len)
{
	for (size_t back = 1; back <= 3 && back < len; back++) {
		unsigned char c = (unsigned char)s[len - back];

		if (c < 0x80)
			break;
		if (c >= 0xc0)
			return (c >= 0xf0 ? 4U : c >= 0xe0 ? 3U : 2U) > back ? len - back : len;
	}
	return len;
}

/* Make records of the lines in the buffer. */
static void cut(struct output *o, bool end)
{
	char *buf = bufs[o - outputs];
	size_t max = logw_text_max(), at = 0;
	uint64_t now = mi_now_ms();

	while (at < o->len) {
		size_t n = o->len - at < max ? o->len - at : max;
		const char *s = buf + at, *nl = memchr(s, '\n', n);

		if (nl) {
			n = (size_t)(nl - s);
			logw_add(o->stream, o->level, 0, s, n, now);
			at += n + 1;
		} else if (n == max) {
			n = whole(s, n);
			logw_add(o->stream, o->level, LOG_PARTIAL, s, n, now);
			at += n;
		} else if (end) {
			logw_add(o->stream, o->level, 0, s, n, now);
			at += n;
		} else {
			break;
		}
	}
	o->len -= (uint32_t)at;
	if (at > 0 && o->len > 0)
		memmove(buf, buf + at, o->len);
}

/* False when there is nothing to be had at present. */
static bool take(struct output *o)
{
	ssize_t n;

	if (o->fd < 0)
		return false;
	n = read(o->fd, bufs[o - outputs] + o->len, LOG_TEXT_MAX - o->len);
	if (n < 0)
		return errno == EINTR;
	o->len += (uint32_t)n;
	cut(o, n == 0);
	if (n == 0) {
		mi_unwatch_close(&o->fd);
		(void)madvise(bufs[o - outputs], LOG_TEXT_MAX, MADV_DONTNEED);
	}
	return n > 0;
}

void mi_output_read(unsigned stream)
{
	(void)take(&outputs[stream & 1]);
}

void mi_output_drain(void)
{
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned k = 0; k < DRAIN_READS && take(&outputs[i]); k++)
			continue;
		cut(&outputs[i], true);
	}
}

const char *mi_num(char b[12], int v)
{
	unsigned u = v < 0 ? -(unsigned)v : (unsigned)v;
	char *p = b + 11;

	*p = '\0';
	do
		*--p = (char)('0' + u % 10);
	while ((u /= 10) > 0);
	if (v < 0)
		*--p = '-';
	return p;
}

void mi_say(unsigned level, const char *const *texts)
{
	char b[512];
	size_t len = 0;

	for (; *texts; texts++) {
		size_t n = strnlen(*texts, 200);

		if (n > sizeof(b) - len)
			n = sizeof(b) - len;
		memcpy(b + len, *texts, n);
		len += n;
	}
	logw_add(LOG_SYSTEM, (uint8_t)level, 0, b, len, mi_now_ms());
}
