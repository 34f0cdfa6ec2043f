/* The real quilt-runtime, its protocol, real containers; killed at every step, and nothing may be left or lost. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "fdpass.h"
#include "minit/logread.h"
#include "minit/minit_client.h"
#include "msg.h"
#include "rt_rig.h"
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

/* --- who may ask ----------------------------------------------------------------------------------------- */

static int connect_raw(struct rig *r)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s/run/runtime.sock", r->dir);
	assert_true(fd >= 0);
	return connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? (close(fd), -1) : fd;
}

/* Ask LIST as USER: exit code 0 it was answered, else the code of the error. */
static int ask_as(struct rig *r, const char *user)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		const struct passwd *pw = getpwnam("daemon"); /* whose group the socket has */
		gid_t gid = pw ? pw->pw_gid : 0;
		struct rt_list_req req = {.after = rt_str("")};
		struct rt_list_rep rep;
		struct rt_client c;
		struct qt_err e = {0};
		char path[96];

		(void)snprintf(path, sizeof(path), "%s/run/runtime.sock", r->dir);
		pw = getpwnam(user);
		if (!pw || gid == 0 || setgroups(0, NULL) < 0 || setgid(gid) < 0 || setuid(pw->pw_uid) < 0 || rt_client_init(&c, path, &e) < 0)
			_exit(99);
		_exit(rt_list(&c, &req, &rep, BUDGET_MS, &e) == 0 ? 0 : (int)e.code);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static void roles_by_credentials(void **state)
{
	struct rig *r = *state;

	rig_start(r, NULL);
	assert_int_equal(ask_as(r, "daemon"), QT_E_FORBIDDEN); /* api_user */
	assert_int_equal(ask_as(r, "bin"), 0);		       /* agent_user */
	assert_int_equal(ask_as(r, "games"), QT_E_FORBIDDEN);  /* stream_user */
	assert_int_equal(ask_as(r, "nobody"), QT_E_RUNTIME_UNAVAILABLE);
	rig_term(r);
}

static void is_closed(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char c;

	assert_int_equal(poll(&p, 1, BUDGET_MS), 1);
	assert_true(recv(fd, &c, 1, 0) <= 0);
	close(fd);
}

static void broken_peers_are_closed(void **state)
{
	struct rig *r = *state;
	struct rt_head h = {.magic = RT_MAGIC, .op = RT_HELLO};
	struct rt_hello_req hello = {.protocol = RT_PROTOCOL};
	static char big[RT_MSG_MAX + 1];
	struct qt_err e = {0};
	char msg[256];
	int len, fd, null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct rt_info_rep info;

	rig_start(r, NULL);
	len = rt_encode(msg, sizeof(msg), &h, rt_shapes[RT_HELLO].req, rt_shapes[RT_HELLO].n_req, &hello, &e);
	assert_true(len > 0);

	fd = connect_raw(r); /* a byte too many */
	assert_int_equal(send(fd, msg, (size_t)len + 1, 0), len + 1);
	is_closed(fd);
	fd = connect_raw(r); /* cut */
	assert_int_equal(send(fd, msg, (size_t)len - 1, 0), len - 1);
	is_closed(fd);
	fd = connect_raw(r); /* no head */
	assert_int_equal(send(fd, "x", 1, 0), 1);
	is_closed(fd);
	fd = connect_raw(r); /* too large */
	assert_int_equal(send(fd, big, sizeof(big), 0), (ssize_t)sizeof(big));
	is_closed(fd);
	fd = connect_raw(r); /* a descriptor that nobody asked for */
	assert_int_equal(qt_send_fds(fd, msg, (size_t)len, &null, 1, &e), 0);
	is_closed(fd);
	fd = connect_raw(r); /* not hello first */
	h.op = RT_INFO;
	assert_int_equal(send(fd, &h, sizeof(h), 0), (ssize_t)sizeof(h));
	is_closed(fd);
	fd = connect_raw(r); /* no such operation, after a good one */
	assert_int_equal(send(fd, msg, (size_t)len, 0), len);
	assert_true(recv(fd, msg, sizeof(msg), 0) > 0);
	h.op = RT_EVENT;
	assert_int_equal(send(fd, &h, sizeof(h), 0), (ssize_t)sizeof(h));
	is_closed(fd);

	CALL(r, info, &info, 0); /* the others never noticed */
	close(null);
	rig_term(r);
}

