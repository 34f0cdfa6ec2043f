/*
 * logfmt.h - the log files of a container, as minit writes and workers read them.
 *
 * Two files, empty at first. minit appends records to one until the next would pass log_file_bytes, then empties the other and goes on
 * there. The file whose head has the greater first_seq is the newer.
 *
 * A record has its length at both ends, so that the newest n are found from the end in O(n). It ends with the file's mark, a
 * random number that no process of the container can know: whatever bytes it writes, they are never taken for a record. So
 * a torn end (minit killed, or a reader that comes while minit writes) is got over by looking backward for the mark; the last
 * whole record ends at most LOG_BATCH_MAX bytes before the end.
 */
#ifndef QT_LOGFMT_H
#define QT_LOGFMT_H

#include <stdint.h>

enum { LOG_STDOUT = 1, LOG_STDERR = 2, LOG_SYSTEM = 3 };
enum { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

#define LOG_TEXT_MAX  16384U /* a longer line becomes several records, all but the last with LOG_PARTIAL */
#define LOG_BATCH_MAX 20480U /* minit writes at most so much at once */

enum { LOG_PARTIAL = 1 };

struct log_file {
	uint32_t magic, version; /* LOG_MAGIC, LOG_VERSION */
	uint64_t mark;		 /* not 0 */
	uint64_t first_seq;	 /* of the first record that this file gets */
};
/* then records without gaps: */
struct log_head {
	uint32_t len; /* of the text, at most LOG_TEXT_MAX */
	uint8_t stream, level;
	uint16_t flags;
	uint64_t seq; /* counts from 1, over starts too: minit reads the last one when it begins. A gap: records that could not be written */
	uint64_t time_ms;
};
/* then len bytes (one line without its newline; any bytes), then: */
struct log_tail {
	uint64_t mark; /* the file's */
	uint32_t len;  /* again */
	uint32_t zero;
};

#define LOG_MAGIC   0x314c5451U /* "QTL1" */
#define LOG_VERSION 1U
#define LOG_SEQ_MAX (1ULL << 62) /* a greater number is damage */

#endif
