/* The verbs of containers and the settling, in the world of life_world.h. */
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
#include "strv.h"

static int with_ctr(int (*verb)(struct qt_life *, struct qt_ctr *, struct qt_err *), struct qt_err *e)
{
	struct qt_ctr c;
	int r;

	memset(e, 0, sizeof(*e));
	if (qt_store_ctr_get(NULL, &TENANT, world.id.s, &c, e) < 0)
		return -1;
	r = verb(&life, &c, e);
	qt_ctr_done(&c);
	return r;
}

static int stop(struct qt_life *l, struct qt_ctr *c, struct qt_err *e)
{
	return qt_life_stop(l, c, 100, e);
}

static void test_states(void **state)
{
	static const char *const may[] = {
		[QT_V_START] = "y..yy", [QT_V_STOP] = "..y..", [QT_V_KILL] = "..y..", [QT_V_EXEC] = "..y..", [QT_V_DELETE] = "yyyyy",
		[QT_V_SNAPSHOT] = "..yy.", [QT_V_FORK] = "..yy.",
	};
	struct qt_ctr c;

	(void)state;
	new_ctr(&c);
	for (unsigned v = 0; v < QT_LEN(may); v++) {
		for (unsigned s = 0; s < QT_ST_COUNT; s++) {
			struct qt_err e = {0};

			c.state = (enum qt_state)s;
			assert_int_equal(qt_life_may(&c, (enum qt_verb)v, &e) == 0, may[v][s] == 'y');
			if (may[v][s] == 'y')
				continue;
			assert_int_equal(e.code, QT_E_INVALID_STATE);
			assert_string_equal(e.state, qt_state_name((enum qt_state)s));
			assert_true(e.expected[0]);
		}
	}
	qt_ctr_done(&c);
}

static void test_ready(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 64; i++) {
		struct qt_ready r = {.state = QT_ST_RUNNING, .uptime_ms = 2999, .state_running = i & 1, .minit_responsive = i & 2,
				     .network_configured = i & 4, .managed_image_valid = i & 8, .has_gui = i & 16, .gui_reachable = i & 32};
		bool exec = (i & 11) == 11, network = i & 4, has_gui = i & 16, gui = exec && network && i & 32;
		json_t *v = qt_ready_view(&r, "ctr_1"), *c = json_object();

		assert_int_equal(qt_ready_exec(&r), exec);
		assert_int_equal(json_is_true(json_object_get(v, "exec_ready")), exec);
		assert_int_equal(json_is_true(json_object_get(v, "network_ready")), network);
		assert_int_equal(json_is_true(json_object_get(v, "ready")), exec && network && (!has_gui || gui));
		assert_int_equal(json_integer_value(json_object_get(v, "uptime_seconds")), 2);
		qt_ready_add(&r, c);
		assert_int_equal(json_object_size(c), has_gui ? 4 : 3);
		assert_int_equal(json_is_true(json_object_get(c, "gui_ready")), has_gui && gui);
		assert_int_equal(json_is_null(json_object_get(json_object_get(c, "checks"), "gui_backend_reachable")), !has_gui);
		assert_int_equal(json_is_true(json_object_get(json_object_get(c, "checks"), "gui_backend_reachable")), has_gui && i & 32);
		json_decref(v);
		json_decref(c);
	}
}

static void test_env(void **state)
{
	json_t *map = json_pack("{s:s, s:s}", "A", "1", "B", "2"), *over = json_pack("{s:s, s:s}", "B", "3", "PATH", "/x");
	static const char want[] = "HOME=/root\0HOSTNAME=h\0A=1\0B=3\0PATH=/x";
	static const char of_image[] = "HOSTNAME=h\0C=4\0A=1\0B=3\0PATH=/x";
	auto_ctr struct qt_ctr c = {0};
	char buf[QT_STRV_BYTES];
	struct qt_err e = {0};
	struct rt_strv v;

	(void)state;
	qt_ctr_init(&c);
	(void)qt_copy(c.name, sizeof(c.name), "h");
	json_decref(c.environment);
	c.environment = map;
	assert_int_equal(qt_strv_env(&v, buf, &c, over, &e), 0);
	assert_int_equal(v.n, 5);
	assert_int_equal(v.len, sizeof(want));
	assert_memory_equal(buf, want, sizeof(want));
	/* What the image says is below all that; and of its user's home only the init knows. */
	json_object_set_new(c.image_env, "A", json_string("0"));
	json_object_set_new(c.image_env, "C", json_string("4"));
	json_object_set_new(c.image_env, "PATH", json_string("/image"));
	(void)qt_copy(c.user, sizeof(c.user), "www");
	assert_int_equal(qt_strv_env(&v, buf, &c, over, &e), 0);
	assert_int_equal(v.len, sizeof(of_image));
	assert_memory_equal(buf, of_image, sizeof(of_image));
	json_decref(over);
}

