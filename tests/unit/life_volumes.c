/* Volumes: the verbs, the operation and the settling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "life_world.h"
#include "str.h"

static struct {
	bool in_redis, in_rt, in_use, no_room;
	struct qt_vol redis;
	unsigned created, deleted, restores; /* usage records, and puttings back */
	char record[16385];
} w;

static const struct qt_id ID = {"vol_1"};

void vol_world_clear(void)
{
	if (w.in_redis)
		qt_vol_done(&w.redis);
	memset(&w, 0, sizeof(w));
}

void vol_time_passes(void)
{
	if (!w.in_redis)
		return;
	if (w.redis.deadline_ms)
		w.redis.deadline_ms = 1;
	if (w.redis.deleting_ms)
		w.redis.deleting_ms = 1;
}

/* --- Redis --------------------------------------------------------------------------------------------- */

static int no_vol(struct qt_err *e)
{
	return qt_fail(e, QT_E_VOLUME_NOT_FOUND, "there is no such volume");
}

static void copy_vol(struct qt_vol *to, const struct qt_vol *from)
{
	char *text = qt_vol_dump(from, &(struct qt_err){0});

	assert_non_null(text);
	assert_int_equal(qt_vol_load(to, text, strlen(text), &(struct qt_err){0}), 0);
	free(text);
}

int qt_store_vol_reserve(struct qt_store *s, const struct qt_vol *v, int64_t deadline_ms, struct qt_err *e)
{
	(void)s;
	if (redis_away(e) < 0)
		return -1;
	if (w.in_redis)
		return qt_fail(e, QT_E_VOLUME_NAME_CONFLICT, "taken");
	copy_vol(&w.redis, v);
	w.redis.deadline_ms = deadline_ms;
	w.in_redis = true;
	return 0;
}

int qt_store_vol_commit(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	(void)id;
	if (redis_away(e) < 0)
		return -1;
	if (!w.in_redis)
		return no_vol(e);
	w.created += w.redis.deadline_ms > 0;
	w.redis.deadline_ms = 0;
	return 0;
}

int qt_store_vol_get(struct qt_store *s, const struct qt_id *tenant, const char *who, struct qt_vol *ret, struct qt_err *e)
{
	(void)s;
	if (redis_away(e) < 0)
		return -1;
	if (!w.in_redis || !qt_streq(tenant->s, TENANT.s) || (!qt_streq(who, ID.s) && !qt_streq(who, w.redis.name)))
		return no_vol(e);
	copy_vol(ret, &w.redis);
	return 0;
}

int qt_store_vol_of_node(struct qt_store *s, const char *node, struct qt_vol_list *ret, struct qt_err *e)
{
	(void)s;
	(void)node;
	if (redis_away(e) < 0)
		return -1;
	memset(ret, 0, sizeof(*ret));
	if (w.in_redis) {
		ret->v = calloc(1, sizeof(*ret->v));
		copy_vol(ret->v, &w.redis);
		ret->n = 1;
	}
	return 0;
}

void qt_vol_list_done(struct qt_vol_list *l)
{
	if (l->n)
		qt_vol_done(l->v);
	free(l->v);
}

int qt_store_vol_rename(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, const char *new_name, char *old_name,
			struct qt_err *e)
{
	(void)s;
	(void)tenant;
	(void)id;
	if (redis_away(e) < 0)
		return -1;
	if (w.in_use)
		return qt_fail(e, QT_E_VOLUME_IN_USE, "in use");
	strcpy(old_name, w.redis.name);
	strcpy(w.redis.name, new_name);
	return 0;
}

int qt_store_vol_deleting(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	(void)id;
	if (redis_away(e) < 0)
		return -1;
	if (!w.in_redis)
		return no_vol(e);
	if (w.in_use)
		return qt_fail(e, QT_E_VOLUME_IN_USE, "in use");
	w.redis.deleting_ms = qt_now_ms();
	return 0;
}

int qt_store_vol_remove(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	(void)id;
	if (redis_away(e) < 0)
		return -1;
	if (!w.in_redis)
		return no_vol(e);
	w.deleted += w.redis.deadline_ms == 0;
	qt_vol_done(&w.redis);
	w.in_redis = false;
	return 0;
}

int qt_store_vol_restore(struct qt_store *s, const struct qt_vol *v, struct qt_err *e)
{
	(void)s;
	if (redis_away(e) < 0)
		return -1;
	if (!w.in_redis)
		copy_vol(&w.redis, v);
	w.in_redis = true;
	w.restores++;
	return 0;
}

/* --- the runtime --------------------------------------------------------------------------------------- */

