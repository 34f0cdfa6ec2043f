/* logread.h - the newest records of a container's log files (logfmt.h). */
#ifndef QT_LOGREAD_H
#define QT_LOGREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "logfmt.h"

struct qt_log_record {
	uint64_t seq, time_ms;
	uint8_t stream; /* LOG_STDOUT ... */
	uint8_t level;	/* LOG_DEBUG ... */
	uint16_t flags; /* LOG_PARTIAL: the line goes on in the next record of its stream */
	uint32_t len;
	const char *text; /* LEN bytes of any value, no NUL behind them */
};

struct qt_logs {
	struct qt_log_record *records; /* N of them, oldest first */
	size_t n;
	void *mem[2];
};

/* The newest LIMIT records, fewer when there are no more or their texts would be more than MAX_BYTES together. In O(result), whatever
 * the files hold, and while minit writes: a record is whole or not there. FDS are borrowed, read with pread(); which file is the newer is
 * found out here. Release with qt_logs_done(), after a failure too. */
int qt_logs_read(const int fds[2], size_t limit, size_t max_bytes, struct qt_logs *ret, struct qt_err *e);

/* The same of those records only that are wanted. */
struct qt_logs_want {
	size_t limit, max_bytes;
	uint64_t since_ms; /* not older; 0: all */
	unsigned streams;  /* 1 << LOG_STDOUT …; 0: all */
};
int qt_logs_find(const int fds[2], const struct qt_logs_want *want, struct qt_logs *ret, struct qt_err *e);
bool qt_log_wanted(const struct qt_logs_want *want, const struct qt_log_record *r);

void qt_logs_done(struct qt_logs *l);

/* Following: what comes after the record SEQ (0: from the first one). The rest is the function's. */
struct qt_log_cursor {
	uint64_t seq, mark, off;
};
#define QT_LOG_CHUNK 65536U /* more than the longest record */

/* Reads at most one chunk by way of BUF (QT_LOG_CHUNK bytes), and calls FN with each whole record that has not been seen. 1 when it got on, so that there
 * may be more at once; 0 when there is nothing more at present; -1. A number that is not the next one: records were lost, by minit or
 * because the files went round faster than we read. */
int qt_logs_next(const int fds[2], struct qt_log_cursor *c, char *buf, void (*fn)(const struct qt_log_record *r, void *arg), void *arg,
		 struct qt_err *e);

/* "stdout", "stderr", "system"; "debug" ...; never NULL. */
const char *qt_log_stream_name(uint8_t stream);
const char *qt_log_level_name(uint8_t level);

#endif
