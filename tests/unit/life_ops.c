/* Operations of containers: executed, executed again, cut off and cancelled. */
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
#include "str.h"

static enum qt_op_status execute(enum qt_op_type type, int64_t age_ms, const char *want_code)
{
	struct qt_op_entry x = {.token = 1};
	struct qt_err e = {0};
	enum qt_op_status s;
	struct qt_ctr c;

	new_ctr(&c);
	assert_int_equal(qt_life_submit(&life, type, &c, NULL, &x.op, &e), 0);
	assert_true(qt_id_parse(&x.op.id, "op", x.op.id.s));
	x.op.created_ms -= age_ms;
	x.op.deadline_ms -= age_ms;
	assert_int_equal(qt_life_execute(&life, &x, &e), 0);
	assert_string_equal(x.op.error_code, want_code);
	assert_string_equal(json_string_value(json_object_get(x.op.result, "container_id")) ? json_string_value(json_object_get(x.op.result, "container_id")) : "",
			    x.op.status == QT_OP_SUCCEEDED ? world.id.s : "");
	s = x.op.status;
	qt_op_done(&x.op);
	qt_ctr_done(&c);
	return s;
}

static void test_operations(void **state)
{
	(void)state;
	given(QT_ST_EXITED);
	assert_int_equal(execute(QT_OPT_CTR_START, 0, ""), QT_OP_SUCCEEDED);
	assert_agreed();
	/* Delivered again (asked for before it started): done already, and not done twice. */
	assert_int_equal(execute(QT_OPT_CTR_START, 1000, ""), QT_OP_SUCCEEDED);
	assert_int_equal(world.asked[RT_START], 1);
	/* A new one is too late. */
	world.redis.started_ms -= 1000;
	assert_int_equal(execute(QT_OPT_CTR_RESUME, 0, "INVALID_STATE"), QT_OP_FAILED);
	assert_int_equal(execute(QT_OPT_CTR_STOP, 0, ""), QT_OP_SUCCEEDED);
	assert_int_equal(execute(QT_OPT_CTR_STOP, 1000, ""), QT_OP_SUCCEEDED);
	assert_int_equal(world.asked[RT_STOP], 1);
	assert_int_equal(world.usage_stopped, 1);
	/* One that died after it had moved it to starting: the next one goes on. */
	world.redis.state = QT_ST_STARTING;
	assert_int_equal(execute(QT_OPT_CTR_RESUME, 0, ""), QT_OP_SUCCEEDED);
	/* And after the runtime had done it. */
	world.redis.state = QT_ST_STARTING;
	world.redis.started_ms = 0;
	assert_int_equal(execute(QT_OPT_CTR_RESUME, 0, ""), QT_OP_SUCCEEDED);
	assert_agreed();
	assert_int_equal(execute(QT_OPT_CTR_DELETE, 0, ""), QT_OP_SUCCEEDED);
	assert_false(world.in_redis || world.in_rt);
	assert_int_equal(execute(QT_OPT_CTR_DELETE, 0, ""), QT_OP_SUCCEEDED);
	assert_int_equal(execute(QT_OPT_CTR_START, 0, "CONTAINER_NOT_FOUND"), QT_OP_FAILED);
}

static void test_create_as_operation(void **state)
{
	struct qt_err e = {0};
	struct qt_ctr c;

	(void)state;
	new_ctr(&c);
	strcpy(c.image, "nosuch");
	assert_int_equal(qt_life_reserve(&life, &c, &e), -1);
	assert_int_equal(e.code, QT_E_IMAGE_NOT_FOUND);
	assert_false(world.in_redis);
	qt_err_reset(&e);
	strcpy(c.image, "busybox");
	assert_int_equal(qt_life_reserve(&life, &c, &e), 0);
	qt_ctr_done(&c);
	assert_false(world.in_rt);
	assert_int_equal(world.redis.state, QT_ST_CREATED);
	assert_int_equal(execute(QT_OPT_CTR_CREATE, 0, ""), QT_OP_SUCCEEDED);
	assert_agreed();
	assert_int_equal(execute(QT_OPT_CTR_CREATE, 0, ""), QT_OP_SUCCEEDED);
	assert_int_equal(world.asked[RT_CREATE], 1);
}

