/* Tenants, keys, the rate limit, the copy on disk, in a real Redis. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "check.h"
#include "cleanup.h"
#include "redis.h"
#include "str.h"

static struct qt_store *worker, *agent, *boss;

static int up(void **state)
{
	if (redis_up(state))
		return -1;
	worker = store_as("quilt-worker");
	agent = store_as("quilt-agent");
	boss = store_as("quilt-admin");
	return 0;
}

static int down(void **state)
{
	qt_store_free(worker);
	qt_store_free(agent);
	qt_store_free(boss);
	return redis_down(state);
}

static void count_key(const struct qt_apikey *k, void *arg)
{
	int *n = arg;

	n[0]++;
	n[1] += k->revoked;
}

static void count_tenant(const struct qt_tenant *t, void *arg)
{
	(void)t;
	++*(int *)arg;
}

static void test_keys(void **state)
{
	struct qt_tenant t, u;
	struct qt_apikey made, k, second;
	char text[42], text2[42], bad[300];
	redisReply *r;
	int n[2] = {0};

	(void)state;
	must_not(qt_store_tenant_create(boss, "t", "golden", &t, e), QT_E_VALIDATION_ERROR);
	must_not(qt_store_tenant_create(boss, "a b", NULL, &t, e), QT_E_VALIDATION_ERROR);
	must(qt_store_tenant_create(boss, "t", NULL, &t, e));
	must(qt_store_tenant_create(boss, "t", "large", &u, e));
	assert_int_equal(t.max_containers, 100);
	assert_int_equal(t.max_snapshots, 100);
	must(qt_store_tenant_get(worker, u.id.s, &u, e));
	assert_string_equal(u.plan, "large");
	assert_int_equal(u.max_containers, 1000);
	assert_int_equal(u.max_snapshots, 10000);
	must_not(qt_store_tenant_get(worker, "ten_unknown", &u, e), QT_E_NOT_FOUND);
	must_not(qt_store_tenant_get(worker, "*", &u, e), QT_E_NOT_FOUND);
	must_not(qt_store_key_create(boss, &(struct qt_id){"ten_unknown"}, "n", text, &made, e), QT_E_NOT_FOUND);
	must(qt_store_key_create(boss, &t.id, "n\xc3\xa4me", text, &made, e));
	must(qt_store_key_create(boss, &u.id, "", text2, &second, e));
	assert_int_equal(strlen(text), 41);
	assert_true(qt_starts(text, "quilt_sk_") && strspn(text + 9, "0123456789abcdef") == 32);

	must(qt_store_auth(worker, text, &k, e));
	assert_string_equal(k.tenant.s, t.id.s);
	assert_string_equal(k.id.s, made.id.s);
	assert_string_equal(k.plan, "standard");
	assert_string_equal(k.name, "n\xc3\xa4me");
	assert_true(qt_starts(text, k.prefix) && strlen(k.prefix) == 15);
	memset(bad, 'x', sizeof(bad) - 1);
	bad[sizeof(bad) - 1] = '\0';
	must_not(qt_store_auth(worker, bad, &k, e), QT_E_UNAUTHORIZED);
	must_not(qt_store_auth(worker, "", &k, e), QT_E_UNAUTHORIZED);
	must_not(qt_store_auth(worker, made.sha256, &k, e), QT_E_UNAUTHORIZED);
	must_not(qt_store_auth(worker, "quilt_sk_00000000000000000000000000000000", &k, e), QT_E_UNAUTHORIZED);

	/* Nothing in Redis holds the key itself. */
	r = admin("KEYS *");
	for (size_t i = 0; i < r->elements; i++) {
		redisReply *dump = admin("DUMP %s", r->element[i]->str);

		assert_null(memmem(r->element[i]->str, r->element[i]->len, text + 15, 26));
		assert_null(memmem(dump->str, dump->len, text + 15, 26));
		freeReplyObject(dump);
	}
	freeReplyObject(r);

	must(qt_store_key_each(boss, NULL, count_key, n, e));
	assert_int_equal(n[0], 2);
	must_not(qt_store_key_revoke(boss, "key_unknown", e), QT_E_NOT_FOUND);
	must_not(qt_store_key_revoke(boss, "*", e), QT_E_NOT_FOUND);
	must_not(qt_store_key_revoke(worker, made.id.s, e), QT_E_INTERNAL_ERROR);
	must(qt_store_key_revoke(boss, made.id.s, e));
	must_not(qt_store_auth(worker, text, &k, e), QT_E_UNAUTHORIZED);
	must(qt_store_auth(worker, text2, &k, e));
	n[0] = 0;
	must(qt_store_key_each(boss, &t.id, count_key, n, e));
	assert_int_equal(n[0], 1);
	assert_int_equal(n[1], 1);
}

/* A bucket of five that refills at one in a thousand seconds: five, and then a refusal that says when; without a write to the file. */
static void test_rate(void **state)
{
	struct qt_conf conf = conf_as("quilt-worker");
	struct qt_tenant t;
	struct qt_apikey k;
	struct qt_store *s;
	unsigned after = 0;
	char text[42];

	(void)state;
	must(qt_store_tenant_create(boss, "rate", NULL, &t, e));
	must(qt_store_key_create(boss, &t.id, "", text, &k, e));
	conf.rate_burst = 5;
	conf.rate_per_second = 1;
	must(qt_store_new(&s, &conf, e));
	/* A clock that was set back, and one that lies far ahead. */
	(void)admin_int("HSET quilt:rate:%s tokens 5 at 99999999999", k.sha256);
	for (int i = 0; i < 5; i++)
		must(qt_store_auth_limited(s, text, &k, &after, e));
	/* Empty, whatever the time was between the five. */
	(void)admin_int("HSET quilt:rate:%s tokens 0 at 99999999999", k.sha256);
	must_not(qt_store_auth_limited(s, text, &k, &after, e), QT_E_RATE_LIMITED);
	assert_int_equal(after, 1);
	(void)admin_int("HSET quilt:rate:%s at 1", k.sha256);
	must(qt_store_auth_limited(s, text, &k, &after, e));
	assert_string_equal(k.tenant.s, t.id.s);
	must_not(qt_store_auth_limited(s, "x", &k, &after, e), QT_E_UNAUTHORIZED);
	must(qt_store_key_revoke(boss, k.id.s, e));
	must_not(qt_store_auth_limited(s, text, &k, &after, e), QT_E_UNAUTHORIZED);
	qt_store_free(s);
}

