/* exec.h - POST /api/containers/{id}/stream: a command's output, as it comes. */
#ifndef QT_STREAM_EXEC_H
#define QT_STREAM_EXEC_H

#include "http.h"

int sq_exec_begin(struct sq *sq, struct sq_http *h, struct qt_begun *b, struct qt_err *e);

#endif
