/* quilt-minit as PID 1 of a real pid namespace, with and without a user namespace. As root. */
#include "minit_rig.h"

static const unsigned long plain = CLONE_NEWPID, mapped = CLONE_NEWPID | CLONE_NEWUSER | CLONE_NEWIPC | CLONE_NEWUTS;

static char self[4096]; /* this program, to be run inside */

static int make_room(void **state)
{
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	(void)state;
	return n < 0;
}

/* Says "up", waits for the signal, says "bye", ends with the code. No shell does this without a race. */
static int trap(int sig, int code)
{
	sigset_t set;
	int got;

	sigemptyset(&set);
	sigaddset(&set, sig);
	/* Not for the command, whose stop signal this is not. */
	if (sig != SIGTERM)
		(void)signal(SIGTERM, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || write(1, "up\n", 3) != 3 || sigwait(&set, &got) != 0 || write(1, "bye\n", 4) != 4)
		return 6;
	return code;
}

/* Inside: what a process of the container could do, or try. */
static int inside(const char *what, const char *arg)
{
	if (qt_streq(what, "command"))
		return trap(SIGUSR1, 3);
	if (qt_streq(what, "other"))
		return trap(SIGTERM, 4);
	if (qt_streq(what, "orphan")) /* gone once the child is ready */
		return fork() == 0 ? trap(SIGTERM, 5) : read(0, (char[1]){0}, 1) != 0;
	if (qt_streq(what, "forge")) { /* SIGTERM to PID 1, from "pid 0" */
		siginfo_t si = {.si_signo = SIGTERM, .si_code = SI_QUEUE};

		if (syscall(SYS_rt_sigqueueinfo, 1, SIGTERM, &si) < 0 || kill(1, SIGTERM) < 0)
			return 1;
		/* The kernel does not let these through. */
		(void)kill(1, SIGKILL);
		(void)kill(1, SIGSTOP);
		return 0;
	}
	if (qt_streq(what, "ask")) { /* ARG: the name of the listening socket */
		struct sockaddr_un a = {.sun_family = AF_UNIX};
		struct qt_err e = {0};
		struct mi_pong p;
		int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

		(void)memcpy(a.sun_path + 1, arg, strlen(arg));
		if (connect(fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(arg))) < 0)
			return 2;
		return mi_ping(fd, &p, PATIENCE_MS, &e) == 0 ? 3 : e.sys == ETIMEDOUT ? 4 : 0;
	}
	return 5;
}

static void is_pid_1(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		unsigned long flags = i ? mapped : plain;
		struct rig r;
		char b[256];

		rig_start(&r, "sh -c echo\1$$\1$PPID\1$(id\1-u);exec\1sleep\1" "1000", &(struct rig_options){.clone_flags = flags});
		assert_int_equal(r.ready.step, MI_STEP_NONE);
		until_logged(&r, LOG_STDOUT, "2 1 0");
		assert_int_equal(run(&r, "sh -c echo\1$PPID\1$(id\1-u)\1$(id\1-g)\1$(id\1-G)", NULL, b, sizeof(b)), 0);
		assert_string_equal(b, "1 0 0 0\n");
		assert_int_equal(run(&r, "sh -c echo\1$(id\1-u)\1$(id\1-g)\1$(id\1-G)", &(struct run_options){.uid = 1000}, b, sizeof(b)), 0);
		assert_string_equal(b, "1000 1000 1000\n");
		assert_int_equal(run(&r, "sh -c cat\1/proc/self/oom_score_adj", NULL, b, sizeof(b)), 0);
		assert_true(atoi(b) >= 500);
		/* A pipe of somebody who has no number inside. */
		assert_int_equal(run(&r, "sh -c echo\1x>/dev/stdout;cat\1/dev/stdin</dev/null", &(struct run_options){.uid = 1000}, b, sizeof(b)), 0);
		assert_string_equal(b, "x\n");
		print_message("resident memory: %ld kB\n", rss_kb(r.pid));
		assert_true(rss_kb(r.pid) > 0 && rss_kb(r.pid) < RSS_MAX_KB);
		assert_int_equal(rig_stop(&r), 128 + SIGTERM);
		rig_done(&r);
	}
}

static void reaps_orphans(void **state)
{
	struct rig r;
	char b[64], argv[128];

	(void)state;
	rig_start(&r, "", &(struct rig_options){.clone_flags = plain});
	assert_int_equal(run(&r, "sh -c sleep\1" "1000\1>/dev/null\1" "2>&1&echo\1$!", NULL, b, sizeof(b)), 0);
	b[strlen(b) - 1] = '\0';
	assert_true(qt_fmt(argv, sizeof(argv), "sh -c kill\1-9\1%s;while\1kill\1-0\1%s\1" "2>/dev/null;do\1:;done", b, b));
	assert_int_equal(run(&r, argv, NULL, b, sizeof(b)), 0);
	assert_int_equal(rig_stop(&r), 0);
	rig_done(&r);
}