/* --- events ---------------------------------------------------------------------------------------------- */

static struct rt_event_rep next_event(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct rt_event_rep ev;
	struct rt_head h;
	struct qt_err e = {0};
	char msg[512];
	ssize_t len;

	assert_int_equal(poll(&p, 1, BUDGET_MS), 1);
	len = recv(fd, msg, sizeof(msg), 0);
	assert_true(len > 0);
	assert_int_equal(rt_decode_head(&h, msg, (size_t)len, &e), 0);
	assert_int_equal(h.op, RT_EVENT);
	assert_int_equal(rt_decode(&ev, sizeof(ev), rt_shapes[RT_EVENT].rep, rt_shapes[RT_EVENT].n_rep, msg, (size_t)len, &e), 0);
	return ev;
}

static void expect_event(int fd, struct qt_id id, enum rt_event kind)
{
	struct rt_event_rep ev = next_event(fd);

	assert_string_equal(ev.id.s, id.s);
	assert_int_equal(ev.kind, kind);
}

static void watchers_are_told(void **state)
{
	struct rig *r = *state;
	struct qt_id id = qt_id_new("ctr");
	struct rt_client watcher;
	struct rt_watch_req req = {0};
	struct rt_watch_rep rep;
	struct rt_kill_rep killed;
	struct rt_start_rep started;
	struct qt_err e = {0};
	char out[256];
	char path[96];

	rig_start(r, NULL);
	(void)snprintf(path, sizeof(path), "%s/run/runtime.sock", r->dir);
	assert_int_equal(rt_client_init(&watcher, path, &e), 0);
	assert_int_equal(rt_watch(&watcher, &req, &rep, BUDGET_MS, &e), 0);
	(void)rig_create(r, id);
	expect_event(watcher.fd, id, RT_EV_CREATED);
	/* More than its memory: something in it dies, and it lives. */
	rig_exec(r, id, "(x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done) >/dev/null 2>&1; echo survived", out, sizeof(out));
	assert_non_null(strstr(out, "survived\n"));
	expect_event(watcher.fd, id, RT_EV_OOM);
	CALL(r, kill, &killed, .id = id);
	expect_event(watcher.fd, id, RT_EV_EXITED);
	CALL(r, start, &started, .id = id, .hostname = rt_str("demo"), .argv.s = "", .env.s = "");
	expect_event(watcher.fd, id, RT_EV_STARTED);
	/* By somebody else's hand. */
	assert_int_equal(kill((pid_t)started.pid, SIGKILL), 0);
	{
		struct rt_event_rep ev = next_event(watcher.fd);

		assert_int_equal(ev.kind, RT_EV_EXITED);
		assert_int_equal(ev.exit_code, 137);
	}
	assert_int_equal(rig_delete(r, id, &e), 0);
	expect_event(watcher.fd, id, RT_EV_DELETED);
	rt_client_done(&watcher);
	rig_census(r, 0, 0);
	rig_term(r);
}

/* --- many, and a runtime that dies ------------------------------------------------------------------------ */

#define MANY 20

