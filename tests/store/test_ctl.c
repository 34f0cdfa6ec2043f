/* quiltctl, as an operator types it, against a Redis of its own. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "check.h"
#include "cleanup.h"
#include "fdio.h"
#include "redis.h"
#include "str.h"

struct ran {
	int status;
	char out[65536], err[4096];
};

static void slurp(const char *name, char *text, size_t size)
{
	char path[128];

	(void)qt_fmt(path, sizeof(path), "%s/%s", redis_dir(), name);
	must((int)qt_read_file(AT_FDCWD, path, text, size, e));
}

/* The words of LINE, separated by single spaces, behind the options that lead to our Redis; OUT_PATH instead of a file, if not NULL. */
static void run_to(struct ran *r, const char *out_path, const char *line)
{
	char buf[512], *save = NULL, conf[128], out[128], err[128];
	char program[] = QT_BUILDDIR "/quiltctl", dash_c[] = "-c";
	char *argv[20] = {program, dash_c, conf};
	int argc = 3, status = 0;
	pid_t pid;

	(void)qt_fmt(conf, sizeof(conf), "%s/quilt.conf", redis_dir());
	(void)qt_fmt(out, sizeof(out), "%s/out", redis_dir());
	(void)qt_fmt(err, sizeof(err), "%s/err", redis_dir());
	assert_true(qt_copy(buf, sizeof(buf), line));
	for (char *w = strtok_r(buf, " ", &save); w && argc < 19; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int o = open(out_path ? out_path : out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		int x = open(err, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		if (o < 0 || x < 0 || dup2(o, 1) < 0 || dup2(x, 2) < 0)
			_exit(99);
		(void)execv(program, argv);
		_exit(98);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	r->status = WEXITSTATUS(status);
	r->out[0] = '\0';
	if (!out_path)
		slurp("out", r->out, sizeof(r->out));
	slurp("err", r->err, sizeof(r->err));
}

static struct ran r;

static void run(const char *line)
{
	run_to(&r, NULL, line);
}

static void run_ok(const char *line)
{
	run(line);
	if (r.status != 0)
		fail_msg("%s: %d, %s", line, r.status, r.err);
	assert_string_equal(r.err, "");
}

static int up(void **state)
{
	char conf[128], from[128], to[128];
	FILE *f;

	if (redis_up(state))
		return -1;
	(void)qt_fmt(conf, sizeof(conf), "%s/quilt.conf", redis_dir());
	f = fopen(conf, "w");
	if (!f)
		return -1;
	fprintf(f, "redis_socket = %s/redis.sock\nrun_dir = %s\n", redis_dir(), redis_dir());
	(void)qt_fmt(from, sizeof(from), "%s/quilt-admin.secret", redis_dir());
	(void)qt_fmt(to, sizeof(to), "%s/redis-admin.secret", redis_dir());
	return fclose(f) || link(from, to);
}

static void test_accounts(void **state)
{
	struct qt_store *worker = store_as("quilt-worker");
	char tenant[QT_ID_MAX + 1], key[64], line[256], id[QT_ID_MAX + 1];
	struct qt_apikey k;

	(void)state;
	run_ok("store init");
	assert_string_equal(r.out, "");
	run_ok("tenant create acme --plan=large");
	r.out[strcspn(r.out, "\n")] = '\0';
	assert_true(qt_copy(tenant, sizeof(tenant), r.out));
	(void)qt_fmt(line, sizeof(line), "key create --tenant %s --name ci", tenant);
	run_ok(line);
	assert_int_equal(strlen(r.out), 42);
	assert_int_equal(r.out[41], '\n');
	r.out[41] = '\0';
	assert_true(qt_copy(key, sizeof(key), r.out));
	must(qt_store_auth(worker, key, &k, e));
	assert_string_equal(k.tenant.s, tenant);
	assert_string_equal(k.name, "ci");
	run_ok("tenant list");
	assert_non_null(strstr(r.out, tenant));
	assert_non_null(strstr(r.out, "acme"));
	run_ok("key list");
	assert_non_null(strstr(r.out, k.id.s));
	assert_non_null(strstr(r.out, "valid"));
	assert_null(strstr(r.out, key));
	assert_true(qt_copy(id, sizeof(id), k.id.s));
	(void)qt_fmt(line, sizeof(line), "key revoke %s", id);
	run_ok(line);
	must_not(qt_store_auth(worker, key, &k, e), QT_E_UNAUTHORIZED);
	(void)qt_fmt(line, sizeof(line), "key list --tenant %s", tenant);
	run_ok(line);
	assert_non_null(strstr(r.out, "revoked"));
	run_ok("key list --tenant ten_other");
	assert_null(strstr(r.out, id));
	qt_store_free(worker);
}

static void test_failures(void **state)
{
	static const struct {
		const char *line;
		int status;
	} bad[] = {
		{"", 2}, {"tenant", 2}, {"tenant frob", 2}, {"tenant create", 2}, {"tenant create a b", 2}, {"tenant create --plan", 2},
		{"tenant create a --plan x --plan y", 2}, {"tenant create a --tenant x", 2}, {"key create", 2}, {"key create --tenant", 2},
		{"config dump --doc=1", 2}, {"config dump x", 2}, {"--frob", 2}, {"-c", 2}, {"--redis-secret", 2}, {"key list --frob", 2},
		{"tenant create a --plan golden", 1}, {"tenant create -- --x", 1}, {"key create --tenant ten_none", 1},
		{"key create --tenant x", 1}, {"key revoke key_none", 1}, {"key revoke x", 1}, {"image list", 1},
		{"--redis-secret /nonexistent tenant list", 1}, {"-c /nonexistent config dump", 1},
	};

	(void)state;
	for (size_t i = 0; i < QT_LEN(bad); i++) {
		run(bad[i].line);
		if (r.status != bad[i].status || r.out[0] || r.err[0] == '\0')
			fail_msg("\"%s\": %d, out \"%s\", err \"%s\"", bad[i].line, r.status, r.out, r.err);
	}
	run_to(&r, "/dev/full", "tenant list");
	assert_int_equal(r.status, 1);
	run("status");
	assert_int_equal(r.status, 1);
	assert_non_null(strstr(r.out, "redis    up"));
	assert_non_null(strstr(r.out, "runtime  DOWN"));
	assert_non_null(strstr(r.out, "agent    DOWN"));
	assert_non_null(strstr(r.out, "api      DOWN"));
}

/* What `config dump --doc` prints is a file of settings that means the same. */
static void test_config(void **state)
{
	static char first[65536];
	char path[128], line[256];
	FILE *f;

	(void)state;
	run_ok("config dump --doc");
	memcpy(first, r.out, sizeof(first));
	(void)qt_fmt(path, sizeof(path), "%s/again.conf", redis_dir());
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(first, f) >= 0 && fclose(f) == 0);
	(void)qt_fmt(line, sizeof(line), "-c %s config dump --doc", path);
	run_ok(line);
	assert_string_equal(r.out, first);
	assert_non_null(strstr(first, "# "));
	run_ok("config dump");
	assert_null(strstr(r.out, "# "));
}

/* Help tells every command, and the manual all that help tells of them. */
static void test_manual(void **state)
{
	auto_free char *man = malloc(1 << 17);
	int commands = 0;
	char *line, *save = NULL;

	(void)state;
	must((int)qt_read_file(AT_FDCWD, QT_SRCDIR "/man/quiltctl.1", man, 1 << 17, e));
	run_ok("--version");
	assert_true(qt_starts(r.out, "quiltctl "));
	run_ok("--help");
	for (line = strtok_r(r.out, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char wanted[200] = ".B ";
		size_t n = 3;

		if (!qt_starts(line, "  ") || line[2] == ' ' || line[2] == '-')
			continue;
		/* As roff has it: the words, each dash behind a backslash. */
		for (const char *p = line + 2; *p && n < sizeof(wanted) - 2; p++) {
			if (*p == '-')
				wanted[n++] = '\\';
			wanted[n++] = *p;
		}
		wanted[n] = '\0';
		if (!strstr(man, wanted))
			fail_msg("quiltctl.1 lacks: %s", wanted);
		commands++;
	}
	assert_int_equal(commands, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accounts),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_manual),
	};

	return cmocka_run_group_tests(tests, up, redis_down);
}
