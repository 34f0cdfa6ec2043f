/* What outlives its connection: jobs and terminals; and the sockets that are dialled. */
#include <sys/ioctl.h>

#include "minit_rig.h"

static struct mi_failed kept_try(const struct rig *r, int *conn, const char *argv, const char *key, uint32_t time_ms)
{
	static char a[4096], e[256];
	auto_close int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct mi_exec x = {.argv = words(a, sizeof(a), argv), .env = words(e, sizeof(e), "PATH=/usr/bin:/bin"), .cwd = "/", .flags = MI_EXEC_KEEP,
			    .uid = MI_ID_DEFAULT, .gid = MI_ID_DEFAULT, .fds = {null, -1, -1}, .key = key, .time_ms = time_ms};
	struct mi_failed failed;
	struct qt_err err = {0};
	pid_t pid;

	*conn = rig_connect(r);
	assert_int_equal(mi_exec_start(*conn, &x, PATIENCE_MS, &pid, &failed, &err), 0);
	return failed;
}

static void kept_start(const struct rig *r, int *conn, const char *argv, const char *key, uint32_t time_ms)
{
	assert_int_equal(kept_try(r, conn, argv, key, time_ms).step, MI_STEP_NONE);
}

/* How many have ended. */
static uint32_t kept_no_room(const struct rig *r)
{
	auto_close int conn = -1;
	struct mi_failed failed = kept_try(r, &conn, "true", "more", 0);

	assert_true(failed.step == MI_STEP_FORK && failed.sys == EAGAIN);
	return failed.n_ended;
}

/* Waits until the kept exec ended. */
static struct mi_kept kept_end(const struct rig *r, const char *key, char *out, size_t size)
{
	int64_t deadline = qt_mono_ms() + PATIENCE_MS;
	auto_close int conn = rig_connect(r);
	struct qt_err e = {0};
	struct mi_kept k;
	int fds[2], code, sig;
	ssize_t n;

	assert_int_equal(mi_attach(conn, key, PATIENCE_MS, &k, fds, &e), 1);
	if (!k.ended) {
		assert_int_equal(mi_exec_wait(conn, deadline, &code, &sig, &e), 1);
		(void)close(fds[0]);
		(void)close(fds[1]);
		assert_int_equal(mi_attach(conn, key, PATIENCE_MS, &k, fds, &e), 1);
		assert_int_equal(k.exit_code, code);
	}
	assert_true(k.ended);
	n = pread(fds[0], out, size - 1, 0);
	assert_true(n >= 0);
	out[n] = '\0';
	(void)close(fds[0]);
	(void)close(fds[1]);
	return k;
}

static void kept_many(const struct rig *r, const char *name, const char *argv, unsigned n)
{
	char key[32];
	int conn;

	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(key, sizeof(key), "%s_%u", name, i);
		kept_start(r, &conn, argv, key, 0);
		(void)close(conn);
	}
}

static void kept_execs_outlive_their_connection(void **state)
{
	struct qt_err e = {0};
	struct mi_kept k;
	struct rig r;
	int conn, fds[2];
	char b[256];

	(void)state;
	rig_start(&r, "", NULL);
	kept_start(&r, &conn, "sh -c echo\1one;sleep\1" "0.05;echo\1two;echo\1no\1>&2;exit\1" "4", "job_a", 0);
	(void)close(conn);
	k = kept_end(&r, "job_a", b, sizeof(b));
	assert_int_equal(k.exit_code, 4);
	assert_string_equal(b, "one\ntwo\n");
	assert_true(k.out_bytes == 8 && k.err_bytes == 3 && !k.timed_out && k.ended_ms >= k.started_ms);

	/* More than is kept is read all the same. */
	kept_start(&r, &conn, "sh -c head\1-c\1" "3000000\1/dev/zero", "job_b", 0);
	k = kept_end(&r, "job_b", b, sizeof(b));
	assert_true(k.exit_code == 0 && k.out_bytes == 3000000);
	(void)close(conn);

	kept_start(&r, &conn, "sleep 1000", "job_c", 20);
	k = kept_end(&r, "job_c", b, sizeof(b));
	assert_true(k.exit_code == 143 && k.timed_out);
	/* All of its group, also who pays SIGTERM no heed, when the leader does. */
	kept_start(&r, &conn, "sh -c (trap\1''\1TERM;exec\1sleep\1" "1000)&\1sleep\1" "1000", "job_e", 200);
	k = kept_end(&r, "job_e", b, sizeof(b));
	assert_true(k.exit_code == 143 && k.timed_out);
	for (int64_t until = qt_mono_ms() + PATIENCE_MS; kill(-(pid_t)k.pid, 0) == 0;)
		assert_true(qt_left_ms(until) > 0);
	(void)close(conn);
	conn = rig_connect(&r);
	assert_int_equal(mi_forget(conn, "job_c", PATIENCE_MS, &e), 0);
	assert_int_equal(mi_attach(conn, "job_c", PATIENCE_MS, &k, fds, &e), 0);
	(void)close(conn);

	/* Forgotten while it runs: killed. */
	kept_start(&r, &conn, "sleep 1000", "job_d", 0);
	assert_int_equal(mi_forget(conn, "job_d", PATIENCE_MS, &e), 0);
	rig_until_execs(&r, 0);
	(void)close(conn);

	assert_int_equal(rig_stop(&r), 0);
	rig_done(&r);
}

