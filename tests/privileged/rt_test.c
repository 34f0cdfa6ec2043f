/* The real quilt-runtime, its protocol, real containers; killed at every step, and nothing may be left or lost. */
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "minit/logread.h"
#include "rt_parts.h"
#include "str.h"

static int make_ext4(void **state)
{
	static struct rig r;

	rig_make(&r, "ext4");
	*state = &r;
	return 0;
}

static int make_btrfs(void **state)
{
	static struct rig r;

	rig_make(&r, "btrfs");
	*state = &r;
	return 0;
}

/* After a test that failed: the next one starts a runtime of its own. */
static int end(void **state)
{
	struct rig *r = *state;

	if (r->pid)
		rig_reset(r);
	return 0;
}

static int unmake(void **state)
{
	rig_unmake(*state);
	return 0;
}

/* --- the life of one ----------------------------------------------------------------------------------- */

static void logs_hold(struct rig *r, struct qt_id id, const char *text)
{
	int64_t deadline = qt_mono_ms() + BUDGET_MS;
	struct rt_logs_req req = {.id = id};
	struct rt_logs_rep rep;
	struct qt_err e = {0};
	bool found = false;
	int fds[2];

	assert_int_equal(rt_call(&r->rt, RT_LOGS, &req, NULL, &rep, fds, BUDGET_MS, &e), 0);
	assert_true(write(fds[0], "x", 1) < 0); /* read only */
	while (!found) {
		struct qt_logs logs;

		assert_int_equal(qt_logs_read(fds, 100, 65536, &logs, &e), 0);
		for (size_t i = 0; i < logs.n; i++)
			found |= logs.records[i].len == strlen(text) &&
				 memcmp(logs.records[i].text, text, strlen(text)) == 0;
		qt_logs_done(&logs);
		assert_true(qt_mono_ms() < deadline);
		if (!found)
			(void)poll(NULL, 0, 5);
	}
	close(fds[0]);
	close(fds[1]);
}

/* The resolver's sockets: bound where containers ask, each time the same. */
static void dns_sockets(struct rig *r)
{
	const int types[] = {SOCK_DGRAM, SOCK_STREAM};
	const struct rt_dns_req req = {0};
	struct qt_err e = {0};
	struct rt_dns_rep rep;
	int fds[2];

	for (int n = 0; n < 2; n++) {
		assert_int_equal(rt_call(&r->rt, RT_DNS, &req, NULL, &rep, fds, BUDGET_MS, &e), 0);
		for (int i = 0; i < 2; i++) {
			struct sockaddr_in a;
			socklen_t size = sizeof(a);
			int type;

			assert_int_equal(getsockname(fds[i], (struct sockaddr *)&a, &size), 0);
			assert_int_equal(ntohs(a.sin_port), 53);
			assert_int_equal(ntohl(a.sin_addr.s_addr), r->gateway);
			size = sizeof(type);
			assert_int_equal(getsockopt(fds[i], SOL_SOCKET, SO_TYPE, &type, &size), 0);
			assert_int_equal(type, types[i]);
			qt_close(fds[i]);
		}
	}
}

