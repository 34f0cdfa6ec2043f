#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "fdpass.h"

int qt_send_fds(int sock, const void *data, size_t len, const int *fds, size_t n, struct qt_err *e)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * QT_FDS_MAX)];
	} c = {0};
	struct iovec iov = {(void *)data, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t sent;

	if (n > QT_FDS_MAX)
		return qt_fail_sys(e, EINVAL, "send descriptors");
	if (n > 0) {
		struct cmsghdr *h;

		msg.msg_control = c.buf;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		h = CMSG_FIRSTHDR(&msg);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(h), fds, sizeof(int) * n);
	}
	do
		sent = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return qt_fail_sys(e, errno, "send a message");
	if ((size_t)sent != len)
		return qt_fail_sys(e, EMSGSIZE, "send a message");
	return 0;
}

ssize_t qt_recv_fds(int sock, void *buf, size_t size, int *fds, size_t *n, struct qt_err *e)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * QT_FDS_MAX)];
	} c;
	struct iovec iov = {buf, size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.buf, .msg_controllen = sizeof(c.buf)};
	ssize_t got;

	*n = 0;
	do
		got = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return qt_fail_sys(e, errno, "receive a message");
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&msg); h; h = CMSG_NXTHDR(&msg, h)) {
		size_t count;

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(fd));
			if (*n < QT_FDS_MAX)
				fds[(*n)++] = fd;
			else
				qt_close(fd);
		}
	}
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		while (*n > 0)
			qt_close(fds[--*n]);
		return qt_fail_sys(e, EMSGSIZE, "receive a message");
	}
	return got;
}
