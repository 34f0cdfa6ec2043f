/* frames.h - the lines of an output stream (contract 7.3). Pure. */
#ifndef QT_STREAM_FRAMES_H
#define QT_STREAM_FRAMES_H

#include "buf.h"

/* {"type":TYPE,"data_b64":…} and a newline. */
int qt_frame_data(struct qt_buf *b, const char *type, const void *data, size_t len, struct qt_err *e);

#endif
