/* Redis is away, comes back, is slow, refuses, or is not Redis at all: an error each time, never a crash, and all is well after. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "check.h"
#include "cleanup.h"
#include "clock.h"
#include "redis.h"
#include "str.h"

static const struct qt_id tenant = {"ten_1"};

static void test_restart(void **state)
{
	struct qt_store *s = store_as("quilt-worker");
	struct qt_store *boss = store_as("quilt-admin");
	struct qt_tenant t;
	struct qt_ctr_list l;

	(void)state;
	must(qt_store_tenant_create(boss, "kept", NULL, &t, e));
	must(qt_store_ctr_list(s, &tenant, -1, 0, "", &l, e));
	redis_kill();
	must_not(qt_store_ctr_list(s, &tenant, -1, 0, "", &l, e), QT_E_STORE_UNAVAILABLE);
	must_not(qt_store_ping(s, e), QT_E_STORE_UNAVAILABLE);
	redis_start();
	/* The functions and what was answered are there; the connections are made anew without a failed call. */
	must(qt_store_tenant_get(s, t.id.s, &t, e));
	redis_kill();
	redis_start();
	must(qt_store_tenant_get(s, t.id.s, &t, e));
	must(qt_store_ping(boss, e));
	qt_store_free(s);
	qt_store_free(boss);
}

/* What nobody waits for is lost with a Redis that is killed, and that is told: to who asks, else in the log. */
static void test_posted(void **state)
{
	struct qt_store *s = store_as("quilt-worker");
	const struct qt_id ctr = {"ctr_1"};
	json_t *record = json_object();

	(void)state;
	for (int i = 0; i < 2; i++) {
		must(qt_store_ping(s, e));
		assert_int_equal(kill(redis_pid(), SIGSTOP), 0);
		must(qt_store_job_post(s, &tenant, &ctr, qt_id_new("job").s, record, e));
		redis_kill();
		if (i == 0)
			must_not(qt_store_settle(s, e), QT_E_STORE_UNAVAILABLE);
		redis_start();
		must(qt_store_ping(s, e));
		must(qt_store_settle(s, e));
	}
	/* Without a Redis it is told at once. */
	redis_kill();
	must_not(qt_store_job_post(s, &tenant, &ctr, qt_id_new("job").s, record, e), QT_E_STORE_UNAVAILABLE);
	redis_start();
	json_decref(record);
	qt_store_free(s);
}

static void test_stopped(void **state)
{
	struct qt_store *s = store_as("quilt-worker");
	int64_t began;

	(void)state;
	must(qt_store_ping(s, e));
	began = qt_mono_ms();
	assert_int_equal(kill(redis_pid(), SIGSTOP), 0);
	must_not(qt_store_ping(s, e), QT_E_STORE_UNAVAILABLE);
	assert_true(qt_mono_ms() - began >= 1000);
	assert_int_equal(kill(redis_pid(), SIGCONT), 0);
	must(qt_store_ping(s, e));
	qt_store_free(s);
}

static void test_full(void **state)
{
	struct qt_store *s = store_as("quilt-worker"), *boss = store_as("quilt-admin");
	struct qt_tenant t;
	struct qt_ctr c;
	struct qt_ctr_list l;

	(void)state;
	must(qt_store_tenant_create(boss, "full", NULL, &t, e));
	qt_ctr_init(&c);
	c.id = qt_id_new("ctr");
	c.tenant = t.id;
	(void)qt_copy(c.name, sizeof(c.name), "n");
	must(qt_store_ctr_reserve(s, &c, 1, e));
	freeReplyObject(admin("CONFIG SET maxmemory 1"));
	must_not(qt_store_ctr_reserve(s, &c, 1, e), QT_E_INSUFFICIENT_STORAGE);
	must(qt_store_ctr_list(s, &t.id, -1, 0, "", &l, e));
	assert_int_equal(l.n, 1);
	qt_ctr_list_done(&l);
	/* What makes room must work when there is none. */
	must(qt_store_ctr_remove(s, &t.id, &c.id, e));
	freeReplyObject(admin("CONFIG SET maxmemory 0"));
	qt_ctr_done(&c);
	qt_store_free(s);
	qt_store_free(boss);
}

