/* Pulled images in a real Redis, as quilt-worker and quilt-agent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "check.h"
#include "cleanup.h"
#include "clock.h"
#include "imgs.h"
#include "redis.h"
#include "scene.h"
#include "str.h"

#define REF "docker.io/library/nginx:latest"

static void new_img(struct qt_img *i, const struct qt_tenant *t, int64_t pulled_ms)
{
	qt_img_init(i);
	i->id = qt_id_new("img");
	i->tenant = t->id;
	i->pulled_ms = pulled_ms;
	i->size_bytes = 5000000000;
	(void)qt_copy(i->reference, sizeof(i->reference), REF);
	(void)qt_copy(i->manifest_digest, sizeof(i->manifest_digest), "sha256:0");
	(void)qt_copy(i->node, sizeof(i->node), "n");
	json_array_append_new(i->env, json_string("A=ä"));
}

static bool untagged(const struct qt_img *i)
{
	auto_img struct qt_img now = {0};

	must(qt_store_img_get(worker, &i->tenant, i->id.s, &now, e));
	return now.untagged;
}

static void expect_meant(const struct qt_tenant *t, const struct qt_img *want)
{
	auto_img struct qt_img now = {0};

	must(qt_store_img_get(worker, &t->id, REF, &now, e));
	assert_string_equal(now.id.s, want->id.s);
}

static void test_references(void **state)
{
	struct qt_tenant t = new_tenant("a", NULL), other = new_tenant("b", NULL);
	auto_img struct qt_img first, second, older, got = {0};

	(void)state;
	new_img(&first, &t, 100);
	new_img(&second, &t, 200);
	new_img(&older, &t, 50);
	must(qt_store_img_put(agent, &first, e));
	must(qt_store_img_put(agent, &first, e));
	expect_meant(&t, &first);
	must(qt_store_img_get(worker, &t.id, REF, &got, e));
	assert_int_equal(got.size_bytes, 5000000000);
	assert_true(json_equal(got.env, first.env));
	must_not(qt_store_img_get(worker, &other.id, REF, &got, e), QT_E_IMAGE_NOT_FOUND);
	must_not(qt_store_img_get(worker, &other.id, first.id.s, &got, e), QT_E_IMAGE_NOT_FOUND);
	must_not(qt_store_img_remove(worker, &other.id, &first.id, e), QT_E_IMAGE_NOT_FOUND);

	/* Pulled anew: the reference means the new one, and the old one stays, without it. */
	must(qt_store_img_put(agent, &second, e));
	expect_meant(&t, &second);
	assert_true(untagged(&first));
	assert_false(untagged(&second));
	/* What comes back after a loss does not take it, if it is older. */
	must(qt_store_img_restore(agent, &older, e));
	expect_meant(&t, &second);
	assert_true(untagged(&older));
	must(qt_store_img_remove(worker, &t.id, &first.id, e));
	expect_meant(&t, &second);
	must(qt_store_img_remove(worker, &t.id, &second.id, e));
	must_not(qt_store_img_remove(worker, &t.id, &second.id, e), QT_E_IMAGE_NOT_FOUND);
	must_not(qt_store_img_get(worker, &t.id, REF, &got, e), QT_E_IMAGE_NOT_FOUND);
	must_not(qt_store_img_restore(agent, &second, e), QT_E_IMAGE_NOT_FOUND);
	must(qt_store_img_remove(worker, &t.id, &older.id, e));
}

static void test_lists(void **state)
{
	struct qt_tenant t = new_tenant("c", NULL);
	struct qt_img_list list;

	(void)state;
	for (int n = 0; n < 3; n++) {
		auto_img struct qt_img i;

		new_img(&i, &t, 300 - n);
		(void)qt_fmt(i.reference, sizeof(i.reference), "docker.io/library/i%d:latest", n);
		must(qt_store_img_put(agent, &i, e));
	}
	must(qt_store_img_list(worker, &t.id, &list, e));
	assert_int_equal(list.n, 3);
	for (int n = 0; n < 3; n++)
		assert_int_equal(list.v[n].pulled_ms, 298 + n);
	qt_img_list_done(&list);
	must(qt_store_img_of_node(agent, "n", &list, e));
	assert_int_equal(list.n, 3);
	qt_img_list_done(&list);
	must(qt_store_img_of_node(agent, "m", &list, e));
	assert_int_equal(list.n, 0);
	qt_img_list_done(&list);
}

static void test_quota(void **state)
{
	struct qt_tenant t = new_tenant("d", NULL);
	struct qt_store *boss = store_as("quilt-admin");
	auto_img struct qt_img a, b;
	redisReply *r = admin("HSET quilt:tenant:%s max_images 1", t.id.s);

	(void)state;
	freeReplyObject(r);
	new_img(&a, &t, 1);
	new_img(&b, &t, 2);
	must(qt_store_img_room(worker, &t.id, e));
	must(qt_store_img_put(agent, &a, e));
	must_not(qt_store_img_room(worker, &t.id, e), QT_E_QUOTA_EXCEEDED);
	must_not(qt_store_img_put(agent, &b, e), QT_E_QUOTA_EXCEEDED);
	must(qt_store_img_put(agent, &a, e));
	qt_store_free(boss);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(test_references), cmocka_unit_test(test_lists), cmocka_unit_test(test_quota)};

	return cmocka_run_group_tests(tests, up, down);
}
