/* Requests taken ahead from a key's rate limit: as many as without, one question to Redis for several, and a revocation that holds soon. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/lease.h"
#include "check.h"
#include "cleanup.h"
#include "clock.h"
#include "redis.h"
#include "str.h"

#define BURST 200 /* of which a lease is a twentieth: 10 */

static struct qt_store *boss, *worker;
static struct qt_conf own;

static int up(void **state)
{
	struct qt_err e = {0};

	if (redis_up(state))
		return -1;
	boss = store_as("quilt-admin");
	own = conf_as("quilt-worker");
	own.rate_burst = own.rate_per_second = BURST;
	return qt_store_new(&worker, &own, &e);
}

static int down(void **state)
{
	qt_store_free(worker);
	qt_store_free(boss);
	return redis_down(state);
}

static struct qt_apikey make_key(char text[42])
{
	struct qt_tenant t;
	struct qt_apikey k;

	must(qt_store_tenant_create(boss, "lease", NULL, &t, e));
	must(qt_store_key_create(boss, &t.id, "", text, &k, e));
	return k;
}

/* No time passes for a bucket that says that it is of the far future. */
static void freeze(const struct qt_apikey *k)
{
	(void)admin_int("HSET quilt:rate:%s at 99999999999", k->sha256);
}

static void fill(const struct qt_apikey *k, int tokens)
{
	(void)admin_int("HSET quilt:rate:%s tokens %d at 99999999999", k->sha256, tokens);
}

static double tokens(const struct qt_apikey *k)
{
	redisReply *r = admin("HGET quilt:rate:%s tokens", k->sha256);
	double n = r->str ? strtod(r->str, NULL) : -1;

	freeReplyObject(r);
	return n;
}

static long long calls(void)
{
	redisReply *r = admin("INFO commandstats");
	const char *p = strstr(r->str, "cmdstat_fcall:calls=");
	long long n = p ? atoll(p + strlen("cmdstat_fcall:calls=")) : 0;

	freeReplyObject(r);
	return n;
}

/* How many of N requests get in, by two tables in turns: two nodes. */
static int admitted(struct qt_leases *const l[2], const char *text, int n)
{
	struct qt_apikey mine;
	int in = 0;

	must(qt_store_digest(mine.sha256, text, e));

	for (int i = 0; i < n; i++) {
		struct qt_apikey k;
		struct qt_err e = {0};
		unsigned after = 0;

		if (qt_leases_auth(l[i % 2], worker, &own, text, &k, &after, &e) == 0) {
			freeze(&mine);
			in++;
			continue;
		}
		assert_int_equal(e.code, QT_E_RATE_LIMITED);
		assert_true(after >= 1);
	}
	return in;
}

static void test_the_limit_is_the_same(void **state)
{
	struct qt_leases *l[2];
	struct qt_apikey k;
	char text[42];
	long long before;

	(void)state;
	k = make_key(text);
	must(qt_leases_new(&l[0], e));
	must(qt_leases_new(&l[1], e));
	fill(&k, BURST);
	before = calls();
	/* What a lease had left when it was over comes back with the next question, however slow this machine is. */
	assert_int_equal(admitted(l, text, BURST), BURST);
	assert_true(calls() - before < BURST * 3 / 4); /* the lower half is taken one by one */
	must(qt_leases_new(&l[0], e));
	must(qt_leases_new(&l[1], e));
	fill(&k, 0);
	assert_int_equal(admitted(l, text, 4), 0);
	/* Fewer than a lease wants. */
	fill(&k, 3);
	assert_int_equal(admitted(l, text, 10), 3);
}

/* Before the first of them has its answer: nobody is refused for what others take ahead. */
static void test_many_at_the_same_moment(void **state)
{
	struct qt_apikey k, got;
	char text[42];
	unsigned after;

	(void)state;
	k = make_key(text);
	for (int full = 0; full < 2; full++) {
		fill(&k, full ? BURST : 10);
		for (int i = 0; i < 10; i++) {
			struct qt_taking t = {.most = 10};

			must(qt_store_auth_sha(worker, k.sha256, &t, &got, &after, e));
			assert_int_equal(t.taken, full ? 10 : 1);
			freeze(&k);
		}
	}
}

static void test_unused_ones_come_back(void **state)
{
	struct qt_leases *l[2];
	struct qt_apikey k;
	char text[42];

	(void)state;
	k = make_key(text);
	must(qt_leases_new(&l[0], e));
	l[1] = l[0];
	fill(&k, BURST);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(admitted(l, text, 1), 1);
		(void)poll(NULL, 0, QT_LEASE_MS + 20);
	}
	/* Three were used, and the last lease holds nine. */
	assert_int_equal((int)(tokens(&k) + 0.5) + QT_LEASE_MAX - 1, BURST - 3);
}

