/* A command inside a container: the runtime makes a connection to the container's init, and everything else goes by that and by pipes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>

#include "buf.h"
#include "cleanup.h"
#include "clock.h"
#include "conns.h"
#include "fdio.h"
#include "inner.h"
#include "minit_client.h"
#include "strv.h"

#define CONNECT_BUDGET_MS 5000
#define START_BUDGET_MS	  20000 /* a container that uses up its share of the CPU takes its time */
#define TERM_GRACE_MS	  2000	/* between SIGTERM and SIGKILL of a command that ran out of time */
#define KILL_GRACE_MS	  5000	/* and then its end must be heard of */
#define LOOK_MS		  250	/* how often the client is looked after */
#define CHUNK		  65536

/* One output of the command: the first MAX bytes are kept. */
struct sink {
	int fd; /* -1 at its end */
	struct qt_buf kept;
	bool cut;
};

struct talk {
	int conn; /* to the init */
	int in;	  /* -1: all is written */
	const char *stdin_data;
	size_t stdin_left;
	struct sink out, err;
	char *chunk; /* CHUNK bytes */
};

static void talk_done(struct talk *t)
{
	qt_reset_fd(&t->conn, -1); /* the init kills the process if it still runs */
	qt_reset_fd(&t->in, -1);
	qt_reset_fd(&t->out.fd, -1);
	qt_reset_fd(&t->err.fd, -1);
	qt_buf_done(&t->out.kept);
	qt_buf_done(&t->err.kept);
	free(qt_take(&t->chunk));
}
#define auto_talk QT_AUTO(talk_done)

/* A pipe: *OURS does not block. */
static int make_pipe(int *ours, int *theirs, bool we_read, struct qt_err *e)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return qt_fail_sys(e, errno, "make a pipe for an exec");
	*ours = p[we_read ? 0 : 1];
	*theirs = p[we_read ? 1 : 0];
	return qt_set_nonblock(*ours, true, e);
}

/* Takes at most LIMIT bytes; how many there were, 0 at the end or if there are none now. */
static size_t take_some(struct sink *s, char *chunk, size_t limit)
{
	ssize_t n = read(s->fd, chunk, limit < CHUNK ? limit : CHUNK);
	size_t room = s->kept.max - s->kept.len;
	struct qt_err full = {0};

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) {
		qt_reset_fd(&s->fd, -1);
		return 0;
	}
	if ((size_t)n > room)
		s->cut = true;
	if (qt_buf_add(&s->kept, chunk, (size_t)n < room ? (size_t)n : room, &full) < 0)
		s->cut = true;
	return (size_t)n;
}

/* What was written until now, and not what grandchildren that still hold the pipe go on writing. */
static void drain(struct sink *s, char *chunk)
{
	int left = 0;
	size_t n = 1;

	if (s->fd < 0 || ioctl(s->fd, FIONREAD, &left) < 0)
		return;
	for (; left > 0 && n > 0 && s->fd >= 0; left -= (int)n)
		n = take_some(s, chunk, (size_t)left);
}

static void feed(struct talk *t)
{
	ssize_t n = write(t->in, t->stdin_data, t->stdin_left < CHUNK ? t->stdin_left : CHUNK);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0) {
		t->stdin_data += n;
		t->stdin_left -= (size_t)n;
	}
	/* A command that does not read its input to the end is not an error. */
	if (n <= 0 || t->stdin_left == 0)
		qt_reset_fd(&t->in, -1);
}

/* Until the process ended: its exit code is in RET. */
static int converse(struct talk *t, const struct qt_exec *x, bool (*gone)(void *arg), void *arg, struct qt_exec_result *ret,
		    struct qt_err *e)
{
	int64_t deadline = qt_mono_ms() + x->timeout_ms, look = qt_mono_ms() + LOOK_MS;
	int sig = SIGTERM;

