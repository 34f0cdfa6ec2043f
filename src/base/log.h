/* log.h - one line to stderr per record, with fixed keys. Only programs log; libraries return errors. */
#ifndef QT_LOG_H
#define QT_LOG_H

#include "err.h"

enum qt_level { QT_LOG_DEBUG, QT_LOG_INFO, QT_LOG_WARN, QT_LOG_ERROR };

/* NAME stands in every line ("quilt-api"); MIN is the lowest level that is written. */
void qt_log_init(const char *name, enum qt_level min);

/* ts=… level=… proc=NAME/PID msg="…". Bytes that would break the line or a terminal are escaped. */
void qt_log(enum qt_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The same with the error's code, errno and message behind it. */
void qt_log_err(enum qt_level level, const struct qt_err *e, const char *fmt, ...)
	__attribute__((nonnull(2, 3), format(printf, 3, 4)));

#endif