static long long aof_size(void)
{
	redisReply *r = admin("INFO persistence");
	const char *p = strstr(r->str, "aof_current_size:");
	long long n = p ? atoll(p + strlen("aof_current_size:")) : -1;

	freeReplyObject(r);
	return n;
}

static void test_rate_is_not_written(void **state)
{
	struct qt_tenant t;
	struct qt_apikey k;
	unsigned after;
	char text[42];
	long long before;

	(void)state;
	must(qt_store_tenant_create(boss, "aof", NULL, &t, e));
	must(qt_store_key_create(boss, &t.id, "", text, &k, e));
	before = aof_size();
	assert_true(before > 0);
	for (int i = 0; i < 20; i++)
		must(qt_store_auth_limited(worker, text, &k, &after, e));
	assert_int_equal(aof_size(), before);
	assert_int_equal(admin_int("EXISTS quilt:rate:%s", k.sha256), 1);
}

/* FLUSHALL: nobody is told that his key is wrong; the copy brings all back, also what was revoked; and twice is once. */
static void test_copy(void **state)
{
	struct qt_tenant t;
	struct qt_apikey good, bad, k;
	char good_text[42], bad_text[42];
	struct qt_err err = {0};
	int before[2] = {0}, after[2] = {0}, tenants = 0, tenants_after = 0;
	json_t *copy, *again, *broken;

	(void)state;
	must(qt_store_tenant_create(boss, "copy", "unlimited", &t, e));
	must(qt_store_key_create(boss, &t.id, "good", good_text, &good, e));
	must(qt_store_key_create(boss, &t.id, "bad", bad_text, &bad, e));
	must(qt_store_key_revoke(boss, bad.id.s, e));
	copy = qt_store_export(agent, &err);
	assert_non_null(copy);
	must(qt_store_key_each(boss, NULL, count_key, before, e));
	must(qt_store_tenant_each(boss, count_tenant, &tenants, e));
	freeReplyObject(admin("FLUSHALL"));
	must_not(qt_store_auth(worker, good_text, &k, e), QT_E_STORE_UNAVAILABLE);
	must_not(qt_store_import(worker, copy, e), QT_E_INTERNAL_ERROR);
	/* Nobody comes in without his tenant. */
	broken = json_pack("{s:i, s:[{}], s:O}", "version", 1, "tenants", "keys", json_object_get(copy, "keys"));
	must_not(qt_store_import(agent, broken, e), QT_E_INTERNAL_ERROR);
	json_decref(broken);
	must_not(qt_store_auth(worker, good_text, &k, e), QT_E_STORE_UNAVAILABLE);
	must(qt_store_import(agent, copy, e));
	must(qt_store_import(agent, copy, e));
	must(qt_store_auth(worker, good_text, &k, e));
	must_not(qt_store_auth(worker, bad_text, &k, e), QT_E_UNAUTHORIZED);
	must_not(qt_store_auth(worker, "other", &k, e), QT_E_UNAUTHORIZED);
	must(qt_store_tenant_get(worker, t.id.s, &t, e));
	assert_int_equal(t.max_containers, 32768);
	must(qt_store_key_each(boss, NULL, count_key, after, e));
	must(qt_store_tenant_each(boss, count_tenant, &tenants_after, e));
	assert_memory_equal(before, after, sizeof(before));
	assert_int_equal(tenants, tenants_after);
	again = qt_store_export(agent, &err);
	assert_true(json_equal(copy, again));
	/* A key that was revoked after Redis had lost it stays revoked. */
	(void)admin_int("HSET quilt:apikey:%s revoked 0", bad.sha256);
	must(qt_store_import(agent, copy, e));
	must_not(qt_store_auth(worker, bad_text, &k, e), QT_E_UNAUTHORIZED);

	for (const char *const *p = (const char *const[]){
		     "null", "{}", "[]", "{\"version\":1}", "{\"version\":2,\"tenants\":[],\"keys\":[]}",
		     "{\"version\":1,\"tenants\":[{}],\"keys\":[]}", "{\"version\":1,\"tenants\":[7],\"keys\":[]}",
		     "{\"version\":1,\"tenants\":[],\"keys\":[{\"key_id\":\"key_1\",\"tenant\":\"ten_1\",\"sha256\":\"x:y\"}]}",
		     "{\"version\":1,\"tenants\":[{\"id\":\"ten_1\",\"name\":\"n\",\"max_containers\":-1}],\"keys\":[]}", NULL};
	     *p; p++) {
		broken = json_loads(*p, JSON_DECODE_ANY, NULL);
		must_not(qt_store_import(agent, broken, e), QT_E_INTERNAL_ERROR);
		json_decref(broken);
	}
	json_decref(copy);
	json_decref(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_rate_is_not_written),
		cmocka_unit_test(test_copy),
	};

	return cmocka_run_group_tests(tests, up, down);
}
