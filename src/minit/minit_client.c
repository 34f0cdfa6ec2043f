#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "fdpass.h"
#include "minit_client.h"

static int not_ready(struct qt_err *e, int sys, const char *what)
{
	(void)qt_fail(e, QT_E_EXEC_NOT_READY, "the container's init %s", what);
	if (e->sys == 0)
		e->sys = sys;
	return -1;
}

static int wait_for(int fd, short events, int64_t deadline, struct qt_err *e)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = events};
		int n = poll(&p, 1, qt_left_ms(deadline));

		if (n > 0)
			return 1;
		if (n == 0)
			return 0;
		if (errno != EINTR)
			return qt_fail_sys(e, errno, "poll");
	}
}

static int send_msg(int fd, const void *data, size_t len, const int *fds, unsigned n_fds, int64_t deadline, struct qt_err *e)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * 3)];
	} c = {0};
	struct iovec iov = {(void *)data, len};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds > 0) {
		h.msg_control = c.buf;
		h.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c.align.cmsg_level = SOL_SOCKET;
		c.align.cmsg_type = SCM_RIGHTS;
		c.align.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(&c.align), fds, sizeof(int) * n_fds);
	}
	for (;;) {
		ssize_t n = sendmsg(fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return not_ready(e, errno, "is gone");
		n = wait_for(fd, POLLOUT, deadline, e);
		if (n < 0)
			return -1;
		if (n == 0)
			return not_ready(e, ETIMEDOUT, "does not answer");
	}
}

/* An answer that is expected: what may follow its head, and how many descriptors. */
struct expect {
	uint32_t more_kind; /* of this kind, MORE_LEN bytes follow */
	void *more;
	size_t more_len;
	int *fds; /* MAX_FDS at most, the caller's; N_FDS came */
	unsigned max_fds, n_fds;
};

static void drop_fds(struct expect *x)
{
	while (x->n_fds > 0) {
		(void)close(x->fds[--x->n_fds]);
		x->fds[x->n_fds] = -1;
	}
}