/* Too late, or cancelled before it began: the reservation is released. */
static void test_create_given_up(void **state)
{
	struct qt_err e = {0};
	struct qt_ctr c;

	(void)state;
	for (int i = 0; i < 2; i++) {
		new_ctr(&c);
		assert_int_equal(qt_life_reserve(&life, &c, &e), 0);
		qt_ctr_done(&c);
		world.cancelled = i == 1;
		if (i == 0)
			assert_int_equal(execute(QT_OPT_CTR_CREATE, 3600000, "TIMEOUT"), QT_OP_TIMED_OUT);
		else
			assert_int_equal(execute(QT_OPT_CTR_CREATE, 0, ""), QT_OP_CANCELLED);
		world.cancelled = false;
		assert_false(world.in_rt || world.in_redis);
	}
	/* The runtime is away: the agent is to look at it at once, not at the deadline. */
	new_ctr(&c);
	assert_int_equal(qt_life_reserve(&life, &c, &e), 0);
	qt_ctr_done(&c);
	world.rt_dies = 1;
	assert_int_equal(execute(QT_OPT_CTR_CREATE, 3600000, "TIMEOUT"), QT_OP_TIMED_OUT);
	world.rt_dies = 0;
	assert_true(world.in_redis && world.redis.state == QT_ST_CREATED && world.redis.deadline_ms <= qt_now_ms());
}

/* Nobody answers at the runtime's socket: nothing was asked, so nothing is there, and the name is free at once. */
static void test_create_without_runtime(void **state)
{
	struct qt_ready ready;
	struct qt_err e = {0};
	struct qt_ctr c;

	(void)state;
	new_ctr(&c);
	world.rt_dies = 1;
	life.rt.unsent = true;
	assert_int_equal(qt_life_create(&life, &c, &ready, &e), -1);
	assert_int_equal(e.code, QT_E_RUNTIME_UNAVAILABLE);
	assert_false(world.in_redis);
	/* It was sent, and may have been carried out: the agent finds out. */
	life.rt.unsent = false;
	qt_err_reset(&e);
	assert_int_equal(qt_life_create(&life, &c, &ready, &e), -1);
	assert_true(world.in_redis);
	world.rt_dies = 0;
	qt_ctr_done(&c);
}

static void new_batch(struct qt_op_entry *x)
{
	struct qt_err e = {0};
	struct qt_ctr c;
	size_t bad;

	new_ctr(&c);
	assert_int_equal(qt_life_reserve_all(&life, &c, 1, &bad, &e), 0);
	memset(x, 0, sizeof(*x));
	qt_op_init(&x->op);
	x->op.tenant = TENANT;
	x->op.type = QT_OPT_CTR_BATCH;
	json_array_append_new(x->op.items, json_pack("{s:i, s:s, s:s, s:s, s:n}", "index", 0, "name", c.name, "status", "accepted",
						     "container_id", c.id.s, "error"));
	assert_int_equal(qt_life_submit_op(&life, &x->op, &e), 0);
	qt_ctr_done(&c);
}

/* The record of X as Redis has it: what was not finished left no trace in it. */
static void read_again(struct qt_op_entry *again, const struct qt_op_entry *x)
{
	qt_op_init(&again->op);
	json_decref(again->op.items);
	again->op.items = json_deep_copy(x->op.items);
	again->op.id = x->op.id;
	again->op.tenant = x->op.tenant;
	again->op.type = x->op.type;
	again->op.container = x->op.container;
	again->op.created_ms = x->op.created_ms;
	again->op.deadline_ms = x->op.deadline_ms;
}

static const char *item_status(const struct qt_op_entry *x)
{
	return json_string_value(json_object_get(json_array_get(json_object_get(x->op.result, "results"), 0), "status"));
}

