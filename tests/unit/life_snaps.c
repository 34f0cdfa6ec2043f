/* Snapshots, clones and forks: the verbs, the operations and the settling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "inner.h"
#include "life_world.h"
#include "snap_in.h"
#include "snaps.h"
#include "str.h"

static struct {
	bool in_redis, in_rt, tomb;
	struct qt_snap redis;
	struct qt_id id; /* at the runtime */
	char record[16385];
	unsigned restores;
} w;

void snap_world_clear(void)
{
	if (w.in_redis)
		qt_snap_done(&w.redis);
	memset(&w, 0, sizeof(w));
}

void snap_time_passes(void)
{
	if (!w.in_redis)
		return;
	if (w.redis.deadline_ms)
		w.redis.deadline_ms = 1;
	if (w.redis.deleting_ms)
		w.redis.deleting_ms = 1;
}

bool snap_in_rt(void)
{
	return w.in_rt;
}

/* --- Redis --------------------------------------------------------------------------------------------- */

static int no_snap(struct qt_err *e)
{
	return qt_fail(e, QT_E_SNAPSHOT_NOT_FOUND, "there is no such snapshot");
}

static void copy_snap(struct qt_snap *to, const struct qt_snap *from)
{
	auto_free char *text = qt_snap_dump(from, &(struct qt_err){0});

	assert_non_null(text);
	assert_int_equal(qt_snap_load(to, text, strlen(text), &(struct qt_err){0}), 0);
}

static void redis_set(const struct qt_snap *s)
{
	struct qt_snap new;

	copy_snap(&new, s);
	if (w.in_redis)
		qt_snap_done(&w.redis);
	w.redis = new;
	w.in_redis = true;
}

/* Redis answers, and has ID. */
static int have(const struct qt_id *id, struct qt_err *e)
{
	if (redis_away(e) < 0)
		return -1;
	return w.in_redis && qt_streq(w.redis.id.s, id->s) ? 0 : no_snap(e);
}

int qt_store_snap_reserve(struct qt_store *s, const struct qt_snap *x, struct qt_err *e)
{
	(void)s;
	if (redis_away(e) < 0)
		return -1;
	redis_set(x);
	return 0;
}

int qt_store_snap_ready(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, uint64_t size, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	if (have(id, e) < 0)
		return -1;
	if (w.redis.deleting_ms > 0)
		return no_snap(e);
	w.redis.status = QT_SS_READY;
	w.redis.size_bytes = size;
	w.redis.deadline_ms = 0;
	return 0;
}

int qt_store_snap_pin(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, bool pinned, struct qt_snap *ret,
		      struct qt_err *e)
{
	(void)s;
	(void)tenant;
	if (have(id, e) < 0)
		return -1;
	w.redis.unsaved = w.redis.unsaved || w.redis.pinned != pinned;
	w.redis.pinned = pinned;
	copy_snap(ret, &w.redis);
	return 0;
}

int qt_store_snap_saved(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, bool pinned, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	if (have(id, e) < 0)
		return -1;
	w.redis.unsaved = w.redis.pinned != pinned;
	return 0;
}

int qt_store_snap_deleting(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, enum qt_snap_why why, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	if (have(id, e) < 0)
		return -1;
	if (why != QT_SNAP_FAILED && w.redis.pinned)
		return qt_fail(e, QT_E_SNAPSHOT_PINNED, "pinned");
	if (why != QT_SNAP_FAILED && w.redis.status == QT_SS_CREATING)
		return qt_fail(e, QT_E_SNAPSHOT_IN_USE, "being made");
	w.redis.deleting_ms = qt_now_ms();
	return 0;
}

int qt_store_snap_remove(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, const char *event, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	(void)event;
	if (have(id, e) < 0)
		return -1;
	qt_snap_done(&w.redis);
	w.in_redis = false;
	w.tomb = true;
	return 0;
}

int qt_store_snap_restore(struct qt_store *s, const struct qt_snap *x, struct qt_err *e)
{
	(void)s;
	if (redis_away(e) < 0)
		return -1;
	if (w.tomb)
		return no_snap(e);
	redis_set(x);
	w.restores++;
	return 0;
}

