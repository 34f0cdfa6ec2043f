/*
 * logfmt.h - the log files of a container, as minit writes and workers read them.
 *
 * Two files. minit appends records to one until the next would pass log_file_bytes, then empties the other and goes on there. The
 * file whose first record has the greater seq is the newer. A record has its length at both ends, so that the newest n are found
 * from the end in O(n). A torn record (crash) is one whose lengths differ: the reader stops there.
 */
#ifndef QT_LOGFMT_H
#define QT_LOGFMT_H

#include <stdint.h>

enum { LOG_STDOUT = 1, LOG_STDERR = 2, LOG_SYSTEM = 3 };
enum { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

#define LOG_TEXT_MAX 16384U /* a longer line becomes several records, all but the last with LOG_PARTIAL */

enum { LOG_PARTIAL = 1 };

struct log_head {
	uint32_t len; /* of the text, at most LOG_TEXT_MAX */
	uint8_t stream, level;
	uint16_t flags;
	uint64_t seq; /* counts from 1, over starts too: minit reads the last one when it begins */
	uint64_t time_ms;
};
/* then len bytes (one line without its newline; any bytes), then: */
struct log_tail {
	uint32_t len;	/* again */
	uint32_t magic; /* LOG_MAGIC */
};

#define LOG_MAGIC 0x314c5451U /* "QTL1" */

#endif
