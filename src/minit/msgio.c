#include "msgio.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

bool mi_send(int fd, const struct mi_msg *m, const void *more, size_t len, const int *fds, unsigned n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * 2)];
	} c = {0};
	struct iovec iov[2] = {{(void *)m, sizeof(*m)}, {(void *)more, len}};
	struct msghdr h = {.msg_iov = iov, .msg_iovlen = len > 0 ? 2 : 1};
	ssize_t n;

	if (n_fds > 0) {
		h.msg_control = c.buf;
		h.msg_controllen = (socklen_t)CMSG_SPACE(sizeof(int) * n_fds);
		c.align.cmsg_level = SOL_SOCKET;
		c.align.cmsg_type = SCM_RIGHTS;
		c.align.cmsg_len = (socklen_t)CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(&c.align), fds, sizeof(int) * n_fds);
	}
	do
		n = sendmsg(fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n >= 0;
}

size_t mi_receive(int fd, void *buf, size_t size, int fds[MI_FDS_ROOM], unsigned *n)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * MI_FDS_ROOM)];
	} c;
	struct iovec iov = {buf, size};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.buf, .msg_controllen = sizeof(c.buf)};
	ssize_t got = recvmsg(fd, &h, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct cmsghdr *cm = got > 0 ? CMSG_FIRSTHDR(&h) : NULL;

	*n = 0;
	if (cm && cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_RIGHTS) {
		*n = (unsigned)((cm->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		if (*n > MI_FDS_ROOM)
			*n = MI_FDS_ROOM;
		memcpy(fds, CMSG_DATA(cm), sizeof(int) * *n);
	}
	return got > 0 && !(h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ? (size_t)got : 0;
}