static void live_and_die(void **state)
{
	struct rig *r = *state;
	struct qt_id id = qt_id_new("ctr");
	struct rt_create_req req = rig_create_req(id);
	struct rt_create_rep made, same;
	struct rt_check_rep check;
	struct rt_stats_rep stats;
	struct rt_start_rep started;
	struct rt_stop_rep stopped;
	struct rt_kill_rep killed;
	struct rt_record_rep recorded;
	struct rt_get_rep got;
	struct qt_err e = {0};
	char out[4096], ip[16], resolver[64];

	rig_start(r, NULL);
	rig_census(r, 0, 0);
	req.argv = WORDS(3, "/bin/sh\0-c\0echo hello; echo kept >/kept; trap 'exit 7' TERM; while :; do sleep 1; done");
	assert_int_equal(rt_create(&r->rt, &req, &made, BUDGET_MS, &e), 0);
	assert_true(made.pid > 0 && kill((pid_t)made.pid, 0) == 0);
	(void)qt_copy(ip, sizeof(ip), made.ip.s);
	/* The answer was lost: the same again. */
	assert_int_equal(rt_create(&r->rt, &req, &same, BUDGET_MS, &e), 0);
	assert_int_equal(same.pid, made.pid);
	assert_string_equal(same.ip.s, ip);
	rig_census(r, 1, 1);

	got = rig_get(r, id);
	assert_int_equal(got.state, RT_ST_RUNNING);
	assert_string_equal(got.ip.s, ip);
	assert_int_equal(got.record.len, 12);
	assert_memory_equal(got.record.s, req.record.s, 12);
	logs_hold(r, id, "hello");
	rig_exec(r, id, "hostname; id -u; cat /kept; echo $PATH; ip -4 -o addr show eth0; cat /etc/resolv.conf", out, sizeof(out));
	assert_non_null(strstr(out, "demo\n0\nkept\n/bin\n"));
	assert_non_null(strstr(out, ip));
	(void)snprintf(resolver, sizeof(resolver), "nameserver 169.254.%u.%u\nsearch quilt.internal\n", r->gateway >> 8 & 0xff, r->gateway & 0xff);
	assert_non_null(strstr(out, resolver));
	dns_sockets(r);

	CALL(r, check, &check, .id = id);
	assert_int_equal(check.checks, RT_CHECK_RUNNING | RT_CHECK_INIT | RT_CHECK_NETWORK | RT_CHECK_IMAGE);
	CALL(r, stats, &stats, .id = id);
	assert_true(stats.pids >= 1);
	assert_true(stats.memory_limit_bytes == 64U << 20);

	/* What is refused, and with which words. */
	e = REFUSED(r, QT_E_INVALID_STATE, start, .id = id, .hostname = rt_str("demo"), .argv.s = "", .env.s = "");
	assert_string_equal(e.state, "running");

	CALL(r, record, &recorded, .id = id, .record = {"new", 3});
	CALL(r, stop, &stopped, .id = id, .timeout_ms = BUDGET_MS);
	assert_int_equal(stopped.exit_code, 7);
	got = rig_get(r, id);
	assert_int_equal(got.state, RT_ST_EXITED);
	assert_int_equal(got.exit_code, 7);
	assert_int_equal(got.pid, 0);
	assert_int_equal(got.exited_ms, stopped.exited_ms);
	assert_memory_equal(got.record.s, "new", 3);
	rig_census(r, 1, 0);
	e = REFUSED(r, QT_E_INVALID_STATE, stop, .id = id);
	assert_string_equal(e.state, "exited");
	(void)REFUSED(r, QT_E_INVALID_STATE, connect, .id = id);
	CALL(r, check, &check, .id = id);
	assert_int_equal(check.checks, 0);
	CALL(r, stats, &stats, .id = id);
	assert_int_equal(stats.pids, 0);

	CALL(r, start, &started, .id = id, .hostname = rt_str("again"), .argv.s = "", .env.s = "");
	assert_string_equal(started.ip.s, ip);
	assert_int_not_equal(started.pid, made.pid);
	rig_exec(r, id, "hostname; cat /kept", out, sizeof(out));
	assert_string_equal(out, "again\nkept\n");
	logs_hold(r, id, "hello"); /* of the run before */
	CALL(r, kill, &killed, .id = id);
	assert_int_equal(killed.exit_code, 137);
	CALL(r, start, &started, .id = id, .hostname = rt_str("again"), .argv.s = "", .env.s = "");
	assert_int_equal(rig_delete(r, id, &e), 0);
	(void)REFUSED(r, QT_E_CONTAINER_NOT_FOUND, delete, .id = id);
	(void)REFUSED(r, QT_E_CONTAINER_NOT_FOUND, get, .id = id);
	rig_census(r, 0, 0);
	rig_term(r);
}

