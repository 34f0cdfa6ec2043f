#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

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

static int send_msg(int fd, const void *data, size_t len, const int fds[3], int64_t deadline, struct qt_err *e)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * 3)];
	} c = {0};
	struct iovec iov = {(void *)data, len};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fds) {
		struct cmsghdr *cm = (struct cmsghdr *)(void *)c.buf;

		h.msg_control = c.buf;
		h.msg_controllen = sizeof(c.buf);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int) * 3);
		memcpy(CMSG_DATA(cm), fds, sizeof(int) * 3);
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

/* An answer, with MORE_LEN bytes behind it if its kind is MORE_KIND. 1; 0: nothing until DEADLINE; -1 without a code in E: the end, or not
 * an answer. */
static int recv_msg(int fd, struct mi_msg *ret, uint32_t more_kind, void *more, size_t more_len, int64_t deadline, struct qt_err *e)
{
	char buf[sizeof(*ret) + sizeof(struct mi_pong)];
	struct iovec iov = {buf, sizeof(buf)};

	for (;;) {
		/* Without room for descriptors none can come. */
		struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
		ssize_t n = recvmsg(fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		int got;

		if (n >= 0) {
			size_t want = sizeof(*ret);

			if ((size_t)n < want || (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
				return -1;
			memcpy(ret, buf, sizeof(*ret));
			if (ret->kind == more_kind)
				want += more_len;
			if (ret->magic != MI_MAGIC || (size_t)n != want)
				return -1;
			if (ret->kind == more_kind && more_len > 0)
				memcpy(more, buf + sizeof(*ret), more_len);
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

int mi_ping(int fd, struct mi_pong *ret, int budget_ms, struct qt_err *e)
{
	struct mi_msg m = {.magic = MI_MAGIC, .kind = MI_PING};
	int64_t deadline = qt_mono_ms() + budget_ms;
	struct mi_pong pong;
	int n;

	if (send_msg(fd, &m, sizeof(m), NULL, deadline, e) < 0)
		return -1;
	n = recv_msg(fd, &m, MI_PONG, &pong, sizeof(pong), deadline, e);
	if (n == 0)
		return not_ready(e, ETIMEDOUT, "does not answer");
	if (n < 0 || m.kind != MI_PONG)
		return not_ready(e, EPROTO, "is gone");
	*ret = pong;
	return 0;
}

int mi_stop(int fd, struct qt_err *e)
{
	struct mi_msg m = {.magic = MI_MAGIC, .kind = MI_STOP};

	return send_msg(fd, &m, sizeof(m), NULL, 0, e);
}

int mi_signal(int fd, int sig, struct qt_err *e)
{
	struct mi_msg m = {.magic = MI_MAGIC, .kind = MI_SIGNAL, .arg = (uint32_t)sig};

	return send_msg(fd, &m, sizeof(m), NULL, qt_mono_ms() + 1000, e);
}

/* A pipe belongs to whoever made it, whom nobody inside can be: by mode alone can it be opened again there, as /dev/stdout. Only who
 * has the descriptor gets at it anyway. */
static int open_pipes(const int fds[3], struct qt_err *e)
{
	for (int i = 0; i < 3; i++) {
		struct stat st;

		if (fstat(fds[i], &st) < 0 || (S_ISFIFO(st.st_mode) && st.st_nlink <= 1 && (st.st_mode & 0666) != 0666 && fchmod(fds[i], 0666) < 0))
			return qt_fail_sys(e, errno, "prepare the pipes of an exec");
	}
	return 0;
}

int mi_exec_start(int fd, const struct mi_exec *x, int budget_ms, pid_t *ret_pid, struct mi_failed *failed, struct qt_err *e)
{
	struct mi_msg m = {.magic = MI_MAGIC, .kind = MI_EXEC, .argv_len = x->argv.len, .env_len = x->env.len, .flags = x->flags, .uid = x->uid, .gid = x->gid};
	int64_t deadline = qt_mono_ms() + budget_ms;
	size_t cwd_len = x->cwd ? strlen(x->cwd) + 1 : 0, len;
	auto_free char *buf = NULL;
	int n;

	len = sizeof(m) + x->argv.len + x->env.len + cwd_len;
	if (x->argv.len > MI_MSG_MAX || x->env.len > MI_MSG_MAX || len > MI_MSG_MAX)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "command and environment together are too long");
	if (cwd_len > MI_CWD_MAX || (x->cwd && x->cwd[0] != '/'))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "the working directory must be an absolute path of at most %u bytes", MI_CWD_MAX - 1);
	if (open_pipes(x->fds, e) < 0)
		return -1;
	buf = malloc(len);
	if (!buf)
		return qt_fail_sys(e, ENOMEM, "exec");
	m.cwd_len = (uint32_t)cwd_len;
	memcpy(buf, &m, sizeof(m));
	if (x->argv.len > 0)
		memcpy(buf + sizeof(m), x->argv.s, x->argv.len);
	if (x->env.len > 0)
		memcpy(buf + sizeof(m) + x->argv.len, x->env.s, x->env.len);
	if (cwd_len > 0)
		memcpy(buf + sizeof(m) + x->argv.len + x->env.len, x->cwd, cwd_len);
	if (send_msg(fd, buf, len, x->fds, deadline, e) < 0)
		return -1;
	n = recv_msg(fd, &m, 0, NULL, 0, deadline, e);
	if (n == 0)
		return not_ready(e, ETIMEDOUT, "does not answer");
	if (n < 0)
		return not_ready(e, EPROTO, "is gone");
	if (m.kind == MI_ERROR)
		return not_ready(e, (int)m.arg2, "refused the request");
	if (!(m.kind == MI_STARTED && m.arg > 1 && m.arg <= INT32_MAX) && !(m.kind == MI_FAILED && m.arg > MI_STEP_NONE && m.arg <= MI_STEP_FORK))
		return not_ready(e, EPROTO, "broke the protocol");
	*ret_pid = m.kind == MI_STARTED ? (pid_t)m.arg : 0;
	*failed = m.kind == MI_STARTED ? (struct mi_failed){0} : (struct mi_failed){m.arg, (int)m.arg2};
	return 0;
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
	struct mi_msg m;
	int n = recv_msg(fd, &m, 0, NULL, 0, deadline, e);

	if (n == 0)
		return 0;
	if (n < 0 || m.kind != MI_EXITED || m.arg > 255 || m.arg2 > 64)
		return qt_fail(e, QT_E_UNAVAILABLE, "the container ended while the command ran");
	*ret_code = (int)m.arg;
	*ret_signal = (int)m.arg2;
	return 1;
}
