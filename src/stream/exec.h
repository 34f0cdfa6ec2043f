/* exec.h - POST /api/containers/{id}/stream: a command's output, as it comes. */
#ifndef QT_STREAM_EXEC_H
#define QT_STREAM_EXEC_H

#include "http.h"

int sq_exec_begin(struct sq *sq, struct sq_http *h, struct qt_begun *b, struct qt_err *e);

/* The server stops: each command is ended, and its client told so. How many there are still. */
unsigned sq_execs_stop(void);

#endif
