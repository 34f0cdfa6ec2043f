/* Two log files of any content: reading the newest, following them, and writing on behind them. */
#include "fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "minit/logread.h"
#include "minit/logw.h"

#define LOG_FD 300 /* and 301 */

static char chunk[QT_LOG_CHUNK];

static void fill(int i, struct fuzz_part p)
{
	if (fcntl(LOG_FD + i, F_GETFD) < 0) {
		int fd = memfd_create("log", MFD_CLOEXEC);

		FUZZ_MUST(fd >= 0 && dup2(fd, LOG_FD + i) == LOG_FD + i);
		(void)close(fd);
	}
	FUZZ_MUST(ftruncate(LOG_FD + i, 0) == 0 && pwrite(LOG_FD + i, p.data, p.len, 0) == (ssize_t)p.len);
}

static size_t sum; /* of all bytes that are handed out: they must be there */

static void look(const struct qt_log_record *r, void *arg)
{
	(void)arg;
	FUZZ_MUST(r->len <= LOG_TEXT_MAX);
	for (uint32_t i = 0; i < r->len; i++)
		sum += (unsigned char)r->text[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int fds[2] = {LOG_FD, LOG_FD + 1};
	struct fuzz_part how = fuzz_next(&data, &size, 1), first = fuzz_next(&data, &size, 64), second = {data, size};
	const struct qt_logs_want want = {.limit = 1 + how.len % 50, .max_bytes = 4000, .streams = (unsigned)how.len % 16, .since_ms = how.len / 16};
	struct qt_log_cursor at = {0};
	struct qt_err e = {0};
	struct qt_logs l;

	fill(0, first);
	fill(1, second);
	if (qt_logs_find(fds, &want, &l, &e) == 0) {
		FUZZ_MUST(l.n <= want.limit);
		for (size_t i = 0; i < l.n; i++) {
			look(&l.records[i], NULL);
			FUZZ_MUST(i == 0 || l.records[i].seq > l.records[i - 1].seq);
			FUZZ_MUST(qt_log_wanted(&want, &l.records[i]));
		}
	}
	qt_logs_done(&l);
	/* Bounded by what the files hold. */
	for (unsigned i = 0; i < 20; i++)
		if (qt_logs_next(fds, &at, chunk, look, NULL, &e) <= 0)
			break;
	/* Whatever is there, minit goes on, and what it writes is found. */
	logw_open(LOG_FD, 8000);
	logw_add(LOG_STDOUT, LOG_INFO, 0, "x", 1, 1000);
	logw_flush();
	FUZZ_MUST(qt_logs_read(fds, 1, 100, &l, &e) == 0 && l.n == 1 && l.records[0].len == 1 && l.records[0].text[0] == 'x');
	qt_logs_done(&l);
	return 0;
}