/* A command that ignores its signal is given the time that was said, and then killed. */
static void stop_forces(void **state)
{
	struct rig *r = *state;
	struct qt_id id = qt_id_new("ctr");
	struct rt_create_req req = rig_create_req(id);
	struct rt_create_rep made;
	struct rt_stop_rep stopped;
	struct qt_err e = {0};

	rig_start(r, NULL);
	req.argv = WORDS(3, "/bin/sh\0-c\0trap '' TERM; echo deaf; while :; do sleep 1000; done");
	assert_int_equal(rt_create(&r->rt, &req, &made, BUDGET_MS, &e), 0);
	logs_hold(r, id, "deaf");
	CALL(r, stop, &stopped, .id = id, .timeout_ms = 100);
	assert_int_equal(stopped.exit_code, 137);
	assert_int_equal(rig_delete(r, id, &e), 0);
	rig_census(r, 0, 0);
	rig_term(r);
}

static void refuses_bad_requests(void **state)
{
	struct rig *r = *state;
	struct rt_create_req good = rig_create_req(qt_id_new("ctr"));
	struct rt_create_rep rep;
	struct {
		enum qt_code want;
		struct rt_create_req req;
	} bad[16];
	size_t n = 0;

	rig_start(r, NULL);
#define BAD(code, ...)                                        \
	do {                                                  \
		bad[n].want = code;                           \
		bad[n].req = good;                            \
		__VA_ARGS__;                                  \
		n++;                                          \
	} while (0)
	BAD(QT_E_IMAGE_NOT_FOUND, bad[n].req.image = rt_str("nothere"));
	BAD(QT_E_IMAGE_NOT_FOUND, bad[n].req.image = rt_str("../busybox"));
	BAD(QT_E_IMAGE_NOT_FOUND, bad[n].req.image = rt_str(""));
	BAD(QT_E_VALIDATION_ERROR, bad[n].req.hostname = rt_str(""));
	BAD(QT_E_VALIDATION_ERROR, bad[n].req.hostname = rt_str("a/b"));
	BAD(QT_E_VALIDATION_ERROR, bad[n].req.workdir = rt_str("relative"));
	BAD(QT_E_VALIDATION_ERROR, bad[n].req.workdir = rt_str("/a\nb"));
	BAD(QT_E_VALIDATION_ERROR, bad[n].req.memory_mb = 15);
	BAD(QT_E_VALIDATION_ERROR, bad[n].req.memory_mb = UINT32_MAX);
	BAD(QT_E_VALIDATION_ERROR, bad[n].req.cpu_centi = 0);
	BAD(QT_E_VALIDATION_ERROR, bad[n].req.cpu_centi = UINT32_MAX);
	BAD(QT_E_VALIDATION_ERROR, bad[n].req.strict = 2);
	BAD(QT_E_VALIDATION_ERROR, bad[n].req.env = ((struct rt_strv){"NOVALUE", 8, 1}));
	BAD(QT_E_VALIDATION_ERROR, bad[n].req.argv = ((struct rt_strv){"", 1, 1}));
	BAD(QT_E_VALIDATION_ERROR, bad[n].req.id = bad[n].req.tenant);
	BAD(QT_E_VALIDATION_ERROR, bad[n].req.tenant = bad[n].req.id);
#undef BAD
	for (size_t i = 0; i < n; i++) {
		struct qt_err e = {0};

		assert_int_equal(rt_create(&r->rt, &bad[i].req, &rep, BUDGET_MS, &e), -1);
		if (e.code != bad[i].want)
			fail_msg("row %zu: %s: %s", i, qt_err_row(e.code)->name, e.msg);
	}
	rig_census(r, 0, 0);
	rig_term(r);
}

/* --- many ---------------------------------------------------------------------------------------------- */

/* A tree too deep for any path, and for one descriptor a level. */
static void deep_trees_go(void **state)
{
	struct rig *r = *state;
	struct qt_id id = qt_id_new("ctr");
	struct qt_err e = {0};
	char out[256];

	rig_start(r, NULL);
	(void)rig_create(r, id);
	rig_exec(r, id, "i=0; while [ $i -lt 700 ]; do mkdir d && cd -P d && echo >f; i=$((i+1)); done; echo ok", out, sizeof(out));
	assert_string_equal(out, "ok\n");
	assert_int_equal(rig_delete(r, id, &e), 0);
	rig_census(r, 0, 0);
	rig_term(r);
}

