/* msgio.h - messages with descriptors, over a connection that does not block. What they mean is frame.h's and conn.c's. */
#ifndef MI_MSGIO_H
#define MI_MSGIO_H

#include <stdbool.h>
#include <stddef.h>

#include "proto.h"

#define MI_FDS_ROOM 4 /* three are right; the kernel fills the padding of an odd number */

/* M, LEN bytes behind it, and at most two descriptors (borrowed). False: the peer does not take it, or is gone. */
bool mi_send(int fd, const struct mi_msg *m, const void *more, size_t len, const int *fds, unsigned n_fds);

/* One message into BUF: its length, and the N descriptors that came along, the caller's. 0: the peer is gone, or broke the protocol; also then
 * there may be descriptors. */
size_t mi_receive(int fd, void *buf, size_t size, int fds[MI_FDS_ROOM], unsigned *n);

#endif