static void inside_cannot_command_it(void **state)
{
	struct rig r;
	char b[64], argv[4200];

	(void)state;
	rig_start(&r, "", &(struct rig_options){.clone_flags = plain});
	assert_true(qt_fmt(argv, sizeof(argv), "%s forge", self));
	assert_int_equal(run(&r, argv, NULL, b, sizeof(b)), 0);
	assert_true(qt_fmt(argv, sizeof(argv), "%s ask %.*s", self, (int)(r.addr_len - offsetof(struct sockaddr_un, sun_path) - 1), r.addr.sun_path + 1));
	assert_int_equal(run(&r, argv, NULL, b, sizeof(b)), 0);
	assert_int_equal(rig_ping(&r).command_state, 0);
	assert_int_equal(logged(&r, LOG_SYSTEM, "container stopping"), 0);
	assert_int_equal(rig_stop(&r), 0);
	rig_done(&r);
}

/* The command gets its stop signal; the others, stopped ones and orphans too, SIGTERM when it is gone; the exit code is the command's. */
static void stops_in_order(void **state)
{
	char b[64], command[4200], other[4200], orphan[4200];

	(void)state;
	assert_true(qt_fmt(command, sizeof(command), "%s command", self));
	assert_true(qt_fmt(other, sizeof(other), "%s other", self));
	assert_true(qt_fmt(orphan, sizeof(orphan), "%s orphan", self));
	for (int by_signal = 0; by_signal < 2; by_signal++) {
		struct run stopped, sitting, left;
		struct rig r;
		int st;

		rig_start(&r, command, &(struct rig_options){.clone_flags = plain, .stop_signal = SIGUSR1});
		until_logged(&r, LOG_STDOUT, "up");
		run_start(&r, &left, orphan, NULL);
		assert_string_equal(line(left.out, b, sizeof(b)), "up");
		qt_reset_fd(&left.in, -1);
		assert_int_equal(run_wait(&left, NULL), 0);
		run_start(&r, &sitting, other, NULL);
		assert_string_equal(line(sitting.out, b, sizeof(b)), "up");
		run_start(&r, &stopped, "sh -c kill\1-STOP\1$$", NULL);
		if (by_signal) {
			assert_int_equal(kill(r.pid, SIGTERM), 0);
			st = rig_wait(&r);
			assert_true(WIFEXITED(st) && WEXITSTATUS(st) == 3);
		} else {
			assert_int_equal(rig_stop(&r), 3);
		}
		assert_int_equal(run_wait(&sitting, NULL), 4);
		assert_string_equal(slurp(sitting.out, b, sizeof(b)), "bye\n");
		assert_string_equal(slurp(left.out, b, sizeof(b)), "bye\n");
		assert_int_equal(run_wait(&stopped, NULL), 128 + SIGTERM);
		run_done(&sitting);
		run_done(&stopped);
		run_done(&left);
		assert_true(logged(&r, LOG_STDOUT, "bye") > 0);
		assert_true(logged(&r, LOG_STDOUT, "bye") < logged(&r, LOG_SYSTEM, "command exited with code 3"));
		assert_true(logged(&r, LOG_SYSTEM, "command exited with code 3") < logged(&r, LOG_SYSTEM, "container stopped"));
		rig_done(&r);
	}
}

/* Killed from outside, it takes all with it, and the status says that it did not leave by itself. */
static void killed_takes_all(void **state)
{
	struct mi_status s;
	struct qt_err e = {0};
	struct run x;
	struct rig r;
	int st, code, sig;
	char b[64];

	(void)state;
	rig_start(&r, "", &(struct rig_options){.clone_flags = mapped});
	run_start(&r, &x, "sh -c echo\1go;exec\1sleep\1" "1000", NULL);
	assert_string_equal(line(x.out, b, sizeof(b)), "go");
	assert_int_equal(kill(r.pid, SIGKILL), 0);
	st = rig_wait(&r);
	assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL);
	assert_string_equal(slurp(x.out, b, sizeof(b)), "");
	assert_int_equal(mi_exec_wait(x.conn, qt_mono_ms() + PATIENCE_MS, &code, &sig, &e), -1);
	assert_int_equal(e.code, QT_E_UNAVAILABLE);
	assert_int_equal(pread(r.status_fd, &s, sizeof(s), 0), sizeof(s));
	assert_int_equal(s.exiting, 0);
	run_done(&x);
	rig_done(&r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_pid_1),	  cmocka_unit_test(reaps_orphans),   cmocka_unit_test(inside_cannot_command_it),
		cmocka_unit_test(stops_in_order), cmocka_unit_test(killed_takes_all),
	};

	if (argc > 1)
		/* LeakSanitizer, at an exit, stops the process by ptrace(); minit's SIGCONT takes that stop away, and it waits for ever. */
		_exit(inside(argv[1], argc > 2 ? argv[2] : ""));
	return cmocka_run_group_tests(tests, make_room, NULL);
}