int qt_store_snap_get(struct qt_store *s, const struct qt_id *tenant, const char *id, struct qt_snap *ret, struct qt_err *e)
{
	struct qt_id snap;

	(void)s;
	if (!qt_streq(tenant->s, TENANT.s) || !qt_id_parse(&snap, "snap", id))
		return no_snap(e);
	if (have(&snap, e) < 0)
		return -1;
	copy_snap(ret, &w.redis);
	return 0;
}

static int list(struct qt_snap_list *ret, bool any, struct qt_err *e)
{
	if (redis_away(e) < 0)
		return -1;
	memset(ret, 0, sizeof(*ret));
	if (!any)
		return 0;
	ret->v = calloc(1, sizeof(*ret->v));
	copy_snap(ret->v, &w.redis);
	ret->n = 1;
	return 0;
}

int qt_store_snap_of_node(struct qt_store *s, const char *node, struct qt_snap_list *ret, struct qt_err *e)
{
	(void)s;
	(void)node;
	return list(ret, w.in_redis, e);
}

int qt_store_snap_expired(struct qt_store *s, const char *node, struct qt_snap_list *ret, struct qt_err *e)
{
	(void)s;
	(void)node;
	return list(ret, w.in_redis && w.redis.expires_ms > 0 && w.redis.expires_ms < qt_now_ms(), e);
}

void qt_snap_list_done(struct qt_snap_list *l)
{
	if (l->n)
		qt_snap_done(l->v);
	free(l->v);
	memset(l, 0, sizeof(*l));
}

/* --- the runtime --------------------------------------------------------------------------------------- */

static bool is_snap(const struct qt_id *id)
{
	return qt_starts(id->s, "snap_");
}

bool snap_is_asked(enum rt_op op, const void *req)
{
	return op == RT_SNAPSHOT || (op == RT_OBJ_LIST && qt_streq(((const struct rt_obj_list_req *)req)->kind.s, "snap")) ||
	       ((op == RT_OBJ_GET || op == RT_OBJ_RECORD || op == RT_OBJ_DELETE) && is_snap(req));
}

int snap_carry_out(enum rt_op op, const void *req, void *rep, struct qt_err *e)
{
	const struct rt_snapshot_req *take = req;
	const struct qt_id *id = req;
	static char ids[64];

	if (op == RT_OBJ_LIST) {
		struct rt_strv *v = &((struct rt_obj_list_rep *)rep)->ids;

		*v = (struct rt_strv){ids, 0, 0};
		if (w.in_rt && strcmp(((const struct rt_obj_list_req *)req)->after.s, w.id.s) < 0)
			assert_true(rt_strv_add(v, ids, sizeof(ids), w.id.s));
		return 0;
	}
	if (op == RT_SNAPSHOT) {
		if (!world_from())
			return qt_fail(e, QT_E_CONTAINER_NOT_FOUND, "there is no such container");
		if (!w.in_rt)
			memcpy(w.record, take->record.s, take->record.len + 1);
		w.in_rt = true;
		w.id = take->snapshot;
		*(struct rt_snapshot_rep *)rep = (struct rt_snapshot_rep){.size_bytes = 4711, .paused_us = 5};
		return 0;
	}
	if (op == RT_OBJ_DELETE) {
		w.in_rt = w.in_rt && !qt_streq(id->s, w.id.s);
		return 0;
	}
	if (!w.in_rt || !qt_streq(id->s, w.id.s))
		return no_snap(e);
	if (op == RT_OBJ_RECORD)
		memcpy(w.record, ((const struct rt_obj_record_req *)req)->record.s, ((const struct rt_obj_record_req *)req)->record.len + 1);
	else
		*(struct rt_obj_get_rep *)rep =
			(struct rt_obj_get_rep){.tenant = TENANT, .size_bytes = 4711, .record = rt_str(w.record)};
	return 0;
}

/* --- helpers ------------------------------------------------------------------------------------------- */

/* Ask for a snapshot of the world's container. */
static int take(struct qt_op_entry *x, struct qt_err *e)
{
	auto_snap struct qt_snap s = {0};

	memset(x, 0, sizeof(*x));
	qt_snap_init(&s);
	s.ttl_s = 60;
	s.network = QT_NET_PRESERVE_NS;
	json_object_set_new(s.labels, "a", json_string("b"));
	return qt_life_snap_take(&life, world_ctr(), &s, false, &x->op, e);
}

