/* buf.h - a byte buffer that is born with a maximum. */
#ifndef QT_BUF_H
#define QT_BUF_H

#include <stddef.h>

#include "cleanup.h"
#include "err.h"

struct qt_buf {
	char *data; /* always NUL-terminated once something was added; NULL before */
	size_t len, cap, max;
};

/* struct qt_buf b = QT_BUF(1 << 20); auto_buf releases it. */
#define QT_BUF(maximum) ((struct qt_buf){NULL, 0, 0, (maximum)})

/* Append; -1 with PAYLOAD_TOO_LARGE past the maximum, UNAVAILABLE without memory; the buffer is then as it was. */
int qt_buf_add(struct qt_buf *b, const void *data, size_t len, struct qt_err *e);
int qt_buf_str(struct qt_buf *b, const char *text, struct qt_err *e);
int qt_buf_fmt(struct qt_buf *b, struct qt_err *e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Room for at least LEN more bytes: where to put them, or NULL. Then b->len += what was put there. */
char *qt_buf_room(struct qt_buf *b, size_t len, struct qt_err *e);

void qt_buf_done(struct qt_buf *b);

#define auto_buf QT_AUTO(qt_buf_done)

#endif