	for (;;) {
		struct pollfd p[] = {{.fd = t->conn, .events = POLLIN},
				     {.fd = t->in, .events = POLLOUT},
				     {.fd = t->out.fd, .events = POLLIN},
				     {.fd = t->err.fd, .events = POLLIN}};
		int64_t next = gone && look < deadline ? look : deadline;
		int signal, r;

		if (poll(p, QT_LEN(p), qt_left_ms(next)) < 0 && errno != EINTR)
			return qt_fail_sys(e, errno, "poll");
		if (p[1].revents)
			feed(t);
		if (p[2].revents)
			(void)take_some(&t->out, t->chunk, CHUNK);
		if (p[3].revents)
			(void)take_some(&t->err, t->chunk, CHUNK);
		if (p[0].revents) {
			r = mi_exec_wait(t->conn, 0, &ret->exit_code, &signal, e);
			if (r != 0)
				return r < 0 ? -1 : 0;
		}
		if (gone && qt_left_ms(look) == 0) {
			if (gone(arg))
				return qt_fail(e, QT_E_UNAVAILABLE, "the client went away, and its command was ended");
			look = qt_mono_ms() + LOOK_MS;
		}
		if (qt_left_ms(deadline) > 0)
			continue;
		ret->timed_out = true;
		if (sig == 0) {
			/* It cannot even be killed now (frozen, or deep in the kernel). Closing the connection has it killed when it can. */
			ret->exit_code = 128 + SIGKILL;
			return 0;
		}
		if (mi_signal(t->conn, sig, e) < 0)
			return -1;
		deadline = qt_mono_ms() + (sig == SIGTERM ? TERM_GRACE_MS : KILL_GRACE_MS);
		sig = sig == SIGTERM ? SIGKILL : 0;
	}
}

/* The command could not be started: for the client that is mostly an exit code, as in a shell. */
int qt_exec_not_started(const struct mi_failed *f, const struct mi_exec *m, int *ret_exit_code, char **ret_text, struct qt_err *e)
{
	char text[512];

	switch (mi_failed_answer(f, m, ret_exit_code, text, sizeof(text) - 1)) {
	case MI_ANSWER_EXIT:
		(void)strcat(text, "\n");
		*ret_text = strdup(text);
		return *ret_text ? 0 : qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	case MI_ANSWER_CWD:
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/workdir", "a directory that exists in the container", "%s", text);
	case MI_ANSWER_BUSY:
		return qt_fail(e, QT_E_UNAVAILABLE, "%s", text);
	case MI_ANSWER_GONE:
		return qt_fail(e, QT_E_EXEC_NOT_READY, "%s", text);
	case MI_ANSWER_BROKEN:
		break;
	}
	e->sys = f->sys;
	return qt_fail(e, QT_E_INTERNAL_ERROR, "%s", text);
}

int qt_life_connect(struct qt_life *l, const struct qt_ctr *c, int *ret_fd, struct qt_err *e)
{
	struct rt_connect_req req = {.id = c->id};
	struct rt_connect_rep rep;

	return rt_call(&l->rt, RT_CONNECT, &req, NULL, &rep, ret_fd, CONNECT_BUDGET_MS, e);
}

static void keep(struct sink *s, char **text, size_t *len, bool *cut)
{
	*len = s->kept.len;
	*text = qt_take(&s->kept.data);
	*cut = s->cut;
}

void qt_exec_running_done(struct qt_exec_running *r)
{
	qt_reset_fd(&r->conn, -1); /* the init kills the process if it still runs */
	qt_reset_fd(&r->in, -1);
	qt_reset_fd(&r->out, -1);
	qt_reset_fd(&r->err, -1);
	free(qt_take(&r->text));
}

/* Into RET as far as it comes; its descriptors are released by the caller. RET->conn may be there already. */
static int open_exec(struct qt_life *l, const struct qt_ctr *c, const struct qt_exec *x, struct qt_exec_running *ret, struct qt_err *e)
{
	auto_free char *argv = malloc(QT_EXEC_BYTES), *env = malloc(QT_STRV_BYTES);
	auto_close int in = -1, out = -1, err = -1;
	struct mi_exec m = {.cwd = x->workdir, .uid = MI_ID_DEFAULT, .gid = MI_ID_DEFAULT};
	struct mi_failed failed;

	if (!argv || !env)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	if (qt_life_may(c, QT_V_EXEC, e) < 0 || qt_strv_words(&m.argv, argv, QT_EXEC_BYTES, x->command, e) < 0 ||
	    qt_strv_env(&m.env, env, c, x->environment, e) < 0 || (ret->conn < 0 && qt_life_connect(l, c, &ret->conn, e) < 0) ||
	    make_pipe(&ret->in, &in, false, e) < 0 || make_pipe(&ret->out, &out, true, e) < 0 || make_pipe(&ret->err, &err, true, e) < 0)
		return -1;
	m.fds[0] = in;
	m.fds[1] = out;
	m.fds[2] = err;
	if (mi_exec_start(ret->conn, &m, START_BUDGET_MS, &ret->pid, &failed, e) < 0)
		return -1;
	return failed.step == MI_STEP_NONE ? 0 : qt_exec_not_started(&failed, &m, &ret->exit_code, &ret->text, e);
}