/* Execute X as often as agents take it up. */
static void execute(struct qt_op_entry *x)
{
	struct qt_err e = {0};

	if (qt_life_execute(&life, x, &e) < 0) {
		assert_int_equal(e.code, QT_E_STORE_UNAVAILABLE);
		world_dies(0, 0, false);
		qt_err_reset(&e);
		assert_int_equal(qt_life_execute(&life, x, &e), 0);
	}
	world_dies(0, 0, false);
}

static void assert_snap_agreed(void)
{
	assert_int_equal(w.in_redis, w.in_rt);
	if (w.in_redis)
		assert_true(w.redis.status == QT_SS_READY && w.redis.deleting_ms == 0 && w.redis.size_bytes == 4711);
}

static void given_snap(void)
{
	struct qt_op_entry x;
	struct qt_err e = {0};

	given(QT_ST_RUNNING);
	assert_int_equal(take(&x, &e), 0);
	execute(&x);
	assert_int_equal(x.op.status, QT_OP_SUCCEEDED);
	assert_snap_agreed();
	qt_op_done(&x.op);
}

/* Ask for a copy: of the snapshot, or of the world's container, which is gone then: this world has room for one. */
static int copy(bool fork, bool start, struct qt_op_entry *x, struct qt_err *e)
{
	struct qt_copy how = {.name = "", .start = start, .network = QT_NET_PRESERVE_CONN};
	auto_ctr struct qt_ctr source = {0};
	struct qt_ctr c;
	auto_free char *text = qt_ctr_dump(world_ctr(), e);
	int r;

	assert_int_equal(qt_ctr_load(&source, text, strlen(text), e), 0);
	memset(x, 0, sizeof(*x));
	world_empty();
	r = fork ? qt_life_fork(&life, &source, &how, &c, &x->op, e) : qt_life_clone(&life, &w.redis, &how, &c, &x->op, e);
	if (r < 0)
		return -1;
	world.id = c.id;
	qt_ctr_done(&c);
	return 0;
}

/* --- tests --------------------------------------------------------------------------------------------- */

static void test_take(void **state)
{
	struct qt_op_entry x;
	struct qt_err e = {0};

	(void)state;
	given(QT_ST_RUNNING);
	world_ctr()->snapshot = (struct qt_id){"snap_0"};
	assert_int_equal(take(&x, &e), 0);
	assert_int_equal(w.redis.status, QT_SS_CREATING);
	assert_string_equal(w.redis.parent.s, "snap_0");
	assert_int_equal(w.redis.expires_ms, w.redis.created_ms + 60000);
	assert_int_equal(json_array_size(x.op.downgrades), 1);
	execute(&x);
	assert_snap_agreed();
	assert_string_equal(json_string_value(json_object_get(x.op.result, "snapshot_id")), w.redis.id.s);
	execute(&x);
	assert_int_equal(world.asked[RT_SNAPSHOT], 1);
	qt_op_done(&x.op);
	world_ctr()->state = QT_ST_STARTING;
	assert_int_equal(take(&x, &e), -1);
	assert_int_equal(e.code, QT_E_INVALID_STATE);
}

/* Taking it, cut off at each request, in three ways: in the end it is there for both, and its operation says so, or for nobody. */
static void test_take_cut_off(void **state)
{
	for (unsigned how = 0; how < 3; how++) {
		for (unsigned n = 1; n < 12; n++) {
			struct qt_op_entry x;
			struct qt_err e = {0};

			(void)setup(state);
			given(QT_ST_RUNNING);
			assert_int_equal(take(&x, &e), 0);
			/* A runtime that is away for good: nobody waits for it here. */
			x.op.deadline_ms = how == 1 ? 1 : x.op.deadline_ms;
			world_dies(how == 0 ? n : 0, how == 2 ? n : 0, how == 2);
			execute(&x);
			(void)settle();
			assert_snap_agreed();
			assert_int_equal(w.in_redis, x.op.status == QT_OP_SUCCEEDED);
			qt_op_done(&x.op);
			(void)teardown(state);
		}
	}
	(void)setup(state);
}

