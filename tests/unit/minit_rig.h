/* minit_rig.h - start the real quilt-minit as the runtime would, and look at it. For unit and privileged tests. */
#ifndef MINIT_RIG_H
#define MINIT_RIG_H

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "minit/logread.h"
#include "minit/minit_client.h"

#define PATIENCE_MS 60000
#define RSS_MAX_KB  128 /* about 84 here; what the kernel maps around a fault is its own affair */

struct rig {
	pid_t pid;
	int pidfd, listen_fd, log_fd[2], status_fd;
	struct sockaddr_un addr;
	socklen_t addr_len;
	struct mi_ready ready;
};

struct rig_options {
	unsigned long clone_flags; /* CLONE_NEWPID ... */
	uint32_t log_file_bytes, stop_signal;
	const char *cwd;
	const struct rig *logs_of; /* the log files of an earlier one */
};

/* "a b c": a list of texts, split at blanks; "\1" stands for a blank. */
static inline struct rt_strv words(char *buf, size_t size, const char *text)
{
	struct rt_strv v = {.s = buf};
	char *p = buf;

	assert_true(qt_copy(buf, size, text));
	if (!*text)
		return v;
	for (;; p++) {
		if (*p == ' ' || *p == '\0')
			v.n++;
		if (*p == '\0')
			break;
		if (*p == ' ')
			*p = '\0';
		else if (*p == '\1')
			*p = ' ';
	}
	v.len = (uint32_t)(p - buf) + 1;
	return v;
}

static inline int rig_memfd(void)
{
	int fd = memfd_create("rig", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static inline int rig_config(const char *argv, const struct rig_options *o)
{
	static char a[8192], e[8192];
	struct rt_strv av = words(a, sizeof(a), argv), ev = words(e, sizeof(e), "PATH=/usr/bin:/bin LC_ALL=C");
	const char *cwd = o->cwd ? o->cwd : "/";
	struct mi_config c = {
		.magic = MI_MAGIC, .version = MI_VERSION, .argv_len = av.len, .env_len = ev.len, .cwd_len = (uint32_t)strlen(cwd) + 1,
		.log_file_bytes = o->log_file_bytes ? o->log_file_bytes : 1U << 20, .umask = 027,
		.uid = o->clone_flags & CLONE_NEWUSER ? 0 : getuid(), .gid = o->clone_flags & CLONE_NEWUSER ? 0 : getgid(),
		.stop_signal = o->stop_signal ? o->stop_signal : SIGTERM,
	};
	int fd = rig_memfd();

	assert_int_equal(write(fd, &c, sizeof(c)), sizeof(c));
	assert_int_equal(write(fd, av.s, av.len), av.len);
	assert_int_equal(write(fd, ev.s, ev.len), ev.len);
	assert_int_equal(write(fd, cwd, c.cwd_len), c.cwd_len);
	return fd;
}

/* The program in a memfd, as the runtime hands it in: no path has to be reachable from inside. */
static inline int rig_program(void)
{
	auto_close int in = open(QT_TEST_MINIT, O_RDONLY | O_CLOEXEC);
	struct stat st;
	int fd = rig_memfd();

	assert_true(in >= 0);
	assert_int_equal(fstat(in, &st), 0);
	assert_int_equal(sendfile(fd, in, NULL, (size_t)st.st_size), st.st_size);
	return fd;
}

static inline void rig_exec(int program, const int fds[6], int go, uid_t uid_outside)
{
	static char *const argv[] = {"quilt-minit", NULL}, *const env[] = {NULL};
	int high[6], null = open("/dev/null", O_RDWR);
	sigset_t none;
	char c;

	if (read(go, &c, 1) != 1)
		_exit(99);
	/* In a new user namespace we are nobody yet. */
	if (geteuid() != uid_outside && (setresgid(0, 0, 0) < 0 || setgroups(0, NULL) < 0 || setresuid(0, 0, 0) < 0))
		_exit(97);
	/* A test that failed leaves nothing behind. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	program = fcntl(program, F_DUPFD_CLOEXEC, 100);
	for (int i = 0; i < 6; i++)
		high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 100);
	for (int i = 0; i < 6; i++)
		(void)dup2(high[i], 3 + i);
	for (int i = 0; i < 3; i++)
		(void)dup2(null, i);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)fexecve(program, argv, env);
	_exit(98);
}

static inline void rig_write(pid_t pid, const char *file, const char *text)
{
	char p[64];
	int fd;

	assert_true(qt_fmt(p, sizeof(p), "/proc/%d/%s", pid, file));
	fd = open(p, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	qt_close(fd);
}

/* ARGV as words(); "" none. */
static inline void rig_start(struct rig *r, const char *argv, const struct rig_options *opt)
{
	static const struct rig_options none;
	const struct rig_options *o = opt ? opt : &none;
	int ready[2], go[2], config = rig_config(argv, o), program = rig_program();
	uid_t uid = geteuid();
	struct pollfd p;

	*r = (struct rig){.addr.sun_family = AF_UNIX, .addr_len = sizeof(r->addr)};
	r->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(r->listen_fd, (struct sockaddr *)&r->addr, sizeof(sa_family_t)), 0);
	assert_int_equal(getsockname(r->listen_fd, (struct sockaddr *)&r->addr, &r->addr_len), 0);
	assert_int_equal(listen(r->listen_fd, 4096), 0);
	for (int i = 0; i < 2; i++)
		r->log_fd[i] = o->logs_of ? dup(o->logs_of->log_fd[i]) : rig_memfd();
	r->status_fd = rig_memfd();
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	r->pid = (pid_t)syscall(SYS_clone, SIGCHLD | o->clone_flags, NULL, NULL, NULL, 0);
	if (r->pid == 0)
		rig_exec(program, (const int[]){r->listen_fd, r->log_fd[0], r->log_fd[1], r->status_fd, config, ready[1]}, go[0], uid);
	assert_true(r->pid > 0);
	if (o->clone_flags & CLONE_NEWUSER) {
		rig_write(r->pid, "uid_map", "0 1000000 65536\n");
		rig_write(r->pid, "gid_map", "0 1000000 65536\n");
	}
	assert_int_equal(write(go[1], "g", 1), 1);
	r->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
	assert_true(r->pidfd >= 0);
	qt_close(go[0]);
	qt_close(go[1]);
	qt_close(ready[1]);
	qt_close(config);
	qt_close(program);
	p = (struct pollfd){.fd = ready[0], .events = POLLIN};
	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
	assert_int_equal(read(ready[0], &r->ready, sizeof(r->ready)), sizeof(r->ready));
	assert_int_equal(r->ready.magic, MI_MAGIC);
	qt_close(ready[0]);
}

static inline int rig_connect(const struct rig *r)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&r->addr, r->addr_len), 0);
	return fd;
}

