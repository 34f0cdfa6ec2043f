/* Idempotency-Key in a real Redis: one holder, the first answer for all others, bounds. */
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

#define LOCK_S 60
#define ME     "77.4711.node-1"

static struct qt_store *worker;
static const struct qt_id tenant = {"ten_idem"}, other = {"ten_other"};

static int up(void **state)
{
	if (redis_up(state))
		return -1;
	worker = store_as("quilt-worker");
	return 0;
}

static int down(void **state)
{
	qt_store_free(worker);
	return redis_down(state);
}

static void test_first_and_others(void **state)
{
	struct qt_idem a, b;

	(void)state;
	assert_int_equal(must(qt_store_idem_begin(worker, &tenant, "k", "r1", ME, "", LOCK_S, &a, e)), 0);
	assert_true(a.token.s[0]);
	must_not(qt_store_idem_begin(worker, &tenant, "k", "r1", ME, "", LOCK_S, &b, e), QT_E_IDEMPOTENCY_IN_PROGRESS);
	must_not(qt_store_idem_begin(worker, &tenant, "k", "r2", ME, "", LOCK_S, &b, e), QT_E_IDEMPOTENCY_CONFLICT);
	assert_false(b.too_large);
	/* Another tenant's key is another key. */
	assert_int_equal(must(qt_store_idem_begin(worker, &other, "k", "r2", ME, "", LOCK_S, &b, e)), 0);
	must(qt_store_idem_end(worker, &tenant, &a, 201, "application/json", "{\"a\":1}", 7, e));
	assert_int_equal(must(qt_store_idem_begin(worker, &tenant, "k", "r1", ME, "", LOCK_S, &b, e)), 1);
	assert_int_equal(b.status, 201);
	assert_string_equal(b.type, "application/json");
	assert_string_equal(b.text, "{\"a\":1}");
	assert_string_equal(b.token.s, "");
	free(b.text);
	must_not(qt_store_idem_begin(worker, &tenant, "k", "r2", ME, "", LOCK_S, &b, e), QT_E_IDEMPOTENCY_CONFLICT);
	assert_true(admin_int("TTL quilt:{%s}:idem:%s", tenant.s, a.key) > 86000);
}

/* What failed for now is not kept; and who was too slow does not end what is another's. */
static void test_forgotten(void **state)
{
	struct qt_idem a, b;

	(void)state;
	must(qt_store_idem_begin(worker, &tenant, "again", "r", ME, "", LOCK_S, &a, e));
	assert_in_range(admin_int("TTL quilt:{%s}:idem:%s", tenant.s, a.key), 1, LOCK_S);
	must(qt_store_idem_end(worker, &tenant, &a, 0, "application/json", "", 0, e));
	assert_int_equal(must(qt_store_idem_begin(worker, &tenant, "again", "r", ME, "", LOCK_S, &b, e)), 0);
	must_not(qt_store_idem_end(worker, &tenant, &a, 200, "application/json", "{}", 2, e), QT_E_CONFLICT);
	must(qt_store_idem_end(worker, &tenant, &b, 200, "application/json", "{}", 2, e));
}

/* Whoever knows that the holder is dead takes its place; its late word counts no more. */
static void test_a_dead_holder(void **state)
{
	struct qt_idem a, b;

	(void)state;
	must(qt_store_idem_begin(worker, &tenant, "dead", "r", ME, "", LOCK_S, &a, e));
	must_not(qt_store_idem_begin(worker, &tenant, "dead", "r", "78.1.node-1", "", LOCK_S, &b, e), QT_E_IDEMPOTENCY_IN_PROGRESS);
	assert_string_equal(b.holder, ME);
	must_not(qt_store_idem_begin(worker, &tenant, "dead", "r", "78.1.node-1", "77.1.node-1", LOCK_S, &b, e), QT_E_IDEMPOTENCY_IN_PROGRESS);
	must_not(qt_store_idem_begin(worker, &tenant, "dead", "other", "78.1.node-1", ME, LOCK_S, &b, e), QT_E_IDEMPOTENCY_CONFLICT);
	assert_int_equal(must(qt_store_idem_begin(worker, &tenant, "dead", "r", "78.1.node-1", ME, LOCK_S, &b, e)), 0);
	must_not(qt_store_idem_end(worker, &tenant, &a, 200, "t", "{}", 2, e), QT_E_CONFLICT);
	must(qt_store_idem_end(worker, &tenant, &b, 200, "t", "{}", 2, e));
	/* What is over is kept, whoever died. */
	assert_int_equal(must(qt_store_idem_begin(worker, &tenant, "dead", "r", ME, "78.1.node-1", LOCK_S, &a, e)), 1);
	free(a.text);
}

static void test_bounds(void **state)
{
	static char text[QT_IDEM_TEXT_MAX + 1];
	struct qt_idem a, b;
	char key[32];

	(void)state;
	memset(text, 'x', sizeof(text));
	must(qt_store_idem_begin(worker, &tenant, "large", "r", ME, "", LOCK_S, &a, e));
	must(qt_store_idem_end(worker, &tenant, &a, 200, "t", text, sizeof(text), e));
	must_not(qt_store_idem_begin(worker, &tenant, "large", "r", ME, "", LOCK_S, &b, e), QT_E_IDEMPOTENCY_CONFLICT);
	assert_true(b.too_large);
	/* The newest 500 that are not small. */
	for (int i = 0; i < 502; i++) {
		(void)qt_fmt(key, sizeof(key), "big%d", i);
		must(qt_store_idem_begin(worker, &tenant, key, "r", ME, "", LOCK_S, &a, e));
		must(qt_store_idem_end(worker, &tenant, &a, 200, "t", text, i == 0 ? QT_IDEM_TEXT_MAX : 5000, e));
		if (i == 0) {
			assert_int_equal(must(qt_store_idem_begin(worker, &tenant, key, "r", ME, "", LOCK_S, &b, e)), 1);
			assert_int_equal(b.len, QT_IDEM_TEXT_MAX);
			free(b.text);
		}
	}
	assert_int_equal(admin_int("ZCARD quilt:{%s}:idems:big", tenant.s), 500);
	must_not(qt_store_idem_begin(worker, &tenant, "big501", "other", ME, "", LOCK_S, &b, e), QT_E_IDEMPOTENCY_CONFLICT);
	assert_int_equal(must(qt_store_idem_begin(worker, &tenant, "big0", "r", ME, "", LOCK_S, &b, e)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_and_others),
		cmocka_unit_test(test_forgotten),
		cmocka_unit_test(test_a_dead_holder),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, up, down);
}