static void test_delete_cut_off(void **state)
{
	for (unsigned how = 0; how < 3; how++) {
		for (unsigned n = 1; n < 5; n++) {
			auto_snap struct qt_snap s = {0};
			struct qt_err e = {0};

			(void)setup(state);
			given_snap();
			copy_snap(&s, &w.redis);
			world_dies(how == 0 ? n : 0, how > 0 ? n : 0, how == 2);
			(void)qt_life_snap_delete(&life, &s, QT_SNAP_ASKED, "removed", &e);
			(void)settle();
			assert_snap_agreed();
			assert_true(!w.in_redis || (how == 0 && n == 1));
			(void)teardown(state);
		}
	}
	(void)setup(state);
}

static void test_pin(void **state)
{
	struct qt_snap s;
	struct qt_err e = {0};
	unsigned gone = 0;

	(void)state;
	given_snap();
	/* The record is missed, and written by the agent. */
	world_dies(0, 1, false);
	assert_int_equal(qt_life_snap_pin(&life, &TENANT, w.redis.id.s, true, &s, &e), 0);
	qt_snap_done(&s);
	assert_true(w.redis.unsaved);
	w.redis.expires_ms = 1;
	world_dies(0, 0, false);
	assert_int_equal(qt_settle_expired(&life, &gone, &e), 0);
	assert_int_equal(gone, 0);
	(void)settle();
	assert_false(w.redis.unsaved);
	/* FLUSHALL: it comes back, and pinned. */
	qt_snap_done(&w.redis);
	w.in_redis = false;
	assert_int_equal(settle().restored, 1);
	assert_snap_agreed();
	assert_true(w.redis.pinned);
	assert_string_equal(json_string_value(json_object_get(w.redis.labels, "a")), "b");
	assert_int_equal(qt_life_snap_pin(&life, &TENANT, w.redis.id.s, false, &s, &e), 0);
	qt_snap_done(&s);
	assert_false(w.redis.unsaved);
	w.redis.expires_ms = 1;
	assert_int_equal(qt_settle_expired(&life, &gone, &e), 0);
	assert_int_equal(gone, 1);
	assert_false(w.in_redis || w.in_rt);
}

static void test_copy(void **state)
{
	struct qt_op_entry x;
	struct qt_err e = {0};

	for (int fork = 0; fork < 2; fork++) {
		for (int start = 0; start < 2; start++) {
			struct qt_id source;

			(void)setup(state);
			given_snap();
			source = world_ctr()->id;
			assert_int_equal(copy(fork, start, &x, &e), 0);
			/* It is whoever makes it that starts it. */
			assert_int_equal(qt_life_may(world_ctr(), QT_V_START, &e), -1);
			qt_err_reset(&e);
			execute(&x);
			assert_int_equal(x.op.status, QT_OP_SUCCEEDED);
			assert_agreed();
			assert_int_equal(world_ctr()->state, start ? QT_ST_RUNNING : QT_ST_CREATED);
			assert_string_equal(world_from(), fork ? source.s : w.redis.id.s);
			assert_string_equal(world_ctr()->snapshot.s, fork ? "" : w.redis.id.s);
			assert_true(qt_starts(world_ctr()->name, fork ? "demo-fork-" : "demo-clone-") && strlen(world_ctr()->name) > 13);
			assert_string_equal(json_string_value(json_object_get(x.op.result, "container_id")), world_ctr()->id.s);
			assert_int_equal(json_array_size(x.op.downgrades), 1);
			execute(&x);
			assert_int_equal(world.asked[RT_CREATE], 2); /* the source's, and one */
			/* One that rests stays as it is, and starts when it is asked to. */
			(void)settle();
			assert_agreed();
			assert_int_equal(qt_life_may(world_ctr(), QT_V_START, &e), start ? -1 : 0);
			qt_op_done(&x.op);
			(void)teardown(state);
		}
	}
	(void)setup(state);
}

static void test_copy_cut_off(void **state)
{
	for (unsigned kind = 0; kind < 4; kind++) {
		for (unsigned how = 0; how < 2; how++) {
			for (unsigned n = 1; n < 14; n++) {
				struct qt_op_entry x;
				struct qt_err e = {0};

				(void)setup(state);
				given_snap();
				assert_int_equal(copy(kind & 1, kind & 2, &x, &e), 0);
				world_dies(how == 0 ? n : 0, how == 1 ? n : 0, how == 1);
				execute(&x);
				(void)settle();
				assert_agreed();
				assert_int_equal(world_ctr() != NULL, x.op.status == QT_OP_SUCCEEDED);
				qt_op_done(&x.op);
				(void)teardown(state);
			}
		}
	}
	(void)setup(state);
}

