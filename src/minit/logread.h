/* logread.h - the newest records of a container's log files (logfmt.h). */
#ifndef QT_LOGREAD_H
#define QT_LOGREAD_H

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
void qt_logs_done(struct qt_logs *l);

/* "stdout", "stderr", "system"; "debug" ...; never NULL. */
const char *qt_log_stream_name(uint8_t stream);
const char *qt_log_level_name(uint8_t level);

#endif
