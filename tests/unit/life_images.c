/* Pulled images: deleting them, and the settling. What a pull does step by step, tests/integration/test_oci.py sees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "images.h"
#include "imgs.h"
#include "life_world.h"
#include "str.h"

static struct {
	bool in_redis, in_rt, in_use, gone; /* gone: it was removed a moment ago */
	struct qt_img redis;
	char record[16385];
} w;

static const struct qt_id ID = {"img_1"};

void img_world_clear(void)
{
	if (w.in_redis)
		qt_img_done(&w.redis);
	memset(&w, 0, sizeof(w));
}

/* --- Redis --------------------------------------------------------------------------------------------- */

static int no_img(struct qt_err *e)
{
	return qt_fail(e, QT_E_IMAGE_NOT_FOUND, "there is no such image");
}

static void copy_img(struct qt_img *to, const struct qt_img *from)
{
	char *text = qt_img_dump(from, &(struct qt_err){0});

	assert_non_null(text);
	assert_int_equal(qt_img_load(to, text, strlen(text), &(struct qt_err){0}), 0);
	free(text);
}

int qt_store_img_room(struct qt_store *s, const struct qt_id *tenant, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	return redis_away(e);
}

int qt_store_op_log(struct qt_store *s, const struct qt_op *o, const char *stream, unsigned step, const char *text, struct qt_err *e)
{
	(void)s;
	(void)o;
	(void)stream;
	(void)step;
	(void)text;
	return redis_away(e);
}

int qt_store_img_put(struct qt_store *s, const struct qt_img *i, struct qt_err *e)
{
	(void)s;
	if (redis_away(e) < 0)
		return -1;
	if (!w.in_redis)
		copy_img(&w.redis, i);
	w.in_redis = true;
	return 0;
}

int qt_store_img_restore(struct qt_store *s, const struct qt_img *i, struct qt_err *e)
{
	return w.gone ? no_img(e) : qt_store_img_put(s, i, e);
}

int qt_store_img_get(struct qt_store *s, const struct qt_id *tenant, const char *who, struct qt_img *ret, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	if (redis_away(e) < 0)
		return -1;
	if (!w.in_redis || (!qt_streq(who, w.redis.id.s) && !qt_streq(who, w.redis.reference)))
		return no_img(e);
	copy_img(ret, &w.redis);
	return 0;
}

static int list(struct qt_img_list *ret, struct qt_err *e)
{
	memset(ret, 0, sizeof(*ret));
	if (redis_away(e) < 0)
		return -1;
	if (!w.in_redis)
		return 0;
	ret->v = calloc(1, sizeof(*ret->v));
	assert_non_null(ret->v);
	copy_img(&ret->v[0], &w.redis);
	ret->n = 1;
	return 0;
}

int qt_store_img_list(struct qt_store *s, const struct qt_id *tenant, struct qt_img_list *ret, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	return list(ret, e);
}

int qt_store_img_of_node(struct qt_store *s, const char *node, struct qt_img_list *ret, struct qt_err *e)
{
	(void)s;
	(void)node;
	return list(ret, e);
}

void qt_img_list_done(struct qt_img_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		qt_img_done(&l->v[i]);
	free(l->v);
	memset(l, 0, sizeof(*l));
}

int qt_store_img_remove(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	(void)id;
	if (redis_away(e) < 0)
		return -1;
	if (!w.in_redis)
		return no_img(e);
	qt_img_done(&w.redis);
	w.in_redis = false;
	w.gone = true;
	return 0;
}

/* --- the runtime --------------------------------------------------------------------------------------- */

bool img_is_asked(enum rt_op op, const void *req)
{
	return (op == RT_OBJ_LIST && qt_streq(((const struct rt_obj_list_req *)req)->kind.s, "img")) ||
	       ((op == RT_OBJ_GET || op == RT_OBJ_DELETE) && qt_starts(((const struct qt_id *)req)->s, "img_"));
}

int img_carry_out(enum rt_op op, const void *req, void *rep, struct qt_err *e)
{
	struct rt_strv *ids = &((struct rt_obj_list_rep *)rep)->ids;
	static char buf[64];

	switch (op) {
	case RT_OBJ_LIST:
		*ids = (struct rt_strv){buf, 0, 0};
		if (w.in_rt && strcmp(((const struct rt_obj_list_req *)req)->after.s, ID.s) < 0)
			assert_true(rt_strv_add(ids, buf, sizeof(buf), ID.s));
		return 0;
	case RT_OBJ_GET:
		if (!w.in_rt)
			return no_img(e);
		*(struct rt_obj_get_rep *)rep = (struct rt_obj_get_rep){.tenant = TENANT, .record = rt_str(w.record)};
		return 0;
	case RT_OBJ_DELETE:
		if (w.in_rt && w.in_use)
			return qt_fail(e, QT_E_IMAGE_IN_USE, "a container stands on it");
		w.in_rt = false;
		return 0;
	default:
		fail_msg("asked for %d", op);
		return -1;
	}
}