static void test_set_up_wrong(void **state)
{
	struct qt_conf conf = conf_as("quilt-worker");
	struct qt_store *s;
	struct qt_apikey k;

	(void)state;
	(void)qt_copy(conf.redis_secret_file, sizeof(conf.redis_secret_file), "/nonexistent");
	must(qt_store_new(&s, &conf, e));
	must_not(qt_store_ping(s, e), QT_E_STORE_UNAVAILABLE);
	qt_store_free(s);
	conf.redis_secret_file[0] = '\0';
	must(qt_store_new(&s, &conf, e));
	must_not(qt_store_ping(s, e), QT_E_STORE_UNAVAILABLE);
	qt_store_free(s);
	for (const char *const *p = (const char *const[]){"default:", "default:x", "quilt-worker:", "nobody:x", "nonsense", NULL}; *p; p++) {
		FILE *f;

		(void)qt_fmt(conf.redis_secret_file, sizeof(conf.redis_secret_file), "%s/wrong", redis_dir());
		f = fopen(conf.redis_secret_file, "w");
		assert_non_null(f);
		assert_true(fputs(*p, f) >= 0 && fclose(f) == 0);
		must(qt_store_new(&s, &conf, e));
		must_not(qt_store_ping(s, e), QT_E_STORE_UNAVAILABLE);
		qt_store_free(s);
	}

	s = store_as("quilt-worker");
	freeReplyObject(admin("FUNCTION FLUSH"));
	must_not(qt_store_auth(s, "x", &k, e), QT_E_STORE_UNAVAILABLE);
	qt_store_free(s);
	s = store_as("quilt-worker");
	must_not(qt_store_load_functions(s, e), QT_E_STORE_UNAVAILABLE);
	qt_store_free(s);
	s = store_as("quilt-admin");
	must_not(qt_store_check(s, e), QT_E_STORE_UNAVAILABLE);
	must(qt_store_load_functions(s, e));
	must(qt_store_load_functions(s, e));
	must(qt_store_check(s, e));
	qt_store_free(s);
}