static inline struct mi_pong rig_ping(const struct rig *r)
{
	auto_close int fd = rig_connect(r);
	struct qt_err e = {0};
	struct mi_pong p;

	assert_int_equal(mi_ping(fd, &p, PATIENCE_MS, &e), 0);
	assert_int_equal(p.version, MI_VERSION);
	return p;
}

/* Ask until the command is in that state: minit tells nobody by itself. */
static inline struct mi_pong rig_until(const struct rig *r, uint32_t state)
{
	int64_t deadline = qt_mono_ms() + PATIENCE_MS;
	struct mi_pong p;

	while ((p = rig_ping(r)).command_state != state) {
		assert_true(qt_mono_ms() < deadline);
		(void)usleep(2000);
	}
	return p;
}

static inline void rig_until_execs(const struct rig *r, uint32_t n)
{
	int64_t deadline = qt_mono_ms() + PATIENCE_MS;

	while (rig_ping(r).execs != n)
		assert_true(qt_mono_ms() < deadline);
}

/* Until the process behind the pidfd is gone. */
static inline bool gone(int pidfd, int budget_ms)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return poll(&p, 1, budget_ms) == 1;
}

/* Wait for minit's end; its wait status. */
static inline int rig_wait(struct rig *r)
{
	int st;

	assert_true(gone(r->pidfd, PATIENCE_MS));
	assert_int_equal(waitpid(r->pid, &st, 0), r->pid);
	r->pid = 0;
	return st;
}

static inline void rig_done(struct rig *r)
{
	if (r->pid > 0) {
		(void)kill(r->pid, SIGKILL);
		(void)rig_wait(r);
	}
	qt_close(r->pidfd);
	qt_close(r->listen_fd);
	qt_close(r->log_fd[0]);
	qt_close(r->log_fd[1]);
	qt_close(r->status_fd);
}

/* Stop, and the exit code. */
static inline int rig_stop(struct rig *r)
{
	auto_close int fd = rig_connect(r);
	struct qt_err e = {0};
	int st;

	assert_int_equal(mi_stop(fd, &e), 0);
	st = rig_wait(r);
	assert_true(WIFEXITED(st));
	return WEXITSTATUS(st);
}

/* One exec and the outer ends of its pipes. */
struct run {
	int conn, in, out, err;
	pid_t pid;
	struct mi_failed failed;
	enum mi_answer answer;
	int answer_code;
	char answer_text[512];
};

