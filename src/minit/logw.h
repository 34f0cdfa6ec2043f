/* logw.h - minit's end of the log files (logfmt.h). No function fails: a record that cannot be written is lost, and its number missing. */
#ifndef MI_LOGW_H
#define MI_LOGW_H

#include <stddef.h>
#include <stdint.h>

#include "logfmt.h"

/* Find the end of what is there; go on behind it. The two descriptors from FD on are borrowed, for good. */
void logw_open(int fd, uint32_t file_bytes);

/* The longest text of a record. */
size_t logw_text_max(void);

/* Collect a record; at most logw_text_max() bytes. */
void logw_add(uint8_t stream, uint8_t level, uint16_t flags, const char *text, size_t len, uint64_t now_ms);

/* Write what was collected. */
void logw_flush(void);

#endif