static void containers_outlive_the_runtime(void **state)
{
	struct rig *r = *state;
	struct qt_id id[MANY], listed[MANY + 1];
	struct rt_create_rep made[MANY];
	struct rt_get_rep got;
	struct rt_stats_rep stats;
	struct rt_stop_rep stopped;
	struct qt_err e = {0};
	char out[256], ip[MANY][16];
	int fd = -1;

	rig_start(r, NULL);
	for (int i = 0; i < MANY; i++) {
		id[i] = qt_id_new("ctr");
		made[i] = rig_create(r, id[i]);
		(void)qt_copy(ip[i], sizeof(ip[i]), made[i].ip.s);
	}
	{
		struct rt_connect_req req = {.id = id[1]};
		struct rt_connect_rep rep;

		assert_int_equal(rt_call(&r->rt, RT_CONNECT, &req, NULL, &rep, &fd, BUDGET_MS, &e), 0);
	}
	rig_kill(r);
	/* While nobody looks, one is killed and one ends of its own accord. */
	assert_int_equal(kill((pid_t)made[0].pid, SIGKILL), 0);
	assert_int_equal(mi_stop(fd, &e), 0);
	while (kill((pid_t)made[0].pid, 0) == 0 || kill((pid_t)made[1].pid, 0) == 0)
		(void)poll(NULL, 0, 5);
	close(fd);
	rig_start(r, NULL);
	assert_int_equal(rig_list(r, listed, MANY + 1), MANY);
	for (int i = 0; i < MANY; i++) {
		got = rig_get(r, id[i]);
		assert_string_equal(got.ip.s, ip[i]);
		if (i < 2) {
			assert_int_equal(got.state, RT_ST_EXITED);
			assert_int_equal(got.exit_code, i == 0 ? 137 : 0);
			continue;
		}
		assert_int_equal(got.state, RT_ST_RUNNING);
		assert_int_equal(got.pid, made[i].pid);
		rig_exec(r, id[i], "echo here", out, sizeof(out));
		assert_string_equal(out, "here\n");
		CALL(r, stats, &stats, .id = id[i]);
		assert_true(stats.pids >= 1);
	}
	rig_census(r, MANY, MANY - 2);
	/* One that was adopted is stopped, and one is found dead. */
	CALL(r, stop, &stopped, .id = id[2], .timeout_ms = BUDGET_MS);
	assert_int_equal(stopped.exit_code, 0);
	assert_int_equal(kill((pid_t)made[3].pid, SIGKILL), 0);
	do
		got = rig_get(r, id[3]);
	while (got.state == RT_ST_RUNNING);
	assert_int_equal(got.exit_code, 137);
	/* In order: a graceful end leaves them running as well. */
	rig_term(r);
	rig_census(r, MANY, MANY - 4);
	rig_start(r, NULL);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(rig_delete(r, id[i], &e), 0);
	rig_census(r, 0, 0);
	rig_term(r);
}

static void shutdown_ends_all(void **state)
{
	struct rig *r = *state;
	struct qt_id id = qt_id_new("ctr");
	struct rt_start_rep started;
	struct rt_get_rep got;
	struct qt_err e = {0};

	rig_start(r, NULL);
	(void)rig_create(r, id);
	rig_kill(r);
	rig_shutdown(r);
	rig_census(r, 1, 0);
	rig_start(r, NULL);
	got = rig_get(r, id);
	assert_int_equal(got.state, RT_ST_EXITED);
	assert_int_equal(got.exit_code, 137);
	CALL(r, start, &started, .id = id, .hostname = rt_str("demo"), .argv.s = "", .env.s = "");
	assert_int_equal(rig_delete(r, id, &e), 0);
	rig_census(r, 0, 0);
	rig_term(r);
}

/* The entry is lost, the machine's resources are not, and the data is kept. */
static void rotten_entry_is_set_aside(void **state)
{
	struct rig *r = *state;
	struct qt_id rotten = qt_id_new("ctr"), well = qt_id_new("ctr"), listed[4];
	char path[160], path2[160];
	struct stat st;
	struct qt_err e = {0};
	int fd;

	rig_start(r, NULL);
	(void)rig_create(r, rotten);
	(void)rig_create(r, well);
	rig_kill(r);
	(void)snprintf(path, sizeof(path), "%s/state/journal/%s", r->dir, rotten.s);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0 && pwrite(fd, "\xff", 1, 40) == 1);
	close(fd);
	rig_start(r, NULL);
	assert_int_equal(rig_list(r, listed, 4), 1);
	assert_string_equal(listed[0].s, well.s);
	(void)snprintf(path, sizeof(path), "%s/state/journal.bad/%s", r->dir, rotten.s);
	(void)snprintf(path2, sizeof(path2), "%s/pool/ctr/%s/upper", r->dir, rotten.s);
	assert_int_equal(stat(path2, &st), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rig_delete(r, well, &e), 0);
	rig_term(r);
	rig_start(r, NULL); /* somebody decided that it can go */
	rig_census(r, 0, 0);
	rig_term(r);
}

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

#ifdef QT_FAILPOINTS
/* --- fail points ----------------------------------------------------------------------------------------- */

static const struct {
	const char *name, *verb;
} points[] = {
#define FP(name, verb) {#name, #verb},
#include "runtime/failpoints.def"
#undef FP
};