static void test_batch(void **state)
{
	struct qt_op_entry x;
	struct qt_err e = {0};
	struct qt_ctr c;
	size_t bad = 9;

	(void)state;
	new_batch(&x);
	assert_int_equal(qt_life_execute(&life, &x, &e), 0);
	assert_int_equal(x.op.status, QT_OP_SUCCEEDED);
	assert_string_equal(item_status(&x), "succeeded");
	assert_agreed();
	/* Again, by an agent that did not hear of it. */
	json_object_set_new(json_array_get(x.op.items, 0), "status", json_string("accepted"));
	assert_int_equal(qt_life_execute(&life, &x, &e), 0);
	assert_int_equal(x.op.status, QT_OP_SUCCEEDED);
	assert_int_equal(world.asked[RT_CREATE], 1);
	qt_op_done(&x.op);
	/* The name is taken: which one is to blame. */
	new_ctr(&c);
	assert_int_equal(qt_life_reserve_all(&life, &c, 1, &bad, &e), -1);
	assert_int_equal(e.code, QT_E_CONTAINER_NAME_CONFLICT);
	assert_int_equal(bad, 0);
	qt_ctr_done(&c);
}

static void test_batch_given_up(void **state)
{
	static const enum qt_op_status want[] = {QT_OP_CANCELLED, QT_OP_TIMED_OUT, QT_OP_FAILED};

	(void)state;
	for (unsigned i = 0; i < QT_LEN(want); i++) {
		struct qt_op_entry x;
		struct qt_err e = {0};

		new_batch(&x);
		world.cancelled = want[i] == QT_OP_CANCELLED;
		if (want[i] == QT_OP_TIMED_OUT)
			x.op.deadline_ms = 1;
		world.no_image = want[i] == QT_OP_FAILED;
		assert_int_equal(qt_life_execute(&life, &x, &e), 0);
		world.cancelled = world.no_image = false;
		assert_int_equal(x.op.status, want[i]);
		assert_string_equal(item_status(&x), qt_op_status_name(want[i]));
		assert_true(json_is_null(json_object_get(json_array_get(x.op.items, 0), "container_id")));
		assert_false(world.in_rt || world.in_redis);
		qt_op_done(&x.op);
	}
}

/* Each operation, cut off at each of its requests, and executed again by the next agent, which has read the record anew: done once. */
static void test_operations_cut_off(void **state)
{
	static const struct {
		enum qt_op_type type;
		enum qt_state from; /* QT_ST_COUNT: reserved */
	} kinds[] = {{QT_OPT_CTR_CREATE, QT_ST_COUNT}, {QT_OPT_CTR_BATCH, QT_ST_COUNT},	 {QT_OPT_CTR_START, QT_ST_EXITED},
		     {QT_OPT_CTR_STOP, QT_ST_RUNNING}, {QT_OPT_CTR_DELETE, QT_ST_RUNNING}};

	for (unsigned k = 0; k < QT_LEN(kinds); k++) {
		for (unsigned n = 1; n < 14; n++) {
			struct qt_op_entry x = {.token = 1}, again = {.token = 2};
			struct qt_err e = {0};
			struct qt_ctr c;

			(void)setup(state);
			new_ctr(&c);
			if (kinds[k].type == QT_OPT_CTR_BATCH) {
				new_batch(&x);
				read_again(&again, &x);
			} else {
				if (kinds[k].from == QT_ST_COUNT)
					assert_int_equal(qt_life_reserve(&life, &c, &e), 0);
				else
					given(kinds[k].from);
				assert_int_equal(qt_life_submit(&life, kinds[k].type, &c, NULL, &x.op, &e), 0);
				read_again(&again, &x);
			}
			world.redis_dies = n;
			(void)qt_life_execute(&life, &x, &e);
			world.redis_dies = 0;
			qt_err_reset(&e);
			assert_int_equal(qt_life_execute(&life, &again, &e), 0);
			if (again.op.status != QT_OP_SUCCEEDED)
				fail_msg("%s, cut off at %u: %s %s", qt_op_type_name(again.op.type), n, qt_op_status_name(again.op.status), again.op.error);
			(void)settle();
			assert_agreed();
			assert_int_equal(world.in_rt, kinds[k].type != QT_OPT_CTR_DELETE);
			assert_int_equal(world.usage_stopped, kinds[k].from == QT_ST_RUNNING);
			assert_int_equal(world.usage_started, kinds[k].from != QT_ST_RUNNING);
			qt_op_done(&x.op);
			qt_op_done(&again.op);
			qt_ctr_done(&c);
			(void)teardown(state);
		}
	}
	(void)setup(state);
}

