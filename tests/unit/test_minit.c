/* The real quilt-minit, as an ordinary process. What only PID 1 can show is in tests/privileged/minit_test.c. */
#include <dirent.h>

#include "base/fdpass.h"
#include "minit_rig.h"

static void idles_and_stops(void **state)
{
	struct mi_status st;
	struct mi_pong p;
	struct rig r;
	char out[64];

	(void)state;
	rig_start(&r, "", NULL);
	assert_int_equal(r.ready.step, MI_STEP_NONE);
	p = rig_ping(&r);
	assert_int_equal(p.command_state, 0);
	assert_int_equal(p.execs, 0);
	assert_int_equal(run(&r, "echo hello", NULL, out, sizeof(out)), 0);
	assert_string_equal(out, "hello\n");
	print_message("resident memory, idle: %ld kB\n", rss_kb(r.pid));
	assert_true(rss_kb(r.pid) < RSS_MAX_KB);
	assert_int_equal(rig_stop(&r), 0);
	assert_int_equal(pread(r.status_fd, &st, sizeof(st), 0), sizeof(st));
	assert_true(st.magic == MI_MAGIC && st.exiting == 1 && st.exit_code == 0 && st.exited_ms > 0 && st.command_state == 0);
	assert_true(logged(&r, LOG_SYSTEM, "container started") < logged(&r, LOG_SYSTEM, "container stopping"));
	assert_true(logged(&r, LOG_SYSTEM, "container stopping") < logged(&r, LOG_SYSTEM, "container stopped"));
	rig_done(&r);
}

static void command_is_logged_and_outlived(void **state)
{
	struct rig r, again;
	char out[64];
	uint64_t seq;

	(void)state;
	rig_start(&r, "sh -c echo\1out;echo\1err\1>&2;printf\1%s\1tail;exit\1" "7", NULL);
	assert_int_equal(rig_until(&r, 2).command_exit, 7);
	assert_true(logged(&r, LOG_SYSTEM, "command started") > 0);
	assert_true(logged(&r, LOG_STDERR, "err") > 0);
	assert_true(logged(&r, LOG_STDOUT, "out") < logged(&r, LOG_STDOUT, "tail"));
	assert_true(logged(&r, LOG_STDOUT, "tail") < logged(&r, LOG_SYSTEM, "command exited with code 7"));
	assert_int_equal(run(&r, "echo still here", NULL, out, sizeof(out)), 0);
	assert_int_equal(rig_stop(&r), 7);
	seq = logged(&r, LOG_SYSTEM, "container stopped");
	rig_start(&again, "", &(struct rig_options){.logs_of = &r});
	assert_int_equal(logged(&again, LOG_SYSTEM, "container started"), seq + 1);
	assert_true(logged(&again, LOG_STDOUT, "out") > 0);
	rig_done(&again);
	rig_done(&r);
}

static void bad_commands_leave_a_container(void **state)
{
	static const struct {
		const char *argv;
		int code;
		const char *text;
	} rows[] = {
		{"no-such-program", 127, "cannot execute the command: No such file or directory"},
		{"/no/such/program", 127, "cannot execute the command: No such file or directory"},
		{"/etc/passwd", 126, "cannot execute the command: Permission denied"},
		{"/etc", 126, "cannot execute the command: Permission denied"},
	};

	(void)state;
	for (size_t i = 0; i < QT_LEN(rows); i++) {
		struct rig r;

		rig_start(&r, rows[i].argv, NULL);
		assert_int_equal(r.ready.step, MI_STEP_NONE);
		assert_int_equal(rig_until(&r, 2).command_exit, rows[i].code);
		until_logged(&r, LOG_SYSTEM, rows[i].text);
		assert_int_equal(rig_stop(&r), rows[i].code);
		rig_done(&r);
	}
}

static void bad_configs_are_told(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, "true", &(struct rig_options){.cwd = "/etc/passwd"});
	assert_int_equal(r.ready.step, MI_STEP_CWD);
	assert_int_equal(r.ready.sys, ENOTDIR);
	rig_done(&r);
	rig_start(&r, "true", &(struct rig_options){.stop_signal = 65});
	assert_int_equal(r.ready.step, MI_STEP_CONFIG);
	rig_done(&r);
}