/* --- tests --------------------------------------------------------------------------------------------- */

static void there(void)
{
	char *text;

	qt_img_init(&w.redis);
	w.redis.id = ID;
	w.redis.tenant = TENANT;
	strcpy(w.redis.reference, "docker.io/library/nginx:latest");
	strcpy(w.redis.manifest_digest, "sha256:0");
	text = qt_img_dump(&w.redis, &(struct qt_err){0});
	assert_non_null(text);
	strcpy(w.record, text);
	free(text);
	w.in_redis = w.in_rt = true;
}

static void test_get(void **state)
{
	auto_img struct qt_img i = {0};
	struct qt_err e = {0};

	(void)state;
	there();
	assert_int_equal(qt_life_img_get(&life, &TENANT, "/image", "nginx", &i, &e), 0);
	assert_string_equal(i.id.s, ID.s);
	assert_int_equal(qt_life_img_get(&life, &TENANT, "/image", "nginx:1", &i, &e), -1);
	assert_int_equal(e.code, QT_E_IMAGE_NOT_FOUND);
	assert_non_null(strstr(e.hint, "/api/oci/images/pull"));
	assert_string_equal(e.field, "/image");
}

static void test_delete(void **state)
{
	/* Whatever request it is cut off at: Redis and the runtime agree in the end, and it never comes back. */
	for (unsigned how = 0; how < 3; how++) {
		for (unsigned n = 1; n < 4; n++) {
			auto_img struct qt_img i = {0};

			(void)setup(state);
			there();
			copy_img(&i, &w.redis);
			world_dies(how == 0 ? n : 0, how > 0 ? n : 0, how == 2);
			(void)qt_life_img_delete(&life, &i, &(struct qt_err){0});
			(void)settle();
			assert_int_equal(w.in_redis, w.in_rt);
			(void)teardown(state);
		}
	}
	(void)setup(state);
}

static void test_in_use(void **state)
{
	auto_img struct qt_img i = {0};
	struct qt_err e = {0};

	(void)state;
	there();
	w.in_use = true;
	copy_img(&i, &w.redis);
	assert_int_equal(qt_life_img_delete(&life, &i, &e), -1);
	assert_int_equal(e.code, QT_E_IMAGE_IN_USE);
	assert_true(w.in_redis && w.in_rt);
	/* Its reference means another one by now: it goes when it can. */
	w.redis.untagged = true;
	(void)settle();
	assert_true(w.in_redis && w.in_rt);
	w.in_use = false;
	assert_int_equal(settle().deleted, 1);
	assert_false(w.in_redis || w.in_rt);
}

static void test_settle(void **state)
{
	(void)state;
	there();
	qt_img_done(&w.redis);
	w.in_redis = false;
	assert_int_equal(settle().restored, 1);
	assert_true(w.in_redis);
	assert_string_equal(w.redis.reference, "docker.io/library/nginx:latest");
	w.in_rt = false;
	assert_int_equal(settle().lost_images, 1);
	assert_false(w.in_redis);
	w.in_rt = true;
	assert_int_equal(settle().restored, 0); /* removed a moment ago */
	w.gone = false;
	strcpy(w.record, "{}");
	assert_true(settle().strange > 0);
	assert_false(w.in_redis);
}

static void test_managed(void **state)
{
	struct qt_managed m;
	struct qt_err e = {0};

	(void)state;
	assert_int_equal(qt_life_managed(&life, "busybox", &m, &e), 1);
	assert_string_equal(m.manifest, DIGEST("a"));
	assert_string_equal(m.config, DIGEST("b"));
	assert_string_equal(m.layer, DIGEST("c"));
	assert_int_equal(qt_life_managed(&life, "busybo", &m, &e), 0);
	assert_int_equal(qt_life_managed(&life, "busybox2", &m, &e), 0);
	world.old_image = true;
	assert_int_equal(qt_life_managed(&life, "busybox", &m, &e), 1);
	assert_string_equal(m.manifest, DIGEST("a"));
	assert_string_equal(m.config, "");
	assert_string_equal(m.layer, "");
	world.no_image = true;
	assert_int_equal(qt_life_managed(&life, "busybox", &m, &e), 0);
}

int img_tests(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_get, setup, teardown),
		cmocka_unit_test_setup_teardown(test_delete, setup, teardown),
		cmocka_unit_test_setup_teardown(test_in_use, setup, teardown),
		cmocka_unit_test_setup_teardown(test_settle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_managed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