/* Cancelled before it changed anything: nothing was asked of the runtime. */
static void test_cancelled(void **state)
{
	(void)state;
	given(QT_ST_RUNNING);
	world.cancelled = true;
	assert_int_equal(execute(QT_OPT_CTR_STOP, 0, ""), QT_OP_CANCELLED);
	assert_int_equal(world.asked[RT_STOP], 0);
	world.cancelled = false;
	assert_int_equal(execute(QT_OPT_CTR_STOP, 0, ""), QT_OP_SUCCEEDED);
	/* What is done cannot be cancelled any more. */
	world.cancelled = true;
	assert_int_equal(execute(QT_OPT_CTR_STOP, 1000, ""), QT_OP_SUCCEEDED);
	world.cancelled = false;
}

/* Another has it by now: what is there is his, and so is what becomes of it. */
static void test_in_other_hands(void **state)
{
	struct qt_op_entry x;
	struct qt_err e = {0};

	(void)state;
	for (unsigned n = 1; n < 3; n++) {
		new_batch(&x);
		/* At the second question the runtime has died under the container that it was making. */
		world.lease_lost = n;
		world.rt_dies = 1;
		assert_int_equal(qt_life_execute(&life, &x, &e), -1);
		assert_int_equal(world.asked[RT_CREATE], n - 1);
		/* The create's own try to leave nothing, but no executor's. */
		assert_int_equal(world.asked[RT_DELETE], n - 1);
		assert_true(world.in_redis && world.redis.deadline_ms > qt_now_ms());
		qt_op_done(&x.op);
		(void)teardown(state);
		(void)setup(state);
		qt_err_reset(&e);
	}
}

/* Asked in passing, by who only wants to know whether to go on. */
static void test_lost_in_passing(void **state)
{
	struct qt_op_entry x = {.token = 1};

	(void)state;
	life.entry = &x;
	world.lease_lost = 2;
	assert_false(qt_op_cancelled(&life, &x.op));
	assert_true(qt_op_cancelled(&life, &x.op));
	assert_true(life.op_lost && !life.op_cancelled);
	/* For good, whatever Redis says later. */
	world.lease_lost = 0;
	assert_int_equal(qt_op_go_on(&life, &x.op, &(struct qt_err){0}), 0);
	assert_true(life.op_lost && qt_op_cancelled(&life, &x.op));
}

static void test_operation_waits_for_redis(void **state)
{
	struct qt_op_entry x = {.token = 1};
	struct qt_err e = {0};
	struct qt_ctr c;

	(void)state;
	given(QT_ST_RUNNING);
	new_ctr(&c);
	assert_int_equal(qt_life_submit(&life, QT_OPT_CTR_STOP, &c, json_pack("{s:i}", "timeout_ms", 5), &x.op, &e), 0);
	world.redis_dies = 2;
	assert_int_equal(qt_life_execute(&life, &x, &e), -1);
	assert_int_equal(e.code, QT_E_STORE_UNAVAILABLE);
	assert_int_equal(world.state, RT_ST_EXITED);
	/* The next agent takes it up. */
	world.redis_dies = 0;
	(void)settle();
	qt_err_reset(&e);
	assert_int_equal(qt_life_execute(&life, &x, &e), 0);
	assert_int_equal(x.op.status, QT_OP_SUCCEEDED);
	assert_int_equal(world.usage_stopped, 1);
	assert_int_equal(json_integer_value(json_object_get(x.op.result, "exit_code")), 0);
	qt_op_done(&x.op);
	qt_ctr_done(&c);
}

int op_tests(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_operations),
		T(test_create_as_operation),
		T(test_create_given_up),
		T(test_create_without_runtime),
		T(test_batch),
		T(test_batch_given_up),
		T(test_operations_cut_off),
		T(test_cancelled),
		T(test_in_other_hands),
		T(test_lost_in_passing),
		T(test_operation_waits_for_redis),
	};

	return cmocka_run_group_tests_name("operations", tests, NULL, NULL);
}
