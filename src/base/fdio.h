/* fdio.h - whole reads and writes. Descriptors are borrowed. */
#ifndef QT_FDIO_H
#define QT_FDIO_H

#include <stddef.h>
#include <sys/types.h>

#include "err.h"

/* All LEN bytes, or -1. */
int qt_write_full(int fd, const void *data, size_t len, struct qt_err *e);

/* Up to SIZE bytes until the end of the file; the count, or -1. More than SIZE bytes are an error. */
ssize_t qt_read_all(int fd, void *buf, size_t size, struct qt_err *e);

/* Open DIR_FD/NAME (not following a link), read at most SIZE - 1 bytes, end them with NUL. The count, or -1. */
ssize_t qt_read_file(int dir_fd, const char *name, char *buf, size_t size, struct qt_err *e);

/* Make DIR_FD/NAME hold the LEN bytes at DATA, by rename: a reader, and a crash, find the old or the new. With SYNC, it is on
 * disk (file and directory) when this returns. */
int qt_replace_file(int dir_fd, const char *name, const void *data, size_t len, mode_t mode, bool sync,
		    struct qt_err *e);

/* Write the text to a control file (cgroup, sysctl, id map): one write(2), DIR_FD/NAME. */
int qt_write_ctl(int dir_fd, const char *name, const char *text, struct qt_err *e);

/* O_NONBLOCK on or off. */
int qt_set_nonblock(int fd, bool on, struct qt_err *e);

#endif
