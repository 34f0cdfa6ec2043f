/* sse.h - frames of server-sent events. Pure. */
#ifndef QT_STREAM_SSE_H
#define QT_STREAM_SSE_H

#include "buf.h"

/* Appends a frame: EVENT and ID may be NULL. Whatever line breaks are in DATA, it is the data of this frame. */
int qt_sse_frame(struct qt_buf *b, const char *event, const char *id, const char *data, size_t len, struct qt_err *e);

#endif
