/* Whose archives and credentials the sweeps take: in a directory, with a Redis of one operation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "images.h"
#include "spool.h"
#include "str.h"

static struct qt_conf conf;
static struct qt_life life = {.conf = &conf};
static char dir[] = "/tmp/qt-spool-XXXXXX", path[64], secrets[64];
static struct qt_op op;
static bool away, there;
static enum qt_op_status status;

int qt_store_op_get(struct qt_store *s, const struct qt_id *tenant, const char *id, struct qt_op *ret, struct qt_err *e)
{
	(void)s;
	if (away)
		return qt_fail(e, QT_E_STORE_UNAVAILABLE, "Redis is away");
	if (!there || !qt_streq(tenant->s, op.tenant.s) || !qt_streq(id, op.id.s))
		return qt_fail(e, QT_E_OPERATION_NOT_FOUND, "there is no such operation");
	qt_op_init(ret);
	ret->status = status;
	return 0;
}

static int begin(void **state)
{
	(void)state;
	if (!mkdtemp(dir) || !qt_fmt(path, sizeof(path), "%s/spool", dir) || mkdir(path, 0700) < 0 || !qt_fmt(secrets, sizeof(secrets), "%s/secrets", dir) ||
	    mkdir(secrets, 0700) < 0)
		return -1;
	(void)qt_fmt(conf.state_dir, sizeof(conf.state_dir), "%s", dir);
	(void)qt_fmt(conf.run_dir, sizeof(conf.run_dir), "%s", dir);
	op.tenant = qt_id_new("ten");
	op.id = qt_id_new("op");
	return 0;
}

static int end(void **state)
{
	(void)state;
	return rmdir(path) < 0 || rmdir(secrets) < 0 || rmdir(dir) < 0; /* empty */
}

static bool kept(void)
{
	struct qt_err e = {0};
	auto_close int fd = qt_spool_open(&conf, &op, &e);

	assert_true(fd >= 0 || e.code == QT_E_FILE_NOT_FOUND);
	return fd >= 0;
}

static int keep(void)
{
	struct qt_err e = {0};
	int fd = qt_spool_new(&conf, &op.tenant, &e);

	assert_true(fd >= 0);
	assert_int_equal(qt_spool_keep(&conf, fd, &op, &e), 0);
	assert_true(kept());
	return fd;
}

static int sweep(void)
{
	struct qt_err e = {0};

	return qt_spool_sweep(&life, &e);
}

/* Between its name and its operation only the worker knows of it; when that is dead, nobody does. */
static void a_dead_workers_archive_goes_at_once(void **state)
{
	int fd = keep();

	(void)state;
	there = false;
	assert_int_equal(sweep(), 0);
	assert_true(kept());
	(void)close(fd); /* as its death does */
	assert_int_equal(sweep(), 0);
	assert_false(kept());
}

static void an_operations_archive_stays_until_its_end(void **state)
{
	(void)state;
	(void)close(keep());
	there = true;
	status = QT_OP_RUNNING;
	assert_int_equal(sweep(), 0);
	assert_true(kept());
	away = true;
	assert_int_equal(sweep(), -1);
	assert_true(kept());
	away = false;
	status = QT_OP_SUCCEEDED;
	assert_int_equal(sweep(), 0);
	assert_false(kept());
}

static void put_secret(void)
{
	json_t *secret = json_pack("{s:s}", "registry_password", "s3cret");

	assert_int_equal(qt_secret_put(&conf, &op, secret, &(struct qt_err){0}), 0);
	json_decref(secret);
}

static bool has_secret(void)
{
	json_t *secret = qt_secret_get(&conf, &op);
	bool has = secret != NULL;

	json_decref(secret);
	return has;
}

/* What the sweep says, and whether the credentials are there after it. */
static void sweep_secrets(int want, bool want_kept)
{
	struct qt_err e = {0};

	assert_int_equal(qt_secret_sweep(&life, &e), want);
	assert_int_equal(has_secret(), want_kept);
}

static void an_operations_credentials_stay_until_its_end(void **state)
{
	(void)state;
	for (enum qt_op_status s = 0; s < QT_OP_STATUS_COUNT; s++) {
		put_secret();
		there = true;
		status = s;
		away = true;
		sweep_secrets(-1, true);
		away = false;
		sweep_secrets(0, !qt_op_final(s));
		qt_secret_drop(&conf, &op);
		assert_false(has_secret());
	}
}

/* Their operation is submitted after they are written; of a worker that died in between it never is. */
static void a_dead_workers_credentials_go_after_a_while(void **state)
{
	const struct timespec old[2] = {{.tv_sec = time(NULL) - 3600}, {.tv_sec = time(NULL) - 3600}};
	char file[192];

	(void)state;
	put_secret();
	there = false;
	sweep_secrets(0, true);
	assert_true(qt_fmt(file, sizeof(file), "%s/%s.%s", secrets, op.tenant.s, op.id.s));
	assert_int_equal(utimensat(AT_FDCWD, file, old, 0), 0);
	sweep_secrets(0, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dead_workers_archive_goes_at_once),
		cmocka_unit_test(an_operations_archive_stays_until_its_end),
		cmocka_unit_test(an_operations_credentials_stay_until_its_end),
		cmocka_unit_test(a_dead_workers_credentials_go_after_a_while),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