static void test_a_revoked_key_ends_with_its_lease(void **state)
{
	struct qt_leases *l;
	struct qt_apikey k, got;
	unsigned after;
	int64_t began;
	char text[42];

	(void)state;
	k = make_key(text);
	must(qt_leases_new(&l, e));
	must(qt_leases_auth(l, worker, &own, text, &got, &after, e));
	assert_string_equal(got.id.s, k.id.s);
	assert_string_equal(got.tenant.s, k.tenant.s);
	must(qt_store_key_revoke(boss, k.id.s, e));
	began = qt_mono_ms();
	for (;;) {
		struct qt_err e = {0};

		if (qt_leases_auth(l, worker, &own, text, &got, &after, &e) < 0) {
			assert_int_equal(e.code, QT_E_UNAUTHORIZED);
			break;
		}
		assert_true(qt_mono_ms() - began <= QT_LEASE_MS);
	}
	must_not(qt_leases_auth(l, worker, &own, "x", &got, &after, e), QT_E_UNAUTHORIZED);
	must_not(qt_leases_auth(NULL, worker, &own, text, &got, &after, e), QT_E_UNAUTHORIZED);
}

/* Two keys of one place: neither pays for the other. */
static void test_keys_that_meet(void **state)
{
	struct qt_leases *l[2];
	struct qt_apikey first, other;
	char text[42], text2[42];
	int n = 0;

	(void)state;
	first = make_key(text);
	do {
		assert_true(n++ < 20000);
		other = make_key(text2);
	} while (strncmp(other.sha256, first.sha256, 2) != 0);
	must(qt_leases_new(&l[0], e));
	l[1] = l[0];
	fill(&first, BURST);
	fill(&other, BURST);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(admitted(l, text, 1), 1);
		assert_int_equal(admitted(l, text2, 1), 1);
	}
	/* What a lease holds, and at most one lease that was lost while nobody used it: on a slow machine the place changes hands. */
	assert_true(tokens(&first) + tokens(&other) >= 2 * BURST - 100 - 4 * QT_LEASE_MAX);
}

/* Small limits are counted one by one. */
static void test_small_limits(void **state)
{
	struct qt_leases *l;
	struct qt_apikey k, got;
	struct qt_conf small = own;
	struct qt_store *s;
	unsigned after;
	char text[42];
	long long before;

	(void)state;
	k = make_key(text);
	small.rate_per_second = 30;
	must(qt_store_new(&s, &small, e));
	must(qt_leases_new(&l, e));
	fill(&k, 5);
	before = calls();
	for (int i = 0; i < 5; i++) {
		must(qt_leases_auth(l, s, &small, text, &got, &after, e));
		freeze(&k);
	}
	assert_int_equal(calls() - before, 5);
	must_not(qt_leases_auth(l, s, &small, text, &got, &after, e), QT_E_RATE_LIMITED);
	qt_store_free(s);
}

/* One worker: until WANT of its requests got in. */
static int work(struct qt_leases *l, const struct qt_apikey *k, const char *text, int want)
{
	struct qt_err e = {0};
	struct qt_store *s;

	if (qt_store_new(&s, &own, &e) < 0)
		return 1;
	while (want > 0) {
		struct qt_apikey got;
		unsigned after;

		qt_err_reset(&e);
		if (qt_leases_auth(l, s, &own, text, &got, &after, &e) == 0 && strcmp(got.id.s, k->id.s) == 0)
			want--;
		else if (e.code != QT_E_RATE_LIMITED)
			return 2;
	}
	return 0;
}

/* Several processes at once, of which one is killed wherever it is. */
static void test_workers_share(void **state)
{
	struct qt_leases *l;
	struct qt_apikey k;
	pid_t pid[4];
	char text[42];
	int status;

	(void)state;
	k = make_key(text);
	must(qt_leases_new(&l, e));
	for (size_t i = 0; i < QT_LEN(pid); i++) {
		pid[i] = fork();
		assert_true(pid[i] >= 0);
		if (pid[i] == 0)
			_exit(work(l, &k, text, i == 0 ? 1 << 20 : 100));
	}
	(void)poll(NULL, 0, 20);
	assert_int_equal(kill(pid[0], SIGKILL), 0);
	for (size_t i = 0; i < QT_LEN(pid); i++) {
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_true(i == 0 ? WIFSIGNALED(status) : status == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_limit_is_the_same),
		cmocka_unit_test(test_many_at_the_same_moment), cmocka_unit_test(test_unused_ones_come_back),
		cmocka_unit_test(test_a_revoked_key_ends_with_its_lease), cmocka_unit_test(test_keys_that_meet), cmocka_unit_test(test_small_limits), cmocka_unit_test(test_workers_share),
	};

	return cmocka_run_group_tests_name("leases of keys", tests, up, down);
}
