#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "cleanup.h"
#include "client.h"
#include "clock.h"
#include "fdpass.h"
#include "msg.h"
#include "str.h"

int rt_client_init(struct rt_client *c, const char *path, struct qt_err *e)
{
	memset(c, 0, sizeof(*c));
	c->fd = -1;
	if (!qt_copy(c->path, sizeof(c->path), path))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the runtime's socket has too long a name");
	c->buf = malloc(RT_MSG_MAX);
	return c->buf ? 0 : qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
}

void rt_client_done(struct rt_client *c)
{
	qt_reset_fd(&c->fd, -1);
	free(qt_take(&c->buf));
}

static int away(struct qt_err *e, int sys, const char *what)
{
	(void)qt_fail(e, QT_E_RUNTIME_UNAVAILABLE, "the runtime: %s: %s", what, strerror(sys));
	e->sys = sys;
	return -1;
}

/* One message of at most OP's shape, and its answer, on a connected socket. */
static int exchange(struct rt_client *c, enum rt_op op, const void *req, const int *fds_in, void *rep, int *fds_out,
		    int64_t deadline, struct qt_err *e)
{
	const struct rt_op_shape *shape = &rt_shapes[op];
	struct rt_head head = {.magic = RT_MAGIC, .op = (uint16_t)op, .serial = ++c->serial};
	int fds[QT_FDS_MAX], len = rt_encode(c->buf, RT_MSG_MAX, &head, shape->req, shape->n_req, req, e);
	struct qt_err io = {0};
	size_t n_fds = 0;
	ssize_t got;

	if (len < 0)
		return -1;
	if (qt_send_fds(c->fd, c->buf, (size_t)len, fds_in, shape->fds_in, &io) < 0)
		return away(e, io.sys, "send");
	for (;;) {
		struct pollfd p = {.fd = c->fd, .events = POLLIN};
		int r = poll(&p, 1, qt_left_ms(deadline));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return away(e, errno, "poll");
		if (r == 0)
			return qt_fail(e, QT_E_TIMEOUT, "the runtime did not answer %s in time", shape->name);
		break;
	}
	got = qt_recv_fds(c->fd, c->buf, RT_MSG_MAX, fds, &n_fds, &io);
	if (got <= 0)
		return away(e, got < 0 ? io.sys : ECONNRESET, "receive");
	if (rt_decode_head(&head, c->buf, (size_t)got, &io) < 0 || head.serial != c->serial || head.op != op)
		goto broken;
	if (head.code != QT_OK) {
		while (n_fds > 0)
			qt_close(fds[--n_fds]);
		rt_decode_error(e, &head, c->buf, (size_t)got);
		return -2; /* the connection is well */
	}
	if (n_fds != shape->fds_out ||
	    rt_decode(rep, shape->rep_size, shape->rep, shape->n_rep, c->buf, (size_t)got, &io) < 0)
		goto broken;
	for (size_t i = 0; i < n_fds; i++)
		fds_out[i] = fds[i];
	return 0;
broken:
	while (n_fds > 0)
		qt_close(fds[--n_fds]);
	return away(e, EPROTO, "receive");
}

static int ensure(struct rt_client *c, int64_t deadline, struct qt_err *e)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct rt_hello_req hello = {.protocol = RT_PROTOCOL};
	struct rt_hello_rep rep;

	if (c->fd >= 0)
		return 0;
	memcpy(a.sun_path, c->path, sizeof(c->path));
	c->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return qt_fail_sys(e, errno, "socket");
	if (connect(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return away(e, errno, "connect");
	return exchange(c, RT_HELLO, &hello, NULL, &rep, NULL, deadline, e) == 0 ? 0 : -1;
}

int rt_call(struct rt_client *c, enum rt_op op, const void *req, const int *fds_in, void *rep, int *fds_out,
	    int budget_ms, struct qt_err *e)
{
	int64_t deadline = qt_mono_ms() + budget_ms;
	int r;

	c->unsent = true;
	if (c->fd >= 0) {
		/* A runtime that was restarted has closed its end: see that before the request is sent, when it is
		 * still safe to ask the new one. */
		struct pollfd p = {.fd = c->fd, .events = POLLIN};

		if (poll(&p, 1, 0) != 0)
			qt_reset_fd(&c->fd, -1);
	}
	if (ensure(c, deadline, e) < 0) {
		qt_reset_fd(&c->fd, -1);
		return -1;
	}
	c->unsent = false;
	r = exchange(c, op, req, fds_in, rep, fds_out, deadline, e);
	if (r == -1)
		qt_reset_fd(&c->fd, -1);
	return r == 0 ? 0 : -1;
}