/* Its agent died after the container was up: the next one finds that, and takes away the snapshot that the fork was made from. */
static void test_fork_made_already(void **state)
{
	struct qt_op_entry x;
	struct qt_err e = {0};

	(void)state;
	given(QT_ST_RUNNING);
	assert_int_equal(copy(true, true, &x, &e), 0);
	execute(&x);
	assert_int_equal(x.op.status, QT_OP_SUCCEEDED);
	json_object_set_new(x.op.args, "copies", json_pack("[{s:s}]", "id", "vol_1"));
	w.in_rt = true;
	w.id = qt_passing_id(&x.op.container);
	execute(&x);
	assert_int_equal(x.op.status, QT_OP_SUCCEEDED);
	assert_false(w.in_rt);
	qt_op_done(&x.op);
}

/* The runtime is away for good: the container waits for the agent to take it away, and has no volumes meanwhile: they go before it. */
static void test_undone_without_volumes(void **state)
{
	struct qt_op_entry x;
	struct qt_err e = {0};

	(void)state;
	given_snap();
	assert_int_equal(copy(false, true, &x, &e), 0);
	json_object_set_new(x.op.args, "volumes", json_pack("[s]", "data:/d"));
	json_decref(world_ctr()->volumes);
	world_ctr()->volumes = json_pack("[s]", "data:/d"); /* attached, by an earlier try */
	life.op_give_up = 0;
	world_dies(0, 1, false);
	assert_int_equal(qt_op_snap_clone(&life, &x.op, &e), -1);
	world_dies(0, 0, false);
	assert_non_null(world_ctr());
	assert_int_equal(json_array_size(world_ctr()->volumes), 0);
	qt_op_done(&x.op);
}

/* Its snapshot fails, or is deleted: the clone goes. */
static void test_clone_of_nothing(void **state)
{
	struct qt_op_entry x, y;
	struct qt_err e = {0};

	(void)state;
	given(QT_ST_RUNNING);
	assert_int_equal(take(&x, &e), 0);
	assert_int_equal(copy(false, true, &y, &e), 0);
	w.redis.deleting_ms = qt_now_ms();
	execute(&y);
	assert_int_equal(y.op.status, QT_OP_FAILED);
	assert_string_equal(y.op.error_code, "SNAPSHOT_NOT_FOUND");
	assert_null(world_ctr());
	assert_null(world_from());
	qt_op_done(&x.op);
	qt_op_done(&y.op);
}

/* What a fork with volumes left: it goes when its time is over, and not before. One that nobody can read stays. */
static void test_strays(void **state)
{
	struct qt_settled did;

	(void)state;
	w.in_rt = true;
	w.id = (struct qt_id){"snap_9"};
	(void)qt_fmt(w.record, sizeof(w.record), "{\"passing_until_ms\":%lld}", (long long)qt_now_ms() + 60000);
	(void)settle();
	assert_true(w.in_rt && !w.in_redis);
	strcpy(w.record, "{\"passing_until_ms\":1}");
	(void)settle();
	assert_false(w.in_rt || w.in_redis);
	w.in_rt = true;
	strcpy(w.record, "{");
	did = settle();
	assert_int_equal(did.strange, 3);
	assert_true(w.in_rt && !w.in_redis);
}

static void test_lost(void **state)
{
	(void)state;
	given_snap();
	w.in_rt = false;
	assert_int_equal(settle().lost_snapshots, 3);
	assert_true(w.in_redis);
}

int snap_tests(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_take),	       T(test_take_cut_off),	 T(test_delete_cut_off), T(test_pin),  T(test_copy),
		T(test_copy_cut_off), T(test_fork_made_already), T(test_undone_without_volumes), T(test_clone_of_nothing), T(test_strays),	 T(test_lost),
	};

	return cmocka_run_group_tests_name("snapshots", tests, NULL, NULL);
}