struct run_options {
	const char *cwd, *env;
	uint32_t flags, uid;
	int conn; /* that of an exec before; 0: a new one */
};

static inline void run_start(const struct rig *r, struct run *x, const char *argv, const struct run_options *opt)
{
	static const struct run_options none;
	const struct run_options *o = opt ? opt : &none;
	char a[4096], ev[4096];
	struct mi_exec m = {.argv = words(a, sizeof(a), argv), .env = words(ev, sizeof(ev), o->env ? o->env : "PATH=/usr/bin:/bin LC_ALL=C"),
			    .cwd = o->cwd, .flags = o->flags, .uid = o->uid ? o->uid : MI_ID_DEFAULT, .gid = o->uid ? o->uid : MI_ID_DEFAULT};
	struct qt_err e = {0};
	int in[2], out[2], err[2];

	assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC) | pipe2(err, O_CLOEXEC), 0);
	m.fds[0] = in[0];
	m.fds[1] = out[1];
	m.fds[2] = err[1];
	*x = (struct run){.conn = o->conn ? o->conn : rig_connect(r), .in = in[1], .out = out[0], .err = err[0]};
	if (mi_exec_start(x->conn, &m, PATIENCE_MS, &x->pid, &x->failed, &e) < 0)
		fail_msg("%s", e.msg);
	if (x->failed.step != 0)
		x->answer = mi_failed_answer(&x->failed, &m, &x->answer_code, x->answer_text, sizeof(x->answer_text));
	qt_close(in[0]);
	qt_close(out[1]);
	qt_close(err[1]);
}

static inline int run_wait(struct run *x, int *ret_sig)
{
	struct qt_err e = {0};
	int code = -1, sig = -1;

	assert_int_equal(mi_exec_wait(x->conn, qt_mono_ms() + PATIENCE_MS, &code, &sig, &e), 1);
	if (ret_sig)
		*ret_sig = sig;
	return code;
}

/* What comes until the end, as text. */
static inline char *slurp(int fd, char *buf, size_t size)
{
	size_t n = 0;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t k;

		assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
		k = read(fd, buf + n, size - 1 - n);
		assert_true(k >= 0);
		if (k == 0)
			break;
		n += (size_t)k;
	}
	buf[n] = '\0';
	return buf;
}

/* One line, without its newline. */
static inline char *line(int fd, char *buf, size_t size)
{
	size_t n = 0;

	for (; n < size - 1; n++) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
		assert_int_equal(read(fd, buf + n, 1), 1);
		if (buf[n] == '\n')
			break;
	}
	buf[n] = '\0';
	return buf;
}

static inline void run_done(struct run *x)
{
	qt_close(x->conn);
	qt_close(x->in);
	qt_close(x->out);
	qt_close(x->err);
}

/* Run to the end; its stdout in OUT. The exit code. */
static inline int run(const struct rig *r, const char *argv, const struct run_options *o, char *out, size_t size)
{
	struct run x;
	int code;

	run_start(r, &x, argv, o);
	if (x.failed.step != 0)
		fail_msg("%s", x.answer_text);
	(void)slurp(x.out, out, size);
	code = run_wait(&x, NULL);
	run_done(&x);
	return code;
}

/* Is there a record of STREAM with just that text among the newest thousand? Its number, else 0. */
static inline uint64_t logged(const struct rig *r, uint8_t stream, const char *text)
{
	struct qt_logs l;
	struct qt_err e = {0};
	uint64_t seq = 0;

	assert_int_equal(qt_logs_read(r->log_fd, 1000, 1U << 24, &l, &e), 0);
	for (size_t i = 0; i < l.n; i++)
		if (l.records[i].stream == stream && l.records[i].len == strlen(text) && memcmp(l.records[i].text, text, l.records[i].len) == 0)
			seq = l.records[i].seq;
	qt_logs_done(&l);
	return seq;
}

static inline void until_logged(const struct rig *r, uint8_t stream, const char *text)
{
	int64_t deadline = qt_mono_ms() + PATIENCE_MS;

	while (!logged(r, stream, text)) {
		assert_true(qt_mono_ms() < deadline);
		(void)usleep(2000);
	}
}

/* What the kernel counts as its memory, in kB; -1 if it does not tell us. */
static inline long rss_kb(pid_t pid)
{
	char p[64], b[256];
	auto_fclose FILE *f = NULL;
	long kb = -1;

	assert_true(qt_fmt(p, sizeof(p), "/proc/%d/smaps_rollup", pid));
	f = fopen(p, "re");
	while (f && fgets(b, sizeof(b), f))
		if (sscanf(b, "Rss: %ld kB", &kb) == 1)
			break;
	return kb;
}

#endif