/* By CONN, which it takes, or by a new one. */
static int open_by(struct qt_life *l, const struct qt_ctr *c, const struct qt_exec *x, int conn, struct qt_exec_running *ret, struct qt_err *e)
{
	struct qt_exec_running r = {.conn = conn, .in = -1, .out = -1, .err = -1};

	if (open_exec(l, c, x, &r, e) < 0) {
		qt_exec_running_done(&r);
		return -1;
	}
	*ret = r;
	return 0;
}

int qt_life_exec_open(struct qt_life *l, const struct qt_ctr *c, const struct qt_exec *x, struct qt_exec_running *ret, struct qt_err *e)
{
	return open_by(l, c, x, -1, ret, e);
}

/* The init did not take the request: it is gone, or one of before that takes one a connection. */
static bool was_not_taken(const struct qt_err *e)
{
	return e->code == QT_E_EXEC_NOT_READY && (e->sys == EPIPE || e->sys == ECONNRESET || e->sys == EBUSY);
}

/* By the connection of the last exec, if there is one. */
static int open_again(struct qt_life *l, const struct qt_ctr *c, const struct qt_exec *x, struct qt_exec_running *ret, struct qt_err *e)
{
	int conn = qt_conns_take(l->conns, &c->id);

	if (conn < 0)
		return open_by(l, c, x, -1, ret, e);
	if (open_by(l, c, x, conn, ret, e) == 0)
		return 0;
	if (!was_not_taken(e))
		return -1;
	qt_err_reset(e);
	return open_by(l, c, x, -1, ret, e);
}

int qt_life_exec(struct qt_life *l, const struct qt_ctr *c, const struct qt_exec *x, bool (*gone)(void *arg), void *arg,
		 struct qt_exec_result *ret, struct qt_err *e)
{
	size_t max = x->capture ? l->conf->exec_output_bytes : 0;
	auto_talk struct talk t = {.conn = -1, .in = -1, .out = {-1, QT_BUF(max), false}, .err = {-1, QT_BUF(max), false},
				   .stdin_data = x->stdin_data, .stdin_left = x->stdin_data ? x->stdin_len : 0};
	int64_t begin = qt_mono_ms();
	struct qt_exec_running r;

	memset(ret, 0, sizeof(*ret));
	ret->started_ms = qt_now_ms();
	t.chunk = malloc(CHUNK);
	if (!t.chunk)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	if (open_again(l, c, x, &r, e) < 0)
		return -1;
	if (r.pid == 0) {
		ret->took_ms = qt_mono_ms() - begin;
		ret->exit_code = r.exit_code;
		ret->err_len = strlen(r.text);
		ret->err = qt_take(&r.text);
		qt_exec_running_done(&r);
		return 0;
	}
	t.conn = r.conn;
	t.in = r.in;
	t.out.fd = r.out;
	t.err.fd = r.err;
	if (t.stdin_left == 0)
		qt_reset_fd(&t.in, -1);
	if (converse(&t, x, gone, arg, ret, e) < 0)
		return -1;
	if (!ret->timed_out)
		qt_conns_put(l->conns, &c->id, qt_take_fd(&t.conn));
	drain(&t.out, t.chunk);
	drain(&t.err, t.chunk);
	keep(&t.out, &ret->out, &ret->out_len, &ret->out_cut);
	keep(&t.err, &ret->err, &ret->err_len, &ret->err_cut);
	if (!x->capture)
		ret->out_cut = ret->err_cut = false;
	ret->took_ms = qt_mono_ms() - begin;
	return 0;
}

void qt_exec_result_done(struct qt_exec_result *r)
{
	free(qt_take(&r->out));
	free(qt_take(&r->err));
}