static void test_create(void **state)
{
	struct qt_err e = {0};

	(void)state;
	assert_int_equal(world_create(&e), 0);
	assert_agreed();
	assert_int_equal(world.usage_started, 1);
	assert_int_equal(world.redis.pid, 4711);
	assert_string_equal(world.redis.ip, "10.0.0.1");
	assert_int_equal(world_create(&e), -1);
	assert_int_equal(e.code, QT_E_CONTAINER_NAME_CONFLICT);
	assert_true(world.in_rt);
}

static void test_create_refused_leaves_nothing(void **state)
{
	struct qt_err e = {0};

	(void)state;
	world.no_image = true;
	assert_int_equal(world_create(&e), -1);
	assert_int_equal(e.code, QT_E_IMAGE_NOT_FOUND);
	assert_false(world.in_redis);
	assert_false(world.in_rt);
}

/* The runtime did it and its answer was lost: the verb asks again, and succeeds. */
static void test_lost_answers(void **state)
{
	struct qt_err e = {0};

	(void)state;
	world.lost = true;
	world.rt_dies = 1;
	assert_int_equal(world_create(&e), 0);
	assert_agreed();
	world.rt_dies = 1;
	assert_int_equal(with_ctr(stop, &e), 0);
	assert_agreed();
	assert_int_equal(world.usage_stopped, 1);
	assert_int_equal(with_ctr(qt_life_start, &e), 0);
	world.rt_dies = 1;
	assert_int_equal(with_ctr(qt_life_kill, &e), 0);
	assert_agreed();
	assert_int_equal(world.redis.exit_code, 137);
}

/* Each verb, cut off at each of its requests to Redis and to the runtime, with the answer lost or the request never sent: the agent makes it
 * whole, in one way or the other, and what was used is written down once. */
static void test_cut_off(void **state)
{
	static const struct {
		int (*verb)(struct qt_life *, struct qt_ctr *, struct qt_err *);
		enum qt_state from;
	} verbs[] = {{NULL, QT_ST_COUNT},	       {stop, QT_ST_RUNNING},	      {qt_life_kill, QT_ST_RUNNING},
		     {qt_life_delete, QT_ST_RUNNING}, {qt_life_delete, QT_ST_EXITED}, {qt_life_start, QT_ST_EXITED}};

	for (unsigned v = 0; v < QT_LEN(verbs); v++) {
		for (unsigned how = 0; how < 3; how++) {
			for (unsigned n = 1; n < 12; n++) {
				struct qt_err e = {0};
				struct qt_ctr c;

				(void)setup(state);
				if (verbs[v].verb) {
					given(verbs[v].from);
					assert_int_equal(qt_store_ctr_get(NULL, &TENANT, world.id.s, &c, &e), 0);
				}
				world.redis_dies = how == 0 ? n : 0;
				world.rt_dies = how > 0 ? n : 0;
				world.lost = how == 2;
				(void)(verbs[v].verb ? verbs[v].verb(&life, &c, &e) : world_create(&e));
				if (verbs[v].verb)
					qt_ctr_done(&c);
				(void)settle();
				/* A start that failed for sure is an error that the client sees. */
				if (world.in_redis && world.redis.state == QT_ST_ERROR)
					assert_true(verbs[v].verb == qt_life_start && world.state == RT_ST_EXITED);
				else
					assert_agreed();
				assert_true(world.usage_stopped <= 1);
				assert_int_equal(world.usage_stopped,
						 verbs[v].verb && verbs[v].from == QT_ST_RUNNING && (!world.in_rt || world.state == RT_ST_EXITED));
				assert_int_equal(world.usage_started, !verbs[v].verb || verbs[v].verb == qt_life_start
									  ? world.in_rt && world.state == RT_ST_RUNNING
									  : 0);
				(void)teardown(state);
			}
		}
	}
	(void)setup(state);
}

