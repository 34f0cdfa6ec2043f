/* fdpass.h - one message with descriptors over a Unix socket. */
#ifndef QT_FDPASS_H
#define QT_FDPASS_H

#include <stddef.h>
#include <sys/types.h>

#include "err.h"

#define QT_FDS_MAX 4

/* Send the LEN bytes as one message, with N borrowed descriptors (0 to QT_FDS_MAX). 0; -1 on error; with a non-blocking
 * socket a full buffer is the error EAGAIN in e->sys. */
int qt_send_fds(int sock, const void *data, size_t len, const int *fds, size_t n, struct qt_err *e);

/* Receive one message into SIZE bytes. Descriptors (close-on-exec) go to FDS, which has QT_FDS_MAX places, their number to *N:
 * the caller owns them. The length, 0 at the end of the stream, or -1: a message that was cut (data or descriptors) is
 * refused with EMSGSIZE in e->sys, and its descriptors are closed. EAGAIN stands in e->sys. */
ssize_t qt_recv_fds(int sock, void *buf, size_t size, int *fds, size_t *n, struct qt_err *e);

#endif