/* One verb on a runtime that fails, or dies, at POINT. What may be left afterwards is a whole container, or none. */
static void hit(struct rig *r, const char *point, const char *verb, bool die)
{
	struct qt_id id = qt_id_new("ctr"), bystander = qt_id_new("ctr"), listed[8];
	struct rt_create_req create = rig_create_req(id);
	struct rt_create_rep created;
	struct rt_kill_req kill_req = {.id = id};
	struct rt_kill_rep killed;
	struct rt_start_req start = {.id = id, .hostname = rt_str("demo"), .argv.s = "", .env.s = ""};
	struct rt_start_rep started;
	struct qt_err e = {0};
	uint32_t pid;
	unsigned n;
	char fail[64], out[64];

	(void)snprintf(fail, sizeof(fail), "%s%s", die ? "kill:" : "", point);
	rig_start(r, NULL);
	pid = rig_create(r, bystander).pid;
	if (!qt_streq(verb, "create"))
		(void)rig_create(r, id);
	if (qt_streq(verb, "start"))
		assert_int_equal(rt_kill(&r->rt, &kill_req, &killed, BUDGET_MS, &e), 0);
	rig_term(r);

	rig_start(r, fail);
	if (qt_streq(verb, "create"))
		(void)rt_create(&r->rt, &create, &created, BUDGET_MS, &e);
	else if (qt_streq(verb, "start"))
		(void)rt_start(&r->rt, &start, &started, BUDGET_MS, &e);
	else if (qt_streq(verb, "stop"))
		(void)rt_kill(&r->rt, &kill_req, &killed, BUDGET_MS, &e);
	else
		(void)rig_delete(r, id, &e);
	if (die) {
		rig_died(r);
		rig_start(r, NULL);
	}
	/* Whole, or not at all; and whoever had nothing to do with it runs on. */
	n = rig_list(r, listed, 8);
	assert_true(n == 1 || n == 2);
	assert_int_equal(rig_get(r, bystander).pid, pid);
	rig_exec(r, bystander, "echo here", out, sizeof(out));
	if (n == 2) {
		if (rig_get(r, id).state == RT_ST_RUNNING)
			rig_exec(r, id, "echo here", out, sizeof(out));
		rig_census(r, 2, 1 + (rig_get(r, id).state == RT_ST_RUNNING));
		qt_err_reset(&e);
		if (rig_get(r, id).state == RT_ST_EXITED && rt_start(&r->rt, &start, &started, BUDGET_MS, &e) < 0)
			fail_msg("start after %s: %s", fail, e.msg);
		qt_err_reset(&e);
		if (rig_delete(r, id, &e) < 0)
			fail_msg("delete after %s: %s", fail, e.msg);
	} else {
		rig_census(r, 1, 1);
		qt_err_reset(&e);
		if (rt_create(&r->rt, &create, &created, BUDGET_MS, &e) < 0)
			fail_msg("create after %s: %s", fail, e.msg);
		assert_int_equal(rig_delete(r, id, &e), 0);
	}
	assert_int_equal(rig_delete(r, bystander, &e), 0);
	rig_census(r, 0, 0);
	rig_term(r);
}

/* The others are for pool_test.c. */
static bool is_of_containers(const char *verb)
{
	return qt_streq(verb, "create") || qt_streq(verb, "start") || qt_streq(verb, "stop") || qt_streq(verb, "delete");
}

static void survives_every_fail_point(void **state)
{
	for (size_t i = 0; i < QT_LEN(points); i++)
		for (int die = 0; die < 2; die++)
			if (is_of_containers(points[i].verb))
				hit(*state, points[i].name, points[i].verb, die);
}
#endif

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
		cmocka_unit_test_teardown(deep_trees_go, end),
		cmocka_unit_test_teardown(many_at_once, end),
#ifdef QT_FAILPOINTS
		cmocka_unit_test_teardown(survives_every_fail_point, end),
#endif
	};
	const struct CMUnitTest on_btrfs[] = {
		cmocka_unit_test_teardown(live_and_die, end),
		cmocka_unit_test_teardown(deep_trees_go, end),
		cmocka_unit_test_teardown(many_at_once, end),
	};
	int failed = cmocka_run_group_tests_name("runtime", tests, make_ext4, unmake);

	return failed + cmocka_run_group_tests_name("runtime on btrfs", on_btrfs, make_btrfs, unmake);
}