static void test_losers_are_told(void **state)
{
	struct qt_err e = {0};
	struct qt_ctr late;

	(void)state;
	given(QT_ST_RUNNING);
	assert_int_equal(qt_store_ctr_get(NULL, &TENANT, world.id.s, &late, &e), 0);
	assert_int_equal(with_ctr(stop, &e), 0);
	/* They read "running" before it was stopped. */
	assert_int_equal(qt_life_kill(&life, &late, &e), -1);
	assert_int_equal(e.code, QT_E_INVALID_STATE);
	assert_string_equal(e.state, "exited");
	qt_err_reset(&e);
	assert_int_equal(with_ctr(qt_life_delete, &e), 0);
	assert_int_equal(qt_life_delete(&life, &late, &e), -1);
	assert_int_equal(e.code, QT_E_CONTAINER_NOT_FOUND);
	assert_int_equal(world.usage_stopped, 1);
	qt_ctr_done(&late);
}

static void test_exit_is_seen(void **state)
{
	struct qt_settled did = {0};

	(void)state;
	given(QT_ST_RUNNING);
	ctr_ends(137);
	assert_int_equal(qt_settle_id(&life, &world.id, &did, &(struct qt_err){0}), 0);
	assert_int_equal(did.ended, 1);
	assert_int_equal(world.redis.exit_code, 137);
	assert_int_equal(world.usage_stopped, 1);
	did = settle();
	assert_int_equal(did.ended + did.adopted + did.restored, 0);
}

static void test_flushall(void **state)
{
	struct qt_err e = {0};
	struct qt_settled did;
	json_t *env = json_pack("{s:s}", "NEW", "yes");
	struct qt_ctr c;
	char old[64];

	(void)state;
	given(QT_ST_RUNNING);
	assert_int_equal(qt_store_ctr_get(NULL, &TENANT, world.id.s, &c, &e), 0);
	assert_int_equal(qt_life_rename(&life, &c, "other", old, &e), 0);
	assert_int_equal(qt_life_env(&life, &c, env, true, &e), 0);
	qt_ctr_done(&c);
	assert_int_equal(qt_store_ctr_remove(NULL, &TENANT, &world.id, &e), 0);
	did = settle();
	assert_int_equal(did.restored, 1);
	assert_agreed();
	assert_string_equal(world.redis.name, "other");
	assert_string_equal(json_string_value(json_object_get(world.redis.environment, "NEW")), "yes");
	assert_string_equal(json_string_value(json_object_get(world.redis.environment, "FOO")), "bar");
	json_decref(env);
}

/* Nobody can say whose it is: it is neither taken away nor made up. */
static void test_unreadable_record(void **state)
{
	struct qt_settled did;

	(void)state;
	ctr_runs();
	strcpy(world.record, "{");
	did = settle();
	assert_int_equal(did.strange, 3);
	assert_false(world.in_redis);
	assert_true(world.in_rt);
}

static void test_lost_by_the_node(void **state)
{
	struct qt_settle st = {0};
	struct qt_settled did = {0};
	struct qt_err e = {0};

	(void)state;
	given(QT_ST_RUNNING);
	world.in_rt = false;
	assert_int_equal(qt_settle_all(&life, &st, &did, &e), 0);
	assert_int_equal(did.lost, 0); /* once is not enough */
	assert_int_equal(world.redis.state, QT_ST_RUNNING);
	world.rt_dies = 1;
	assert_int_equal(qt_settle_all(&life, &st, &did, &e), -1); /* nor is silence */
	assert_int_equal(world.redis.state, QT_ST_RUNNING);
	world.rt_dies = 0;
	qt_err_reset(&e);
	assert_int_equal(qt_settle_all(&life, &st, &did, &e), 0);
	assert_int_equal(did.lost, 1);
	assert_int_equal(world.redis.state, QT_ST_ERROR);
	assert_string_equal(world.redis.error, "lost by the node");
	qt_settle_done(&st);
	assert_int_equal(with_ctr(qt_life_delete, &e), 0);
	assert_false(world.in_redis);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_states),
		T(test_ready),
		T(test_env),
		T(test_create),
		T(test_create_refused_leaves_nothing),
		T(test_lost_answers),
		T(test_cut_off),
		T(test_losers_are_told),
		T(test_exit_is_seen),
		T(test_flushall),
		T(test_unreadable_record),
		T(test_lost_by_the_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) + op_tests() + vol_tests() + snap_tests() + img_tests();
}