#define AT_ONCE 64

static int create_one(struct rig *r, int start)
{
	struct rt_create_req req = rig_create_req(qt_id_new("ctr"));
	struct rt_create_rep rep;
	struct rt_client c;
	struct qt_err e = {0};
	char path[96], byte;

	(void)snprintf(path, sizeof(path), "%s/run/runtime.sock", r->dir);
	if (rt_client_init(&c, path, &e) < 0 || read(start, &byte, 1) != 0 || rt_create(&c, &req, &rep, BUDGET_MS, &e) < 0) {
		fprintf(stderr, "create: %s\n", e.msg);
		return 1;
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void many_at_once(void **state)
{
	struct rig *r = *state;
	struct qt_id listed[AT_ONCE + 1];
	struct qt_err e = {0};
	double took[50], began;
	pid_t pid[AT_ONCE];
	int p[2];

	rig_start(r, NULL);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	for (int i = 0; i < AT_ONCE; i++) {
		pid[i] = fork();
		assert_true(pid[i] >= 0);
		if (pid[i] == 0) {
			close(p[1]);
			_exit(create_one(r, p[0]));
		}
	}
	began = now_ms();
	close(p[1]);
	for (int i = 0; i < AT_ONCE; i++) {
		int status;

		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_int_equal(status, 0);
	}
	print_message("%d creates at once: %.0f ms\n", AT_ONCE, now_ms() - began);
	close(p[0]);
	rig_census(r, AT_ONCE, AT_ONCE);
	assert_int_equal(rig_list(r, listed, AT_ONCE + 1), AT_ONCE);
	began = now_ms();
	for (int i = 0; i < AT_ONCE; i++)
		assert_int_equal(rig_delete(r, listed[i], &e), 0);
	print_message("%d deletes, one by one: %.0f ms\n", AT_ONCE, now_ms() - began);
	rig_census(r, 0, 0);
	for (size_t i = 0; i < QT_LEN(took); i++) {
		struct qt_id id = qt_id_new("ctr");

		began = now_ms();
		(void)rig_create(r, id);
		took[i] = now_ms() - began;
		assert_int_equal(rig_delete(r, id, &e), 0);
	}
	qsort(took, QT_LEN(took), sizeof(took[0]), compare);
	print_message("create: p50 %.2f ms, p95 %.2f ms, n %zu\n", took[QT_LEN(took) / 2], took[QT_LEN(took) * 95 / 100], QT_LEN(took));
	rig_census(r, 0, 0);
	rig_term(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(live_and_die, end),
		cmocka_unit_test_teardown(stop_forces, end),
		cmocka_unit_test_teardown(refuses_bad_requests, end),
		cmocka_unit_test_teardown(roles_by_credentials, end),
		cmocka_unit_test_teardown(broken_peers_are_closed, end),
		cmocka_unit_test_teardown(watchers_are_told, end),
		cmocka_unit_test_teardown(containers_outlive_the_runtime, end),
		cmocka_unit_test_teardown(shutdown_ends_all, end),
		cmocka_unit_test_teardown(rotten_entry_is_set_aside, end),
		cmocka_unit_test_teardown(a_spare_becomes_the_container, end),
		cmocka_unit_test_teardown(a_dead_spare_is_not_missed, end),
		cmocka_unit_test_teardown(spares_take_no_room, end),
		cmocka_unit_test_teardown(deep_trees_go, end),
		cmocka_unit_test_teardown(many_at_once, end),
#ifdef QT_FAILPOINTS
		cmocka_unit_test_teardown(survives_every_fail_point, end),
#endif
	};
	const struct CMUnitTest on_btrfs[] = {
		cmocka_unit_test_teardown(live_and_die, end),
		cmocka_unit_test_teardown(a_spare_becomes_the_container, end),
		cmocka_unit_test_teardown(deep_trees_go, end),
		cmocka_unit_test_teardown(many_at_once, end),
	};
	int failed = cmocka_run_group_tests_name("runtime", tests, make_ext4, unmake);

	return failed + cmocka_run_group_tests_name("runtime on btrfs", on_btrfs, make_btrfs, unmake);
}