/* One message, as it is; its length, or -1 with errno. Without room for descriptors none can come. */
static ssize_t take_msg(int fd, void *buf, size_t size, struct expect *x)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * 2)];
	} c;
	struct iovec iov = {buf, size};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	const struct cmsghdr *cm;
	ssize_t n;

	if (x->max_fds > 0) {
		h.msg_control = c.buf;
		/* Not CMSG_SPACE(): the kernel would fill the padding of an odd number with one more. */
		h.msg_controllen = CMSG_LEN(sizeof(int) * x->max_fds);
	}
	n = recvmsg(fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	cm = n >= 0 && x->max_fds > 0 ? CMSG_FIRSTHDR(&h) : NULL;
	if (cm && cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_RIGHTS) {
		x->n_fds = (unsigned)((cm->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(x->fds, CMSG_DATA(cm), sizeof(int) * x->n_fds); /* no more than there was room for */
	}
	if (n >= 0 && (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		drop_fds(x);
		return 0;
	}
	return n;
}

/* 1; 0: nothing until DEADLINE; -1 without a code in E: the end, or not an answer. */
static int recv_msg(int fd, struct mi_msg *ret, struct expect *x, int64_t deadline, struct qt_err *e)
{
	char buf[sizeof(*ret) + sizeof(struct mi_kept)];

	for (;;) {
		ssize_t n = take_msg(fd, buf, sizeof(buf), x);
		int got;

		if (n >= 0) {
			size_t want = sizeof(*ret);
			bool ok = (size_t)n >= want;

			if (ok) {
				memcpy(ret, buf, sizeof(*ret));
				if (ret->kind == x->more_kind)
					want += x->more_len;
				ok = ret->magic == MI_MAGIC && (size_t)n == want;
			}
			if (!ok) {
				drop_fds(x);
				return -1;
			}
			if (ret->kind == x->more_kind && x->more_len > 0)
				memcpy(x->more, buf + sizeof(*ret), x->more_len);
			return 1;
		}
		if (errno == EINTR)
			continue;
		/* minit closed with a request of ours unread: its last answer is still there, behind the error. */
		if (errno == ECONNRESET)
			continue;
		if (errno != EAGAIN)
			return -1;
		got = wait_for(fd, POLLIN, deadline, e);
		if (got <= 0)
			return got;
	}
}

/* The answer to what was just sent, in time. */
static int answer_of(int fd, struct mi_msg *ret, struct expect *x, int64_t deadline, struct qt_err *e)
{
	int n = recv_msg(fd, ret, x, deadline, e);

	if (n == 0)
		return not_ready(e, ETIMEDOUT, "does not answer");
	if (n < 0)
		return not_ready(e, EPROTO, "is gone");
	if (ret->kind != MI_ERROR)
		return 0;
	drop_fds(x);
	return not_ready(e, (int)ret->arg2, "refused the request");
}

static int broke(struct expect *x, struct qt_err *e)
{
	drop_fds(x);
	return not_ready(e, EPROTO, "broke the protocol");
}

int mi_ping(int fd, struct mi_pong *ret, int budget_ms, struct qt_err *e)
{
	struct mi_msg m = {.magic = MI_MAGIC, .kind = MI_PING};
	int64_t deadline = qt_mono_ms() + budget_ms;
	struct mi_pong pong;
	struct expect x = {.more_kind = MI_PONG, .more = &pong, .more_len = sizeof(pong)};

	if (send_msg(fd, &m, sizeof(m), NULL, 0, deadline, e) < 0 || answer_of(fd, &m, &x, deadline, e) < 0)
		return -1;
	if (m.kind != MI_PONG)
		return broke(&x, e);
	*ret = pong;
	return 0;
}

int mi_stop(int fd, struct qt_err *e)
{
	struct mi_msg m = {.magic = MI_MAGIC, .kind = MI_STOP};

	return send_msg(fd, &m, sizeof(m), NULL, 0, 0, e);
}

int mi_signal(int fd, int sig, struct qt_err *e)
{
	struct mi_msg m = {.magic = MI_MAGIC, .kind = MI_SIGNAL, .arg = (uint32_t)sig};

	return send_msg(fd, &m, sizeof(m), NULL, 0, qt_mono_ms() + 1000, e);
}

/* A pipe belongs to whoever made it, whom nobody inside can be: by mode alone can it be opened again there, as /dev/stdout. Only who
 * has the descriptor gets at it anyway. */
static int open_pipes(const int *fds, unsigned n, struct qt_err *e)
{
	for (unsigned i = 0; i < n; i++) {
		struct stat st;

		if (fstat(fds[i], &st) < 0 || (S_ISFIFO(st.st_mode) && st.st_nlink <= 1 && (st.st_mode & 0666) != 0666 && fchmod(fds[i], 0666) < 0))
			return qt_fail_sys(e, errno, "prepare the pipes of an exec");
	}
	return 0;
}

static char *put(char *at, const void *data, size_t len)
{
	if (len > 0)
		memcpy(at, data, len);
	return at + len;
}

/* The request, sent; its descriptors are N_FDS. */
static int send_exec(int fd, const struct mi_exec *x, int64_t deadline, struct qt_err *e)
{
	struct mi_msg m = {.magic = MI_MAGIC, .kind = MI_EXEC, .argv_len = x->argv.len, .env_len = x->env.len, .flags = x->flags, .uid = x->uid, .gid = x->gid};
	unsigned n_fds = x->flags & MI_EXEC_TTY ? 0 : x->flags & MI_EXEC_KEEP ? 1 : 3;
	size_t cwd_len = x->cwd ? strlen(x->cwd) + 1 : 0, key_len = x->key ? strlen(x->key) + 1 : 0, len;
	auto_free char *buf = NULL;
	char *p;

	len = sizeof(m) + x->argv.len + x->env.len + cwd_len + key_len;
	if (x->argv.len > MI_MSG_MAX || x->env.len > MI_MSG_MAX || len > MI_MSG_MAX)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "command and environment together are too long");
	if (cwd_len > MI_CWD_MAX || (x->cwd && x->cwd[0] != '/'))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "the working directory must be an absolute path of at most %u bytes", MI_CWD_MAX - 1);
	if (open_pipes(x->fds, n_fds, e) < 0)
		return -1;
	buf = malloc(len);
	if (!buf)
		return qt_fail_sys(e, ENOMEM, "exec");
	m.cwd_len = (uint32_t)cwd_len;
	m.key_len = (uint32_t)key_len;
	m.arg = x->time_ms;
	m.arg2 = (uint32_t)x->rows << 16 | x->cols;
	p = put(buf, &m, sizeof(m));
	p = put(p, x->argv.s, x->argv.len);
	p = put(p, x->env.s, x->env.len);
	p = put(p, x->cwd, cwd_len);
	(void)put(p, x->key, key_len);
	return send_msg(fd, buf, len, x->fds, n_fds, deadline, e);
}

int mi_exec_start_tty(int fd, const struct mi_exec *x, int budget_ms, pid_t *ret_pid, int *ret_master, struct mi_failed *failed,
		      struct qt_err *e)
{
	int64_t deadline = qt_mono_ms() + budget_ms;
	bool tty = x->flags & MI_EXEC_TTY, started;
	struct expect want = {.fds = ret_master, .max_fds = tty ? 1 : 0};
	struct mi_msg m;

	if (tty)
		*ret_master = -1;
	if (send_exec(fd, x, deadline, e) < 0 || answer_of(fd, &m, &want, deadline, e) < 0)
		return -1;
	started = m.kind == MI_STARTED && m.arg > 1 && m.arg <= INT32_MAX;
	if (!started && !(m.kind == MI_FAILED && m.arg > MI_STEP_NONE && m.arg <= MI_STEP_FORK))
		return broke(&want, e);
	if (want.n_fds != (started && tty ? 1U : 0U))
		return broke(&want, e);
	*ret_pid = started ? (pid_t)m.arg : 0;
	*failed = started ? (struct mi_failed){0} : (struct mi_failed){m.arg, (int)m.arg2, m.flags};
	return 0;
}

int mi_exec_start(int fd, const struct mi_exec *x, int budget_ms, pid_t *ret_pid, struct mi_failed *failed, struct qt_err *e)
{
	return mi_exec_start_tty(fd, x, budget_ms, ret_pid, NULL, failed, e);
}

/* A request with a key, and its answer. */
static int ask(int fd, uint32_t kind, const char *key, int budget_ms, struct mi_msg *ret, struct expect *x, struct qt_err *e)
{
	struct mi_msg m = {.magic = MI_MAGIC, .kind = kind, .key_len = (uint32_t)strlen(key) + 1};
	int64_t deadline = qt_mono_ms() + budget_ms;
	char buf[sizeof(m) + MI_KEY_MAX];

	if (m.key_len > MI_KEY_MAX)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the key of a kept exec is too long");
	memcpy(buf, &m, sizeof(m));
	memcpy(buf + sizeof(m), key, m.key_len);
	if (send_msg(fd, buf, sizeof(m) + m.key_len, NULL, 0, deadline, e) < 0)
		return -1;
	return answer_of(fd, ret, x, deadline, e);
}

int mi_attach(int fd, const char *key, int budget_ms, struct mi_kept *ret, int ret_fds[2], struct qt_err *e)
{
	struct mi_kept kept;
	struct expect x = {.more_kind = MI_KEPT, .more = &kept, .more_len = sizeof(kept), .fds = ret_fds, .max_fds = 2};
	struct mi_msg m;

	ret_fds[0] = ret_fds[1] = -1;
	if (ask(fd, MI_ATTACH, key, budget_ms, &m, &x, e) < 0)
		return -1;
	if (m.kind == MI_FAILED && x.n_fds == 0)
		return 0;
	if (m.kind != MI_KEPT || (x.n_fds != 2 && !(kept.tty && x.n_fds == 1)) || kept.ended > 1 || kept.exit_code < 0 || kept.exit_code > 255)
		return broke(&x, e);
	*ret = kept;
	return 1;
}

int mi_forget(int fd, const char *key, int budget_ms, struct qt_err *e)
{
	int64_t deadline = qt_mono_ms() + budget_ms;
	struct expect x = {0};
	struct mi_msg m;

	if (ask(fd, MI_FORGET, key, budget_ms, &m, &x, e) < 0)
		return -1;
	/* This connection may be about the very one that is forgotten. */
	if (m.kind == MI_EXITED && answer_of(fd, &m, &x, deadline, e) < 0)
		return -1;
	return m.kind == MI_GONE ? 0 : broke(&x, e);
}

int mi_saved(int fd, uint32_t n_ended, int budget_ms, struct qt_err *e)
{
	struct mi_msg m = {.magic = MI_MAGIC, .kind = MI_SAVED, .arg = n_ended};
	int64_t deadline = qt_mono_ms() + budget_ms;
	struct expect x = {0};

	if (send_msg(fd, &m, sizeof(m), NULL, 0, deadline, e) < 0 || answer_of(fd, &m, &x, deadline, e) < 0)
		return -1;
	return m.kind == MI_GONE ? 0 : broke(&x, e);
}

/* What came is a process's word: anything but a connected stream socket could block whoever reads from it. */
static bool is_connection(int fd)
{
	int domain = -1, type = -1;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

int mi_dial(int fd, const char *path, int budget_ms, int *ret, struct qt_err *e)
{
	struct mi_msg m = {.magic = MI_MAGIC, .kind = MI_DIAL, .cwd_len = (uint32_t)strlen(path) + 1};
	int64_t deadline = qt_mono_ms() + budget_ms;
	char buf[sizeof(m) + MI_DIAL_MAX];
	struct expect x = {.fds = ret, .max_fds = 1};

	*ret = -1;
	if (m.cwd_len > MI_DIAL_MAX)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the path of a socket is too long");
	memcpy(buf, &m, sizeof(m));
	memcpy(buf + sizeof(m), path, m.cwd_len);
	if (send_msg(fd, buf, sizeof(m) + m.cwd_len, NULL, 0, deadline, e) < 0 || answer_of(fd, &m, &x, deadline, e) < 0)
		return -1;
	if (m.kind == MI_FAILED && x.n_fds == 0)
		return 0;
	if (m.kind != MI_DIALED || x.n_fds != 1 || !is_connection(*ret))
		return broke(&x, e);
	return 1;
}

enum mi_answer mi_failed_answer(const struct mi_failed *f, const struct mi_exec *x, int *ret_exit_code, char *text, size_t size)
{
	const char *name = x->argv.s, *cwd = x->cwd ? x->cwd : "the working directory";
	const char *why = f->sys > 0 && f->sys < 4096 ? strerrordesc_np(f->sys) : NULL;

	if (!why)
		why = "Unknown error";
	*ret_exit_code = -1;
	switch (f->step) {
	case MI_STEP_EXEC:
		*ret_exit_code = f->sys == ENOENT ? 127 : 126;
		if (f->sys == ENOENT)
			why = strchr(name, '/') ? "No such file or directory" : "command not found";
		(void)snprintf(text, size, "%.200s: %s", name, why);
		return MI_ANSWER_EXIT;
	case MI_STEP_CWD:
		(void)snprintf(text, size, "%.200s: %s", cwd, why);
		return MI_ANSWER_CWD;
	case MI_STEP_FORK:
		(void)snprintf(text, size, f->sys == ESHUTDOWN ? "the container is stopping" : "no room for another process in the container: %s", why);
		return f->sys == ESHUTDOWN ? MI_ANSWER_GONE : f->sys == EAGAIN || f->sys == ENOMEM ? MI_ANSWER_BUSY : MI_ANSWER_BROKEN;
	case MI_STEP_USER:
		(void)snprintf(text, size, "cannot become the user: %s", why);
		return MI_ANSWER_BROKEN;
	default:
		(void)snprintf(text, size, "cannot start the process: %s", why);
		return MI_ANSWER_BROKEN;
	}
}

int mi_exec_wait(int fd, int64_t deadline, int *ret_code, int *ret_signal, struct qt_err *e)
{
	struct expect x = {0};
	struct mi_msg m;
	int n = recv_msg(fd, &m, &x, deadline, e);

	if (n == 0)
		return 0;
	if (n < 0 || m.kind != MI_EXITED || m.arg > 255 || m.arg2 > 64)
		return qt_fail(e, QT_E_UNAVAILABLE, "the container ended while the command ran");
	*ret_code = (int)m.arg;
	*ret_signal = (int)m.arg2;
	return 1;
}
