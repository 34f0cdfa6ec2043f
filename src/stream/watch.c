/* Our own descriptors, on an epoll whose descriptor the loop of libwebsockets watches. */
#include <errno.h>
#include <sys/epoll.h>

#include "stream.h"

#define EVENTS_A_TURN 64

int sq_watch_open(struct sq *sq, struct qt_err *e)
{
	lws_sock_file_fd_type fd;

	sq->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (sq->epoll < 0)
		return qt_fail_sys(e, errno, "epoll_create1");
	fd.filefd = sq->epoll;
	if (!lws_adopt_descriptor_vhost(sq->vhost, LWS_ADOPT_RAW_FILE_DESC, fd, "watch", NULL))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "libwebsockets does not take our epoll");
	return 0;
}

int sq_watch(struct sq *sq, struct sq_watch *w, int fd, uint32_t events, void (*fn)(void *arg, uint32_t events), void *arg, struct qt_err *e)
{
	struct epoll_event ev = {.events = events | EPOLLONESHOT, .data.ptr = w};

	*w = (struct sq_watch){fd, fn, arg};
	if (epoll_ctl(sq->epoll, EPOLL_CTL_ADD, fd, &ev) == 0)
		return 0;
	w->fd = -1;
	return qt_fail_sys(e, errno, "watch a descriptor");
}

/* One shot, and taken out while paused, so that a hang-up is not told to somebody who has not asked for more. */
void sq_watch_change(struct sq *sq, struct sq_watch *w, uint32_t events)
{
	struct epoll_event ev = {.events = events | EPOLLONESHOT, .data.ptr = w};

	if (w->fd < 0)
		return;
	if (events == 0)
		(void)epoll_ctl(sq->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	else if (epoll_ctl(sq->epoll, EPOLL_CTL_MOD, w->fd, &ev) < 0 && errno == ENOENT)
		(void)epoll_ctl(sq->epoll, EPOLL_CTL_ADD, w->fd, &ev);
}

void sq_unwatch(struct sq *sq, struct sq_watch *w)
{
	if (w->fd >= 0)
		(void)epoll_ctl(sq->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	w->fd = -1;
}

/* One at a time: a handler may take away any other watch, and none of those may be in our hands. */
void sq_watch_serve(struct sq *sq)
{
	for (int i = 0; i < EVENTS_A_TURN; i++) {
		struct epoll_event ev;
		struct sq_watch *w;

		if (epoll_wait(sq->epoll, &ev, 1, 0) <= 0)
			return;
		w = ev.data.ptr;
		w->fn(w->arg, ev.events);
	}
}