static void kept_saved(const struct rig *r, uint32_t n_ended)
{
	auto_close int conn = rig_connect(r);
	struct qt_err e = {0};

	assert_int_equal(mi_saved(conn, n_ended, PATIENCE_MS, &e), 0);
}

/* The places of those that ended are given to new ones when somebody says that no more need be known of them: he speaks of what had ended when there was no
 * room, not of what ended since. That somebody was told of an end is no such word: he may not have written it down. */
static void those_that_are_saved_make_room(void **state)
{
	struct qt_err e = {0};
	struct mi_kept k;
	uint32_t n_ended;
	struct rig r;
	int conn, fds[2], code, sig;
	char b[256];

	(void)state;
	rig_start(&r, "", NULL);
	kept_many(&r, "old", "true", MI_KEEPS_MAX - 1);
	kept_start(&r, &conn, "sleep 1000", "late", 0);
	rig_until_execs(&r, 1);
	n_ended = kept_no_room(&r);
	assert_int_equal(n_ended, MI_KEEPS_MAX - 1);
	assert_int_equal(mi_signal(conn, SIGKILL, &e), 0);
	assert_int_equal(mi_exec_wait(conn, qt_mono_ms() + PATIENCE_MS, &code, &sig, &e), 1);
	(void)close(conn);
	(void)kept_end(&r, "old_0", b, sizeof(b));
	assert_int_equal(kept_no_room(&r), MI_KEEPS_MAX);
	kept_saved(&r, n_ended);
	kept_many(&r, "run", "sleep 1000", MI_KEEPS_MAX - 1);
	n_ended = kept_no_room(&r);
	conn = rig_connect(&r);
	assert_int_equal(mi_attach(conn, "old_0", PATIENCE_MS, &k, fds, &e), 0);
	(void)close(conn);
	kept_saved(&r, n_ended);
	kept_saved(&r, 0);
	assert_int_equal(kept_end(&r, "late", b, sizeof(b)).exit_code, 128 + SIGKILL);
	kept_start(&r, &conn, "sleep 1000", "run_last", 0);
	(void)close(conn);
	/* None of those that run. */
	kept_saved(&r, kept_no_room(&r));
	(void)kept_no_room(&r);
	assert_int_equal(rig_stop(&r), 0);
	rig_done(&r);
}

/* A connection to what listens there, or the word that nobody does. */
static void sockets_are_dialled(void **state)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	char dir[] = "/tmp/qt-dial-XXXXXX", path[64], text[3], long_path[MI_DIAL_MAX + 1];
	struct qt_err e = {0};
	struct rig r;
	int conn, listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd, theirs;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_true(qt_fmt(path, sizeof(path), "%s/vnc", dir));
	rig_start(&r, "", NULL);
	conn = rig_connect(&r);
	assert_int_equal(mi_dial(conn, path, PATIENCE_MS, &fd, &e), 0);
	assert_int_equal(fd, -1);
	(void)qt_copy(to.sun_path, sizeof(to.sun_path), path);
	assert_int_equal(bind(listener, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(mi_dial(conn, path, PATIENCE_MS, &fd, &e), 0); /* it does not listen yet */
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(mi_dial(conn, path, PATIENCE_MS, &fd, &e), 1);
	theirs = accept(listener, NULL, NULL);
	assert_int_equal(send(fd, "hi", 3, 0), 3);
	assert_int_equal(recv(theirs, text, 3, MSG_WAITALL), 3);
	assert_string_equal(text, "hi");
	(void)close(theirs);
	assert_int_equal(recv(fd, text, 3, MSG_WAITALL), 0);
	(void)close(fd);
	/* No room in its queue is no reason to wait: minit has others to serve. */
	for (int n = 0, got = 1; got == 1; n++) {
		assert_true(n < 16);
		got = mi_dial(conn, path, PATIENCE_MS, &fd, &e);
		assert_true(got >= 0);
		qt_close(fd);
	}
	memset(long_path, 'a', sizeof(long_path) - 1);
	long_path[0] = '/';
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(mi_dial(conn, long_path, PATIENCE_MS, &fd, &e), -1);
	(void)close(conn);
	assert_int_equal(rig_stop(&r), 0);
	rig_done(&r);
	(void)close(listener);
	(void)unlink(path);
	(void)rmdir(dir);
}

/* Reads until TEXT was seen. */
static void until_text(int fd, const char *text)
{
	static char seen[8192];
	size_t len = 0;

	while (len < sizeof(seen) - 1) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n;

		assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
		n = read(fd, seen + len, sizeof(seen) - 1 - len);
		assert_true(n > 0);
		len += (size_t)n;
		seen[len] = '\0';
		if (strstr(seen, text))
			return;
	}
	fail_msg("not seen: %s", text);
}