int vol_carry_out(enum rt_op op, const void *req, void *rep, struct qt_err *e)
{
	const struct rt_obj_record_req *record = req;
	const struct rt_vol_make_req *make = req;
	struct rt_strv *ids = &((struct rt_obj_list_rep *)rep)->ids;
	static char buf[64];

	switch (op) {
	case RT_VOL_MAKE:
		if (w.no_room)
			return qt_fail(e, QT_E_INSUFFICIENT_STORAGE, "no room");
		if (!w.in_rt)
			memcpy(w.record, make->record.s, make->record.len + 1);
		w.in_rt = true;
		return 0;
	case RT_OBJ_LIST:
		*ids = (struct rt_strv){buf, 0, 0};
		if (w.in_rt && qt_streq(((const struct rt_obj_list_req *)req)->kind.s, "vol") &&
		    strcmp(((const struct rt_obj_list_req *)req)->after.s, ID.s) < 0)
			assert_true(rt_strv_add(ids, buf, sizeof(buf), ID.s));
		return 0;
	case RT_OBJ_DELETE:
		w.in_rt = false;
		return 0;
	case RT_OBJ_GET:
		if (!w.in_rt)
			return no_vol(e);
		*(struct rt_obj_get_rep *)rep = (struct rt_obj_get_rep){.tenant = TENANT, .size_bytes = 42, .files = 3, .record = rt_str(w.record)};
		return 0;
	case RT_OBJ_RECORD:
		if (!w.in_rt)
			return no_vol(e);
		memcpy(w.record, record->record.s, record->record.len + 1);
		return 0;
	default:
		fail_msg("asked for %d", op);
		return -1;
	}
}

/* --- helpers ------------------------------------------------------------------------------------------- */

static int create(struct qt_err *e)
{
	auto_vol struct qt_vol v;

	qt_vol_init(&v);
	v.id = ID;
	v.tenant = TENANT;
	strcpy(v.name, "data");
	json_object_set_new(v.labels, "a", json_string("b"));
	return qt_life_vol_create(&life, &v, e);
}

static int delete(struct qt_err *e)
{
	auto_vol struct qt_vol v = {0};

	return qt_store_vol_get(NULL, &TENANT, ID.s, &v, e) < 0 ? -1 : qt_life_vol_delete(&life, &v, e);
}

static int rename_it(struct qt_err *e)
{
	char old[QT_VOLNAME_MAX + 1];
	auto_vol struct qt_vol v = {0};

	return qt_store_vol_get(NULL, &TENANT, ID.s, &v, e) < 0 ? -1 : qt_life_vol_rename(&life, &v, "other", old, e);
}

static void assert_vol_agreed(void)
{
	auto_vol struct qt_vol v = {0};

	assert_int_equal(w.in_redis, w.in_rt);
	if (!w.in_rt)
		return;
	assert_int_equal(w.redis.deadline_ms, 0);
	assert_int_equal(w.redis.deleting_ms, 0);
	assert_int_equal(qt_vol_load(&v, w.record, strlen(w.record), &(struct qt_err){0}), 0);
	assert_string_equal(v.name, w.redis.name);
	assert_true(json_equal(v.labels, w.redis.labels));
}

/* --- tests --------------------------------------------------------------------------------------------- */

static void test_create(void **state)
{
	struct qt_err e = {0};
	uint64_t bytes, files;

	(void)state;
	assert_int_equal(create(&e), 0);
	assert_vol_agreed();
	assert_int_equal(w.created, 1);
	assert_int_equal(qt_life_vol_size(&life, &w.redis, &bytes, &files, &e), 0);
	assert_true(bytes == 42 && files == 3);
	assert_int_equal(create(&e), -1);
	assert_int_equal(e.code, QT_E_VOLUME_NAME_CONFLICT);
	assert_true(w.in_rt);
	assert_int_equal(delete(&(struct qt_err){0}), 0);
	assert_vol_agreed();
	assert_int_equal(w.deleted, 1);
	w.no_room = true;
	qt_err_reset(&e);
	assert_int_equal(create(&e), -1);
	assert_int_equal(e.code, QT_E_INSUFFICIENT_STORAGE);
	assert_false(w.in_redis);
	assert_int_equal(w.created + w.deleted, 2);
}

/* Each verb, cut off at each of its requests: the agent makes it whole, and each usage record is there once. */
static void test_cut_off(void **state)
{
	static int (*const verbs[])(struct qt_err *e) = {create, delete, rename_it};

	for (unsigned v = 0; v < QT_LEN(verbs); v++) {
		for (unsigned how = 0; how < 3; how++) {
			for (unsigned n = 1; n < 6; n++) {
				(void)setup(state);
				if (verbs[v] != create)
					assert_int_equal(create(&(struct qt_err){0}), 0);
				world_dies(how == 0 ? n : 0, how > 0 ? n : 0, how == 2);
				(void)verbs[v](&(struct qt_err){0});
				(void)settle();
				assert_vol_agreed();
				assert_int_equal(w.created, verbs[v] != create || w.in_redis || w.deleted ? 1 : 0);
				assert_int_equal(w.deleted, w.created && !w.in_redis);
				assert_int_equal(w.restores, 0);
				(void)teardown(state);
			}
		}
	}
	(void)setup(state);
}