static void test_fork(void **state)
{
	struct qt_store *s = store_as("quilt-worker");
	int status = 0;
	pid_t pid;

	(void)state;
	must(qt_store_ping(s, e));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct qt_err e = {0};

		_exit(qt_store_ping(s, &e) == -1 && e.code == QT_E_INTERNAL_ERROR ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	must(qt_store_ping(s, e));
	qt_store_free(s);
}

/* --- a server that answers what it likes ---------------------------------------------------------------- */

struct liar {
	pthread_t thread;
	int fd, stop[2];
	const char *answer;
};

/* For each connection: wait for a command, say the answer, close. Until the other end of the pipe is closed. */
static void *lie(void *arg)
{
	struct liar *l = arg;

	for (;;) {
		struct pollfd p[2] = {{.fd = l->fd, .events = POLLIN}, {.fd = l->stop[0], .events = POLLIN}};
		char buf[8192];
		int fd;

		(void)poll(p, 2, -1);
		if (p[1].revents)
			return NULL;
		fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		if (recv(fd, buf, sizeof(buf), 0) > 0)
			(void)send(fd, l->answer, strlen(l->answer), MSG_NOSIGNAL);
		(void)shutdown(fd, SHUT_WR);
		while (recv(fd, buf, sizeof(buf), 0) > 0)
			;
		qt_close(fd);
	}
}

static void ask_everything(const char *path)
{
	struct qt_conf conf = conf_as("quilt-worker");
	struct qt_store *s;
	struct qt_apikey k;
	struct qt_tenant t;
	struct qt_ctr c;
	struct qt_ctr_list l;
	struct qt_op o;
	struct qt_op_entry x;
	struct qt_id id;
	char old[QT_NAME_MAX + 1];
	unsigned after;
	json_t *none = json_object();

	(void)qt_copy(conf.redis_socket, sizeof(conf.redis_socket), path);
	conf.redis_secret_file[0] = '\0';
	must(qt_store_new(&s, &conf, e));
#define ask(call)                                                         \
	do {                                                              \
		struct qt_err e_ = {0}, *e = &e_;                         \
		if ((call) == -1)                                         \
			assert_true(e_.code != QT_OK && e_.msg[0] != 0);  \
	} while (0)
	ask(qt_store_auth(s, "x", &k, e));
	ask(qt_store_auth_limited(s, "x", &k, &after, e));
	ask(qt_store_tenant_get(s, "ten_1", &t, e));
	ask(qt_store_ctr_by_name(s, &tenant, "n", &id, e));
	ask(qt_store_ctr_rename(s, &tenant, &tenant, "n", old, e));
	{
		struct qt_err e = {0};
		if (qt_store_ctr_get(s, &tenant, "ctr_1", &c, &e) == 0)
			qt_ctr_done(&c);
		qt_err_reset(&e);
		if (qt_store_ctr_env(s, &tenant, &tenant, none, true, &c, &e) == 0)
			qt_ctr_done(&c);
		qt_err_reset(&e);
		if (qt_store_ctr_list(s, &tenant, -1, 3, "", &l, &e) == 0)
			qt_ctr_list_done(&l);
		qt_err_reset(&e);
		if (qt_store_op_get(s, &tenant, "op_1", &o, &e) == 0)
			qt_op_done(&o);
		qt_err_reset(&e);
		if (qt_store_op_next(s, "n", "c", 10, 10, true, NULL, &x, &e) == 1)
			qt_op_done(&x.op);
		qt_err_reset(&e);
		json_decref(qt_store_export(s, &e));
	}
	qt_store_free(s);
	json_decref(none);
}

static void test_lies(void **state)
{
	static const char *const answers[] = {
		"",
		"+OK\r\n",
		"+",
		"hello\r\n",
		"$-1\r\n",
		"$5\r\nab",
		"$3\r\na\0b\r\n",
		":7\r\n",
		":99999999999999999999\r\n",
		"*-1\r\n",
		"*0\r\n",
		"*1\r\n*0\r\n",
		"*2\r\n$1\r\nx\r\n*1\r\n$1\r\ny\r\n",
		"*2\r\n:1\r\n*18\r\n",
		"*1\r\n*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n",
		"*3\r\n$3\r\n0-0\r\n*1\r\n*2\r\n$-1\r\n*-1\r\n*0\r\n",
		"*25\r\n$5\r\nctr_1\r\n$5\r\nten_1\r\n:1\r\n",
		"*2147483648\r\n",
		"*-7\r\n",
		"$-7\r\n",
		"$99999999999\r\nx",
		"-\r\n",
		"-QT_STATE\r\n",
		"-QT_STATE a-state-whose-name-is-far-longer-than-any-that-there-is-and-so-on-and-so-on-and-so-on-and-so-on-and-so-on\r\n",
		"-QT_RATE -5\r\n",
		"-QT_RATE 99999999999\r\n",
		"-NOGROUP no\r\n",
		"-UNBLOCKED no\r\n",
		"-LOADING wait\r\n",
		"-\xff\xfe%s%n\r\n",
	};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct liar l = {.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};

	(void)state;
	(void)qt_fmt(a.sun_path, sizeof(a.sun_path), "%s/liar", redis_dir());
	assert_true(l.fd >= 0);
	assert_int_equal(bind(l.fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(l.fd, 16), 0);
	for (size_t i = 0; i < QT_LEN(answers); i++) {
		l.answer = answers[i];
		assert_int_equal(pipe2(l.stop, O_CLOEXEC), 0);
		assert_int_equal(pthread_create(&l.thread, NULL, lie, &l), 0);
		ask_everything(a.sun_path);
		qt_close(l.stop[1]);
		assert_int_equal(pthread_join(l.thread, NULL), 0);
		qt_close(l.stop[0]);
	}
	qt_close(l.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restart), cmocka_unit_test(test_posted), cmocka_unit_test(test_stopped), cmocka_unit_test(test_full),
		cmocka_unit_test(test_set_up_wrong), cmocka_unit_test(test_fork),    cmocka_unit_test(test_lies),
	};

	return cmocka_run_group_tests(tests, redis_up, redis_down);
}
