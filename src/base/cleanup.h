/* cleanup.h - release by scope. Knows the C library only; every module adds the macro for its own type. */
#ifndef QT_CLEANUP_H
#define QT_CLEANUP_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define QT_AUTO(fn) __attribute__((cleanup(fn)))

static inline void qt_freep(void *p)
{
	free(*(void **)p);
}

/* Not retried on EINTR: on Linux the descriptor is gone either way. EBADF means that somebody else
 * closed it, and from here on any number may be anybody's file. */
static inline void qt_close(int fd)
{
	if (fd >= 0 && close(fd) < 0 && errno == EBADF)
		abort();
}

static inline void qt_closep(int *fd)
{
	qt_close(*fd);
}

/* Close what *FD holds now and put NEW there. */
static inline void qt_reset_fd(int *fd, int new)
{
	int old = *fd;

	*fd = new;
	qt_close(old);
}

static inline void qt_fclosep(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

#define auto_free   QT_AUTO(qt_freep)
#define auto_close  QT_AUTO(qt_closep)
#define auto_fclose QT_AUTO(qt_fclosep)

/* Hand a descriptor on: the variable forgets it. */
static inline int qt_take_fd(int *fd)
{
	int v = *fd;

	*fd = -1;
	return v;
}

#define qt_take(pp) \
	({ \
		__typeof__(*(pp)) v_ = *(pp); \
		*(pp) = NULL; \
		v_; \
	})

#define QT_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