static void test_in_use(void **state)
{
	struct qt_err e = {0}, f = {0};

	(void)state;
	assert_int_equal(create(&e), 0);
	w.in_use = true;
	assert_int_equal(delete(&e), -1);
	assert_int_equal(e.code, QT_E_VOLUME_IN_USE);
	assert_int_equal(rename_it(&f), -1);
	assert_int_equal(f.code, QT_E_VOLUME_IN_USE);
	assert_vol_agreed();
	assert_int_equal(world.asked[RT_OBJ_DELETE], 0);
}

static void test_flushall(void **state)
{
	struct qt_settled did;

	(void)state;
	assert_int_equal(create(&(struct qt_err){0}), 0);
	assert_int_equal(rename_it(&(struct qt_err){0}), 0);
	qt_vol_done(&w.redis);
	w.in_redis = false;
	did = settle();
	assert_int_equal(did.restored, 1);
	assert_vol_agreed();
	assert_string_equal(w.redis.name, "other");
	assert_int_equal(w.created, 1);
	/* A record that nobody can read: whose it is, nobody can say. */
	qt_vol_done(&w.redis);
	w.in_redis = false;
	strcpy(w.record, "{}");
	did = settle();
	assert_true(did.strange > 0 && did.restored == 0);
	assert_true(w.in_rt && !w.in_redis);
}

/* What was in it is gone; that it is, its owner is to find out, and to end. */
static void test_lost(void **state)
{
	struct qt_settled did;

	(void)state;
	assert_int_equal(create(&(struct qt_err){0}), 0);
	w.in_rt = false;
	did = settle();
	assert_int_equal(did.lost_volumes, 3);
	assert_true(w.in_redis);
	assert_int_equal(delete(&(struct qt_err){0}), 0);
	assert_false(w.in_redis);
}

static enum qt_op_status execute(void)
{
	struct qt_op_entry x = {.entry = "1-1", .token = 1};
	struct qt_err e = {0};
	enum qt_op_status s;

	qt_op_init(&x.op);
	x.op.tenant = TENANT;
	x.op.type = QT_OPT_VOL_DELETE;
	strcpy(x.op.volume, "data");
	json_object_set_new(x.op.args, "volume_id", json_string(ID.s));
	assert_int_equal(qt_life_execute(&life, &x, &e), 0);
	s = x.op.status;
	if (s == QT_OP_FAILED)
		assert_string_equal(x.op.error_code, "VOLUME_IN_USE");
	else
		assert_string_equal(json_string_value(json_object_get(x.op.result, "volume_id")), ID.s);
	qt_op_done(&x.op);
	return s;
}

static void test_operation(void **state)
{
	(void)state;
	assert_int_equal(create(&(struct qt_err){0}), 0);
	w.in_use = true;
	assert_int_equal(execute(), QT_OP_FAILED);
	assert_vol_agreed();
	w.in_use = false;
	/* The runtime does it, and nobody hears of it in time. */
	world_dies(0, 1, true);
	assert_int_equal(execute(), QT_OP_TIMED_OUT);
	world_dies(0, 0, false);
	assert_int_equal(execute(), QT_OP_SUCCEEDED);
	assert_vol_agreed();
	assert_int_equal(w.deleted, 1);
	assert_int_equal(execute(), QT_OP_SUCCEEDED);
	assert_int_equal(w.deleted, 1);
}

/* Names become ids on the wire. */
static void test_resolved(void **state)
{
	auto_ctr struct qt_ctr c;
	char buf[QT_MOUNTS_BYTES];
	struct qt_err e = {0};
	struct rt_strv v;
	const char *p;

	(void)state;
	assert_int_equal(create(&e), 0);
	qt_ctr_init(&c);
	c.tenant = TENANT;
	json_array_append_new(c.volumes, json_string("data:/work//x/"));
	json_array_append_new(c.volumes, json_string("vol_1:/ro:ro"));
	assert_int_equal(qt_life_volumes(&life, &c, buf, &v, &e), 0);
	assert_int_equal(v.n, 2);
	p = rt_strv_next(&v, NULL);
	assert_string_equal(p, "vol_1:/work/x");
	assert_string_equal(rt_strv_next(&v, p), "vol_1:/ro:ro");
	json_array_append_new(c.volumes, json_string("none:/x"));
	assert_int_equal(qt_life_volumes(&life, &c, buf, &v, &e), -1);
	assert_int_equal(e.code, QT_E_VOLUME_NOT_FOUND);
}

int vol_tests(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_create), T(test_cut_off), T(test_in_use), T(test_flushall), T(test_lost), T(test_operation), T(test_resolved),
	};

	return cmocka_run_group_tests_name("volumes", tests, NULL, NULL);
}
