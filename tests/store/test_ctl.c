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

/* Quotas can be read and changed one by one, and an upgrade fills in and counts anew what an older version did not write. */
static void test_quotas(void **state)
{
	char tenant[QT_ID_MAX + 1], line[256];
	struct qt_tenant t;
	struct qt_store *s = store_as("quilt-worker");
	struct qt_vol v;

	(void)state;
	run_ok("store init");
	run_ok("tenant create quotas");
	r.out[strcspn(r.out, "\n")] = '\0';
	assert_true(qt_copy(tenant, sizeof(tenant), r.out));
	(void)qt_fmt(line, sizeof(line), "tenant quota %s --set volumes=7", tenant);
	run_ok(line);
	must(qt_store_tenant_get(s, tenant, &t, e));
	assert_int_equal(t.max_volumes, 7);
	assert_int_equal(t.max_containers, 100);

	qt_vol_init(&v);
	v.id = qt_id_new("vol");
	v.tenant = t.id;
	v.created_ms = 1;
	v.max_bytes = 5 << 20;
	(void)qt_copy(v.name, sizeof(v.name), "data");
	(void)qt_copy(v.node, sizeof(v.node), "n");
	must(qt_store_vol_reserve(s, &v, 1, e));
	/* As an older version left it. */
	(void)admin_int("HDEL quilt:tenant:%s max_disk_bytes max_gpus", tenant);
	(void)admin_int("DEL quilt:{%s}:used", tenant);
	run_ok("store init");
	must(qt_store_tenant_get(s, tenant, &t, e));
	assert_int_equal(t.max_disk_bytes, 1099511627776);
	assert_int_equal(t.max_volumes, 7);
	(void)qt_fmt(line, sizeof(line), "tenant quota %s", tenant);
	run_ok(line);
	assert_non_null(strstr(r.out, "volumes                      7                 1  volumes\n"));
	assert_non_null(strstr(r.out, "disk_bytes       1099511627776           5242880  "));
	must(qt_store_vol_remove(s, &t.id, &v.id, e));
	qt_vol_done(&v);

	for (const char *const *p = (const char *const[]){"volumes", "volumes=", "volumes=-1", "bicycles=1", "=1", NULL}; *p; p++) {
		(void)qt_fmt(line, sizeof(line), "tenant quota %s --set %s", tenant, *p);
		run(line);
		assert_int_equal(r.status, 1);
	}
	run("tenant quota ten_nobody --set volumes=1");
	assert_int_equal(r.status, 1);
	qt_store_free(s);
}

static void record(const char *tenant, const char *at, const char *event, const char *subject, const char *rest)
{
	redisReply *a = admin("XADD quilt:{%s}:usage %s tenant_id %s event_type %s%s%s timestamp 0 duration_seconds 0 %s", tenant, at, tenant,
			      event, *subject ? " container_id " : "", subject, rest);

	assert_int_equal(a->type, REDIS_REPLY_STRING);
	freeReplyObject(a);
}

#define RUN(from, until) "memory_mb 512 cpu_percent 50.00 metadata {\"from_ms\":" #from ",\"until_ms\":" #until "}"

/* The sum takes the union of samples and stops, cut to the period; all times are seconds of 2026-01-02, in ms since 1970. */
static void test_usage(void **state)
{
	static const struct {
		const char *period;
		double seconds;
		int starts;
	} rows[] = {
		{"--since 2026-01-01 --until 2026-01-03", 100 + 30, 2},
		{"--since 2026-01-02T00:00:50Z --until 2026-01-02T00:01:10Z", 20, 0},	/* in the midst of a run */
		{"--since 2026-01-02T00:01:35Z --until 2026-01-03", 5 + 30, 1},		/* what the stop tells and the samples do not */
		{"--since 2026-01-01 --until 2026-01-02", 0, 0},
	};
	char tenant[QT_ID_MAX + 1], line[256];

	(void)state;
	run_ok("tenant create usage");
	r.out[strcspn(r.out, "\n")] = '\0';
	assert_true(qt_copy(tenant, sizeof(tenant), r.out));
	record(tenant, "1767312000001-0", "container_created", "ctr_1", "memory_mb 512");
	record(tenant, "1767312000001-1", "container_started", "ctr_1", "memory_mb 512");
	record(tenant, "1767312030000-0", "container_runtime", "ctr_1", RUN(1767312000000, 1767312030000));
	record(tenant, "1767312090000-0", "container_runtime", "ctr_1", RUN(1767312030000, 1767312090000));
	record(tenant, "1767312100000-0", "container_stopped", "ctr_1", RUN(1767312000000, 1767312100000));
	record(tenant, "1767312200000-0", "container_started", "ctr_1", "memory_mb 512");
	record(tenant, "1767312230000-0", "container_stopped", "ctr_1", RUN(1767312200000, 1767312230000));
	record(tenant, "1767312231000-0", "volume_created", "", "metadata {\"volume_id\":\"vol_1\",\"max_bytes\":2097152}");
	record(tenant, "1767312241000-0", "volume_deleted", "",
	       "metadata {\"volume_id\":\"vol_1\",\"max_bytes\":2097152,\"from_ms\":1767312231000,\"until_ms\":1767312241000}");
	for (size_t i = 0; i < QT_LEN(rows); i++) {
		json_t *list, *u;

		(void)qt_fmt(line, sizeof(line), "usage --json --tenant %s %s", tenant, rows[i].period);
		run_ok(line);
		list = json_loads(r.out, 0, NULL);
		u = json_array_get(list, 0);
		assert_int_equal(json_array_size(list), 1);
		assert_true(json_number_value(json_object_get(u, "container_seconds")) == rows[i].seconds);
		assert_true(json_number_value(json_object_get(u, "memory_mb_seconds")) == 512 * rows[i].seconds);
		assert_true(json_number_value(json_object_get(u, "cpu_seconds")) == rows[i].seconds / 2);
		assert_int_equal(json_integer_value(json_object_get(u, "container_starts")), rows[i].starts);
		if (i == 0) {
			assert_true(json_number_value(json_object_get(u, "volume_mb_seconds")) == 20);
			assert_int_equal(json_integer_value(json_object_get(u, "volumes_created")), 1);
			assert_int_equal(json_integer_value(json_object_get(u, "containers_created")), 1);
		}
		json_decref(list);
	}
	(void)qt_fmt(line, sizeof(line), "usage --tenant %s --since 2026-01-01 --until 2026-01-03", tenant);
	run_ok(line);
	assert_non_null(strstr(r.out, "MEMORY_MB_S"));
	assert_non_null(strstr(r.out, " 130 "));
	assert_non_null(strstr(r.out, " 66560 "));
	/* What the stream has lost is said. */
	(void)admin_int("XTRIM quilt:{%s}:usage MAXLEN 3", tenant);
	run(line);
	assert_int_equal(r.status, 0);
	assert_non_null(strstr(r.err, "too small"));
	run_ok("usage");
	run("usage --tenant ten_nobody");
	assert_int_equal(r.status, 1);
	run("usage --since yesterday");
	assert_int_equal(r.status, 1);
	run("usage --since 2026-01-02 --until 2026-01-01");
	assert_int_equal(r.status, 1);
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
	assert_int_equal(commands, 13);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accounts),
		cmocka_unit_test(test_quotas),
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_manual),
	};

	return cmocka_run_group_tests(tests, up, redis_down);
}
