/* Who may ask the runtime, who is closed, and who is told of what happens. */
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
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "fdpass.h"
#include "msg.h"
#include "rt_parts.h"

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

void roles_by_credentials(void **state)
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

void broken_peers_are_closed(void **state)
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

void watchers_are_told(void **state)
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