static void exec_streams_and_codes(void **state)
{
	struct run x;
	struct rig r;
	char b[256];
	int sig;

	(void)state;
	rig_start(&r, "", NULL);
	run_start(&r, &x, "sh -c cat;echo\1e\1>&2;echo\1o\1>/dev/stdout;exit\1" "3", NULL);
	assert_int_equal(write(x.in, "in\n", 3), 3);
	qt_reset_fd(&x.in, -1);
	assert_string_equal(slurp(x.out, b, sizeof(b)), "in\no\n");
	assert_string_equal(slurp(x.err, b, sizeof(b)), "e\n");
	assert_int_equal(run_wait(&x, &sig), 3);
	assert_int_equal(sig, 0);
	run_done(&x);

	run_start(&r, &x, "sh -c kill\1-9\1$$", NULL);
	assert_int_equal(run_wait(&x, &sig), 137);
	assert_int_equal(sig, 9);
	run_done(&x);

	/* What a child inherits, and what not. */
	assert_int_equal(run(&r, "ls /proc/self/fd", NULL, b, sizeof(b)), 0);
	assert_string_equal(b, "0\n1\n2\n3\n"); /* 3 is ls's own */
	assert_int_equal(run(&r, "sh -c grep\1-E\1'Sig(Blk|Ign)'\1/proc/self/status", NULL, b, sizeof(b)), 0);
	assert_string_equal(b, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
	assert_int_equal(run(&r, "sh -c umask;set\1--\1$(cat\1/proc/$$/stat);echo\1$(($1-$5))\1$(($1-$6));pwd", &(struct run_options){.cwd = "/usr"}, b, sizeof(b)), 0);
	assert_string_equal(b, "0027\n0 0\n/usr\n");
	assert_int_equal(run(&r, "env", &(struct run_options){.env = "PATH=/bin A=b"}, b, sizeof(b)), 0);
	assert_string_equal(b, "PATH=/bin\nA=b\n");
	assert_int_equal(run(&r, "sh -c true", &(struct run_options){.env = ""}, b, sizeof(b)), 0); /* found without a PATH */
	assert_int_equal(run(&r, "cat /proc/self/oom_score_adj", NULL, b, sizeof(b)), 0);
	assert_true(atoi(b) >= 500 || geteuid() != 0); /* an undumpable process's files in /proc are root's */
	assert_int_equal(rig_stop(&r), 0);
	rig_done(&r);
}


static void exec_failures_are_told_apart(void **state)
{
	static const struct {
		const char *argv, *cwd, *env;
		uint32_t step;
		int sys;
		enum mi_answer answer;
		int code;
		const char *text;
	} rows[] = {
		{"no-such", NULL, NULL, MI_STEP_EXEC, ENOENT, MI_ANSWER_EXIT, 127, "no-such: command not found"},
		{"/no/such", NULL, NULL, MI_STEP_EXEC, ENOENT, MI_ANSWER_EXIT, 127, "/no/such: No such file or directory"},
		{"sh", NULL, "PATH=/etc:/none", MI_STEP_EXEC, ENOENT, MI_ANSWER_EXIT, 127, "sh: command not found"},
		{"passwd", NULL, "PATH=/none:/etc:/none", MI_STEP_EXEC, EACCES, MI_ANSWER_EXIT, 126, "passwd: Permission denied"},
		{"/etc/passwd", NULL, NULL, MI_STEP_EXEC, EACCES, MI_ANSWER_EXIT, 126, "/etc/passwd: Permission denied"},
		{"true", "/no/dir", NULL, MI_STEP_CWD, ENOENT, MI_ANSWER_CWD, -1, "/no/dir: No such file or directory"},
		{"true", "/etc/passwd", NULL, MI_STEP_CWD, ENOTDIR, MI_ANSWER_CWD, -1, "/etc/passwd: Not a directory"},
	};
	char dir[] = "/tmp/qt-minit-XXXXXX", sub[64], out[128];
	struct rig r;

	(void)state;
	rig_start(&r, "", NULL);
	for (size_t i = 0; i < QT_LEN(rows); i++) {
		struct run x;

		run_start(&r, &x, rows[i].argv, &(struct run_options){.cwd = rows[i].cwd, .env = rows[i].env});
		assert_int_equal(x.pid, 0);
		assert_int_equal(x.failed.step, rows[i].step);
		assert_int_equal(x.failed.sys, rows[i].sys);
		assert_int_equal(x.answer, rows[i].answer);
		assert_int_equal(x.answer_code, rows[i].code);
		assert_string_equal(x.answer_text, rows[i].text);
		run_done(&x);
	}
	assert_non_null(mkdtemp(dir));
	assert_true(qt_fmt(sub, sizeof(sub), "%s/a/b", dir));
	assert_int_equal(run(&r, "pwd", &(struct run_options){.cwd = sub, .flags = MI_EXEC_MKCWD}, out, sizeof(out)), 0);
	out[strlen(out) - 1] = '\0';
	assert_string_equal(out, sub);
	assert_int_equal(rmdir(sub), 0);
	*strrchr(sub, '/') = '\0';
	assert_int_equal(rmdir(sub), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(rig_ping(&r).execs, 0);
	assert_int_equal(rig_stop(&r), 0);
	rig_done(&r);
}

static int open_pid(const char *text)
{
	int fd = (int)syscall(SYS_pidfd_open, atoi(text), 0);

	assert_true(fd >= 0);
	return fd;
}

static void disconnect_takes_the_group(void **state)
{
	auto_close int child = -1;
	struct run x;
	struct rig r;
	char b[64];

	(void)state;
	rig_start(&r, "", NULL);
	run_start(&r, &x, "sh -c sleep\1" "1000&echo\1$!;trap\1:\1TERM;while\1:;do\1wait;done", NULL);
	child = open_pid(line(x.out, b, sizeof(b)));
	assert_int_equal(rig_ping(&r).execs, 1);
	qt_reset_fd(&x.conn, -1);
	assert_true(gone(child, PATIENCE_MS));
	assert_string_equal(slurp(x.out, b, sizeof(b)), "");
	rig_until_execs(&r, 0);
	run_done(&x);
	assert_int_equal(rig_stop(&r), 0);
	rig_done(&r);
}

static void background_survives(void **state)
{
	auto_close int child = -1;
	struct run x;
	struct rig r;
	char b[64];

	(void)state;
	rig_start(&r, "", NULL);
	run_start(&r, &x, "sh -c sleep\1" "1000\1>/dev/null\1" "2>&1&echo\1$!", NULL);
	child = open_pid(slurp(x.out, b, sizeof(b)));
	assert_int_equal(run_wait(&x, NULL), 0);
	run_done(&x);
	/* Asked on later connections, so minit saw the end of that one. */
	(void)rig_ping(&r);
	(void)rig_ping(&r);
	assert_false(gone(child, 0));
	assert_int_equal(kill(atoi(b), SIGKILL), 0);
	assert_true(gone(child, PATIENCE_MS));
	assert_int_equal(rig_stop(&r), 0);
	rig_done(&r);
}

static void signals_reach_the_group(void **state)
{
	struct qt_err e = {0};
	struct run x;
	struct rig r;
	char b[64];
	int sig;

	(void)state;
	rig_start(&r, "", NULL);
	run_start(&r, &x, "sh -c sleep\1" "1000&echo\1go;wait", NULL);
	assert_string_equal(line(x.out, b, sizeof(b)), "go");
	assert_int_equal(mi_exec_wait(x.conn, 0, &sig, &sig, &e), 0);
	assert_int_equal(mi_signal(x.conn, SIGTERM, &e), 0);
	assert_int_equal(run_wait(&x, &sig), 143);
	assert_int_equal(sig, SIGTERM);
	assert_string_equal(slurp(x.out, b, sizeof(b)), ""); /* the sleep, too, let go of the pipe */
	assert_int_equal(mi_signal(x.conn, SIGTERM, &e), 0);
	run_done(&x);
	assert_int_equal(rig_stop(&r), 0);
	rig_done(&r);
}

/* The next command by the connection of the one before, whatever became of that; but not while it runs. */
static void one_after_the_other(void **state)
{
	static const char *const argv[] = {"sh -c exit\1" "3", "no-such", "true", "sh -c sleep\1" "1000&echo\1$!"};
	static const int codes[] = {3, -1, 0, 0};
	auto_close int child = -1;
	struct qt_err e = {0};
	struct mi_failed failed;
	struct mi_exec m = {.uid = MI_ID_DEFAULT, .gid = MI_ID_DEFAULT};
	struct run x = {.conn = 0};
	struct rig r;
	char a[16], b[64];
	pid_t pid;

	(void)state;
	rig_start(&r, "", NULL);
	for (size_t i = 0; i < QT_LEN(argv); i++) {
		run_start(&r, &x, argv[i], &(struct run_options){.conn = x.conn});
		if (x.failed.step == 0)
			assert_int_equal(run_wait(&x, NULL), codes[i]);
		assert_int_equal(x.failed.step, codes[i] < 0 ? MI_STEP_EXEC : 0);
		if (i == QT_LEN(argv) - 1)
			child = open_pid(line(x.out, b, sizeof(b)));
		qt_reset_fd(&x.in, -1);
		qt_reset_fd(&x.out, -1);
		qt_reset_fd(&x.err, -1);
		assert_int_equal(rig_ping(&r).execs, 0);
	}
	/* What the last one left in the background is its own master now: neither the next command nor the connection's end takes it. */
	run_start(&r, &x, "cat", &(struct run_options){.conn = x.conn});
	assert_false(gone(child, 0));
	m.argv = words(a, sizeof(a), "true");
	m.fds[0] = m.fds[1] = m.fds[2] = x.in;
	assert_int_equal(mi_exec_start(x.conn, &m, PATIENCE_MS, &pid, &failed, &e), -1);
	assert_int_equal(e.code, QT_E_EXEC_NOT_READY);
	assert_int_equal(e.sys, EBUSY);
	run_done(&x);
	rig_until_execs(&r, 0);
	assert_false(gone(child, 0));
	assert_int_equal(kill(atoi(b), SIGKILL), 0);
	assert_true(gone(child, PATIENCE_MS));
	assert_int_equal(rig_stop(&r), 0);
	rig_done(&r);
}

static void many_at_once(void **state)
{
	static struct run x[MI_EXECS_MAX];
	struct run more;
	struct rig r;

	(void)state;
	rig_start(&r, "", NULL);
	for (unsigned i = 0; i < MI_EXECS_MAX; i++) {
		run_start(&r, &x[i], "cat", NULL);
		assert_true(x[i].pid > 0);
		/* The pipes' other ends are this test's, 1,024 descriptors at most. */
		qt_reset_fd(&x[i].err, -1);
		qt_reset_fd(&x[i].out, -1);
	}
	assert_int_equal(rig_ping(&r).execs, MI_EXECS_MAX);
	run_start(&r, &more, "true", NULL);
	assert_int_equal(more.failed.step, MI_STEP_FORK);
	assert_int_equal(more.answer, MI_ANSWER_BUSY);
	run_done(&more);
	for (unsigned i = 0; i < MI_EXECS_MAX; i++) {
		qt_reset_fd(&x[i].in, -1);
		assert_int_equal(run_wait(&x[i], NULL), 0);
		run_done(&x[i]);
	}
	assert_int_equal(rig_ping(&r).execs, 0);
	print_message("resident memory, after %u execs at once: %ld kB\n", MI_EXECS_MAX, rss_kb(r.pid));
	assert_true(rss_kb(r.pid) < RSS_MAX_KB);
	assert_int_equal(rig_stop(&r), 0);
	rig_done(&r);
}

static void log_turns_over(void **state)
{
	struct qt_logs l;
	struct qt_err e = {0};
	struct rig r;

	(void)state;
	rig_start(&r, "sh -c seq\1" "100000;head\1-c\1" "40000\1/dev/zero|tr\1'\\0'\1x", &(struct rig_options){.log_file_bytes = 200000});
	assert_int_equal(rig_until(&r, 2).command_exit, 0);
	assert_int_equal(qt_logs_read(r.log_fd, 8, 1U << 20, &l, &e), 0);
	assert_int_equal(l.n, 8);
	/* Four numbers, the long line in three pieces, the end. */
	assert_int_equal(memcmp(l.records[3].text, "100000", 6), 0);
	assert_true(l.records[4].len + l.records[5].len + l.records[6].len == 40000);
	assert_true(l.records[4].flags == LOG_PARTIAL && l.records[5].flags == LOG_PARTIAL && l.records[6].flags == 0);
	assert_int_equal(l.records[7].stream, LOG_SYSTEM);
	for (size_t i = 1; i < l.n; i++)
		assert_int_equal(l.records[i].seq, l.records[i - 1].seq + 1);
	qt_logs_done(&l);
	assert_int_equal(qt_logs_read(r.log_fd, 5000, 1U << 24, &l, &e), 0);
	assert_true(l.n > 2000);
	for (size_t i = 1; i < l.n; i++)
		assert_int_equal(l.records[i].seq, l.records[i - 1].seq + 1);
	qt_logs_done(&l);
	for (int i = 0; i < 2; i++) {
		struct stat st;

		assert_int_equal(fstat(r.log_fd[i], &st), 0);
		assert_true(st.st_size > 0 && st.st_size <= 200000);
	}
	print_message("resident memory, after much output: %ld kB\n", rss_kb(r.pid));
	assert_true(rss_kb(r.pid) < RSS_MAX_KB);
	assert_int_equal(rig_stop(&r), 0);
	rig_done(&r);
}

/* The child of PID other than NOT. */
static pid_t child_of(pid_t pid, pid_t not)
{
	char p[64], b[256];
	auto_fclose FILE *f = NULL;
	int a = 0, c = 0;

	assert_true(qt_fmt(p, sizeof(p), "/proc/%d/task/%d/children", pid, pid));
	f = fopen(p, "re");
	assert_non_null(f);
	assert_non_null(fgets(b, sizeof(b), f));
	assert_int_equal(sscanf(b, "%d %d", &a, &c), 2);
	return a == not ? c : a;
}

/* -1 where only root may look. */
static int count_fds(pid_t pid)
{
	char p[64];
	DIR *d;
	int n = 0;

	assert_true(qt_fmt(p, sizeof(p), "/proc/%d/fd", pid));
	d = opendir(p);
	if (!d)
		return -1;
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

/* The command does not go by SIGTERM. Until it is gone nothing else is asked to go, and nothing new begins. */
static void stop_waits_for_the_command(void **state)
{
	auto_close int conn = -1;
	struct mi_status st;
	struct qt_err e = {0};
	struct run x, more;
	struct rig r;
	pid_t command;
	char b[64];
	int fd;

	(void)state;
	rig_start(&r, "sh -c trap\1''\1TERM;echo\1ignores;exec\1sleep\1" "1000", NULL);
	until_logged(&r, LOG_STDOUT, "ignores");
	run_start(&r, &x, "sh -c echo\1$PPID;exec\1sleep\1" "1000", NULL);
	assert_int_equal(atoi(line(x.out, b, sizeof(b))), r.pid);
	command = child_of(r.pid, x.pid);
	conn = rig_connect(&r);
	assert_int_equal(mi_stop(conn, &e), 0);
	until_logged(&r, LOG_SYSTEM, "container stopping");
	run_start(&r, &more, "true", NULL);
	assert_int_equal(more.answer, MI_ANSWER_GONE);
	run_done(&more);
	assert_int_equal(rig_ping(&r).execs, 1);
	assert_int_equal(rig_ping(&r).command_state, 1);
	assert_int_equal(kill(command, SIGKILL), 0);
	assert_int_equal(run_wait(&x, NULL), 128 + SIGTERM);
	run_done(&x);
	fd = rig_wait(&r);
	assert_true(WIFEXITED(fd) && WEXITSTATUS(fd) == 137);
	assert_int_equal(pread(r.status_fd, &st, sizeof(st), 0), sizeof(st));
	assert_true(st.exiting == 1 && st.exit_code == 137 && st.command_state == 2 && st.command_exit == 137 && st.command_ended_ms > 0);
	assert_true(logged(&r, LOG_SYSTEM, "command ended by signal 9, exit code 137") > 0);
	rig_done(&r);
}

static int ask(const struct rig *r, const void *msg, size_t len, const int *fds, size_t n)
{
	struct qt_err e = {0};
	int fd = rig_connect(r);

	assert_int_equal(qt_send_fds(fd, msg, len, fds, n, &e), 0);
	return fd;
}

/* What breaks the protocol is answered once, and the connection ends; whoever keeps to it is not disturbed. */
static void bad_peers_are_dropped(void **state)
{
	struct mi_msg m[2] = {{.magic = MI_MAGIC, .kind = MI_PING}};
	static const struct {
		uint32_t kind, arg, argv_len;
		size_t len, fds;
		int sys;
	} rows[] = {
		{0, 0, 0, sizeof(struct mi_msg), 0, ENOSYS},
		{MI_PONG, 0, 0, sizeof(struct mi_msg), 0, ENOSYS},
		{MI_SAVED, 1, 0, sizeof(struct mi_msg) + 1, 0, EPROTO},
		{MI_SAVED + 1, 0, 0, sizeof(struct mi_msg), 0, ENOSYS},
		{MI_PING, 0, 0, sizeof(struct mi_msg) - 1, 0, EPROTO},
		{MI_PING, 0, 0, sizeof(struct mi_msg) + 1, 0, EPROTO},
		{MI_PING, 0, 0, sizeof(struct mi_msg), 1, EPROTO},
		{MI_PING, 0, 0, sizeof(struct mi_msg), 4, EPROTO},
		{MI_SIGNAL, 65, 0, sizeof(struct mi_msg), 0, EINVAL},
		{MI_SIGNAL, 9, 0, sizeof(struct mi_msg), 0, ESRCH},
		{MI_EXEC, 0, 0, sizeof(struct mi_msg), 3, EPROTO},
		{MI_EXEC, 0, 5, sizeof(struct mi_msg) + 4, 3, EPROTO},
		{MI_EXEC, 0, 4, sizeof(struct mi_msg) + 4, 2, EPROTO},
		{MI_DIAL, 0, 0, sizeof(struct mi_msg), 0, EPROTO},
		{MI_DIAL, 0, 4, sizeof(struct mi_msg) + 4, 0, EPROTO},
	};
	static const int null[4] = {0, 0, 0, 0};
	int64_t deadline = qt_mono_ms() + PATIENCE_MS;
	struct run x;
	struct rig r;
	int fds;

	(void)state;
	rig_start(&r, "", NULL);
	run_start(&r, &x, "cat", NULL);
	fds = count_fds(r.pid);
	for (size_t i = 0; i < QT_LEN(rows); i++) {
		struct mi_msg a;
		int fd;

		m[0].kind = rows[i].kind;
		m[0].arg = rows[i].arg;
		m[0].argv_len = rows[i].argv_len;
		fd = ask(&r, m, rows[i].len, null, rows[i].fds);
		assert_int_equal(recv(fd, &a, sizeof(a), 0), sizeof(a));
		assert_int_equal(a.kind, MI_ERROR);
		assert_int_equal(a.arg2, rows[i].sys);
		assert_int_equal(recv(fd, &a, sizeof(a), 0), 0);
		qt_close(fd);
	}
	while (count_fds(r.pid) != fds) /* it closes after it answered */
		assert_true(qt_mono_ms() < deadline);
	qt_reset_fd(&x.in, -1);
	assert_int_equal(run_wait(&x, NULL), 0);
	run_done(&x);
	assert_int_equal(rig_stop(&r), 0);
	rig_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idles_and_stops),
		cmocka_unit_test(command_is_logged_and_outlived),
		cmocka_unit_test(bad_commands_leave_a_container),
		cmocka_unit_test(bad_configs_are_told),
		cmocka_unit_test(exec_streams_and_codes),
		cmocka_unit_test(one_after_the_other),
		cmocka_unit_test(exec_failures_are_told_apart),
		cmocka_unit_test(disconnect_takes_the_group),
		cmocka_unit_test(background_survives),
		cmocka_unit_test(signals_reach_the_group),
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(log_turns_over),
		cmocka_unit_test(stop_waits_for_the_command),
		cmocka_unit_test(bad_peers_are_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
