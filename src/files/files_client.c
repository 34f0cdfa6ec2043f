#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "clock.h"
#include "fdpass.h"
#include "files_client.h"
#include "str.h"

#define OPEN_BUDGET_MS 5000

/* Both ends of the conversation: *THEIRS is for the runtime. */
static int begin(struct qt_files *f, int *ours, int *theirs, struct qt_err *e)
{
	int p[2];

	*f = (struct qt_files){.sock = -1};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p) < 0)
		return qt_fail_sys(e, errno, "make a socket");
	*ours = p[0];
	*theirs = p[1];
	f->buf = malloc(RT_MSG_MAX);
	return f->buf ? 0 : qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
}

static int open_files(struct qt_files *f, struct rt_client *rt, const struct qt_id *id, bool build, struct qt_err *e)
{
	const struct rt_files_req req = {.id = *id, .build = build};
	auto_close int ours = -1, theirs = -1;
	struct rt_files_rep rep;

	if (begin(f, &ours, &theirs, e) < 0 || rt_call(rt, RT_FILES, &req, &theirs, &rep, NULL, OPEN_BUDGET_MS, e) < 0)
		return -1;
	f->sock = qt_take_fd(&ours);
	return 0;
}

int qt_files_open(struct qt_files *f, struct rt_client *rt, const struct qt_id *id, struct qt_err *e)
{
	return open_files(f, rt, id, false, e);
}

int qt_files_open_build(struct qt_files *f, struct rt_client *rt, const struct qt_id *id, struct qt_err *e)
{
	return open_files(f, rt, id, true, e);
}

int qt_files_open_layer(struct qt_files *f, struct rt_client *rt, const struct qt_id *image, const char *hex, bool *ret_there,
			char *ret_diff_id, struct qt_err *e)
{
	const struct rt_layer_begin_req req = {.id = *image, .digest = rt_str(hex)};
	auto_close int ours = -1, theirs = -1;
	struct rt_layer_begin_rep rep;

	if (begin(f, &ours, &theirs, e) < 0 || rt_call(rt, RT_LAYER_BEGIN, &req, &theirs, &rep, NULL, OPEN_BUDGET_MS, e) < 0)
		return -1;
	*ret_there = rep.there != 0;
	(void)qt_copy(ret_diff_id, FT_SHA256 + 1, rep.diff_id.s);
	f->sock = qt_take_fd(&ours);
	return 0;
}

void qt_files_done(struct qt_files *f)
{
	qt_reset_fd(&f->sock, -1);
	free(qt_take(&f->buf));
}

static int gone(struct qt_files *f, struct qt_err *e, const char *what)
{
	qt_reset_fd(&f->sock, -1);
	return qt_fail(e, QT_E_RUNTIME_UNAVAILABLE, "the process at work on the files: %s", what);
}

/* One message within the time. Its length. Descriptors never come. */
static ssize_t receive(struct qt_files *f, int64_t deadline, struct qt_err *e)
{
	struct pollfd p = {.fd = f->sock, .events = POLLIN};
	int fds[QT_FDS_MAX], r;
	struct qt_err io = {0};
	size_t n = 0;
	ssize_t len;

	do
		r = poll(&p, 1, qt_left_ms(deadline));
	while (r < 0 && errno == EINTR);
	if (r == 0) {
		qt_reset_fd(&f->sock, -1);
		return qt_fail(e, QT_E_TIMEOUT, "the work on the files took too long");
	}
	len = r < 0 ? -1 : qt_recv_fds(f->sock, f->buf, RT_MSG_MAX, fds, &n, &io);
	while (n > 0)
		qt_close(fds[--n]);
	return len > 0 ? len : gone(f, e, "it ended");
}

int qt_files_call(struct qt_files *f, enum ft_op op, const void *req, int fd, void *rep, size_t rep_size, bool (*progress)(void *arg, unsigned percent),
		  void *arg, int budget_ms, struct qt_err *e)
{
	const struct ft_shape *shape = &ft_shapes[op], *news = &ft_shapes[FT_PROGRESS];
	const struct rt_head head = {.magic = RT_MAGIC, .op = (uint16_t)op, .serial = ++f->serial};
	int64_t deadline = qt_mono_ms() + budget_ms;
	struct qt_err bad = {0};
	struct rt_head h;
	int len;

	if (f->sock < 0)
		return gone(f, e, "it ended");
	len = rt_encode(f->buf, RT_MSG_MAX, &head, shape->req, shape->n_req, req, e);
	if (len < 0)
		return -1;
	/* One that could not begin has said why, and is gone: that is read in any case. */
	(void)qt_send_fds(f->sock, f->buf, (size_t)len, &fd, shape->fds_in, &bad);
	qt_err_reset(&bad);
	for (;;) {
		struct ft_progress_rep p;
		ssize_t got = receive(f, deadline, e);

		if (got < 0)
			return -1;
		if (rt_decode_head(&h, f->buf, (size_t)got, &bad) < 0)
			return gone(f, e, "it broke the protocol");
		if (h.op == FT_NONE && h.code != QT_OK) {
			rt_decode_error(e, &h, f->buf, (size_t)got);
			qt_reset_fd(&f->sock, -1);
			return -1;
		}
		if (h.serial != head.serial)
			return gone(f, e, "it broke the protocol");
		if (h.op == FT_PROGRESS && rt_decode(&p, sizeof(p), news->rep, news->n_rep, f->buf, (size_t)got, &bad) == 0) {
			if (!progress || progress(arg, p.percent < 100 ? p.percent : 99))
				continue;
			qt_reset_fd(&f->sock, -1);
			return qt_fail(e, QT_E_CONFLICT, "the work was cancelled");
		}
		if (h.op != op)
			return gone(f, e, "it broke the protocol");
		if (h.code != QT_OK) {
			rt_decode_error(e, &h, f->buf, (size_t)got);
			return -1;
		}
		if (rt_decode(rep, rep_size, shape->rep, shape->n_rep, f->buf, (size_t)got, &bad) < 0)
			return gone(f, e, "it broke the protocol");
		return 0;
	}
}