static void terminals_are_kept(void **state)
{
	static char a[4096], env[256];
	struct mi_exec x = {.argv = words(a, sizeof(a), "sh -c stty\1size;tty;read\1x;echo\1got=$x;stty\1size;exec\1sleep\1" "1000"),
			    .env = words(env, sizeof(env), "PATH=/usr/bin:/bin TERM=dumb"), .cwd = "/", .flags = MI_EXEC_KEEP | MI_EXEC_TTY,
			    .uid = MI_ID_DEFAULT, .gid = MI_ID_DEFAULT, .key = "sess_a", .rows = 30, .cols = 100};
	struct winsize w = {.ws_row = 50, .ws_col = 200};
	struct mi_failed failed;
	struct stat st;
	char text[4];
	struct qt_err e = {0};
	struct mi_kept k;
	int conn, again, master, fds[2], code, sig;
	struct rig r;
	pid_t pid;

	(void)state;
	rig_start(&r, "", NULL);
	conn = rig_connect(&r);
	assert_int_equal(mi_exec_start_tty(conn, &x, PATIENCE_MS, &pid, &master, &failed, &e), 0);
	assert_true(failed.step == MI_STEP_NONE && master >= 0);
	until_text(master, "30 100\r\n/dev/pts/");
	(void)close(conn); /* whoever watched is gone, with its descriptor; the shell is not */
	(void)close(master);
	again = rig_connect(&r);
	assert_int_equal(mi_attach(again, "sess_a", PATIENCE_MS, &k, fds, &e), 1);
	assert_true(k.tty && !k.ended && k.pid == (uint32_t)pid);
	/* What it showed: a file whose size nobody changes. */
	assert_int_equal(fstat(fds[1], &st), 0);
	assert_int_equal(st.st_size, sizeof(struct mi_scroll));
	assert_int_equal(ftruncate(fds[1], 0), -1);
	assert_int_equal(pwrite(fds[1], "x", 1, sizeof(struct mi_scroll)), -1);
	assert_int_equal(pwrite(fds[1], "kept", 4, 100), 4);
	(void)close(fds[1]);
	(void)close(fds[0]);
	assert_int_equal(mi_attach(again, "sess_a", PATIENCE_MS, &k, fds, &e), 1);
	assert_int_equal(pread(fds[1], text, 4, 100), 4);
	assert_memory_equal(text, "kept", 4);
	(void)close(fds[1]);
	assert_int_equal(ioctl(fds[0], TIOCSWINSZ, &w), 0);
	assert_int_equal(write(fds[0], "hi\n", 3), 3);
	until_text(fds[0], "got=hi\r\n50 200\r\n");
	assert_int_equal(write(fds[0], "\003", 1), 1); /* Ctrl-C */
	assert_int_equal(mi_exec_wait(again, qt_mono_ms() + PATIENCE_MS, &code, &sig, &e), 1);
	assert_int_equal(sig, SIGINT);
	(void)close(fds[0]);
	(void)close(again);
	assert_int_equal(rig_stop(&r), 0);
	rig_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kept_execs_outlive_their_connection),
		cmocka_unit_test(those_that_are_saved_make_room),
		cmocka_unit_test(sockets_are_dialled),
		cmocka_unit_test(terminals_are_kept),
	};

	return cmocka_run_group_tests_name("minit keep", tests, NULL, NULL);
}
