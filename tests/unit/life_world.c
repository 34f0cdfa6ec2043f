/* The container's part of the world, and what tests do in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "conf.h"
#include "life_world.h"
#include "str.h"

struct world world;
struct qt_life life;
const struct qt_id TENANT = {"ten_1"};
static struct qt_conf conf;

static bool dies(unsigned *n)
{
	if (*n > 1) {
		(*n)--;
		return false;
	}
	return *n == 1;
}

int redis_away(struct qt_err *e)
{
	return dies(&world.redis_dies) ? qt_fail(e, QT_E_STORE_UNAVAILABLE, "Redis is away") : 0;
}

void world_dies(unsigned redis, unsigned rt, bool lost)
{
	world.redis_dies = redis;
	world.rt_dies = rt;
	world.lost = lost;
}

struct qt_ctr *world_ctr(void)
{
	return world.in_redis ? &world.redis : NULL;
}

const char *world_from(void)
{
	return world.in_rt ? world.from : NULL;
}

void world_empty(void)
{
	if (world.in_redis)
		qt_ctr_done(&world.redis);
	world.in_redis = world.in_rt = false;
}

int no_ctr(struct qt_err *e)
{
	return qt_fail(e, QT_E_CONTAINER_NOT_FOUND, "there is no such container");
}

int rt_client_init(struct rt_client *c, const char *path, struct qt_err *e)
{
	(void)path;
	(void)e;
	c->fd = -1;
	return 0;
}

void rt_client_done(struct rt_client *c)
{
	(void)c;
}

static int wrong_state(struct qt_err *e)
{
	(void)qt_copy(e->state, sizeof(e->state), world.state == RT_ST_RUNNING ? "running" : "exited");
	return qt_fail(e, QT_E_INVALID_STATE, "not in this state");
}

void ctr_runs(void)
{
	world.in_rt = true;
	world.state = RT_ST_RUNNING;
	world.pid = 4711;
	world.started_ms = qt_now_ms();
}

void ctr_ends(uint32_t code)
{
	world.state = RT_ST_EXITED;
	world.pid = 0;
	world.exit_code = code;
	world.exited_ms = qt_now_ms();
}

static int carry_out(enum rt_op op, const void *req, void *rep, struct qt_err *e)
{
	const struct rt_create_req *create = req;
	const struct rt_record_req *record = req;
	const struct rt_list_req *list = req;
	static char ids[512];

	if (img_is_asked(op, req))
		return img_carry_out(op, req, rep, e);
	if (snap_is_asked(op, req))
		return snap_carry_out(op, req, rep, e);
	if (op >= RT_OBJ_GET && op <= RT_VOL_MAKE)
		return vol_carry_out(op, req, rep, e);
	if (op == RT_LIST) {
		struct rt_strv *v = &((struct rt_list_rep *)rep)->ids;

		*v = (struct rt_strv){ids, 0, 0};
		if (world.in_rt && strcmp(list->after.s, world.id.s) < 0)
			assert_true(rt_strv_add(v, ids, sizeof(ids), world.id.s));
		return 0;
	}
	if (op == RT_IMAGES) {
		struct rt_strv *v = &((struct rt_images_rep *)rep)->images;
		const char *const image[RT_IMAGE_TEXTS] = {"busybox", "1", DIGEST("a"), "managed", "100", world.old_image ? "" : DIGEST("b"), world.old_image ? "" : DIGEST("c")};

		*v = (struct rt_strv){ids, 0, 0};
		for (unsigned i = 0; i < RT_IMAGE_TEXTS && !world.no_image && strcmp(((const struct rt_images_req *)req)->after.s, "busybox") < 0; i++)
			assert_true(rt_strv_add(v, ids, sizeof(ids), image[i]));
		return 0;
	}
	if (op == RT_CREATE) {
		if (world.no_image)
			return qt_fail(e, QT_E_IMAGE_NOT_FOUND, "no such image");
		if (!world.in_rt) {
			if (qt_starts(create->from.s ? create->from.s : "", "snap_") && !snap_in_rt())
				return qt_fail(e, QT_E_SNAPSHOT_NOT_FOUND, "no such snapshot");
			if (create->no_start)
				world.in_rt = true, world.state = RT_ST_CREATED;
			else
				ctr_runs();
			strcpy(world.from, create->from.s ? create->from.s : "");
			memcpy(world.record, create->record.s, create->record.len + 1);
		} else if (world.state != (create->no_start ? RT_ST_CREATED : RT_ST_RUNNING)) {
			return wrong_state(e);
		}
		*(struct rt_create_rep *)rep = (struct rt_create_rep){.pid = world.pid, .ip = rt_str("10.0.0.1"), .started_ms = (uint64_t)world.started_ms};
		return 0;
	}
	if (!world.in_rt)
		return no_ctr(e);
	switch (op) {
	case RT_START:
		if (world.state == RT_ST_RUNNING)
			return wrong_state(e);
		ctr_runs();
		*(struct rt_start_rep *)rep = (struct rt_start_rep){world.pid, rt_str("10.0.0.1"), (uint64_t)world.started_ms, 0};
		return 0;
	case RT_STOP:
	case RT_KILL:
		if (world.state != RT_ST_RUNNING)
			return wrong_state(e);
		ctr_ends(op == RT_STOP ? 0 : 137);
		*(struct rt_stop_rep *)rep = (struct rt_stop_rep){world.exit_code, (uint64_t)world.exited_ms, 0};
		return 0;
	case RT_DELETE:
		world.in_rt = false;
		return 0;
	case RT_GET:
		*(struct rt_get_rep *)rep = (struct rt_get_rep){.state = world.state, .pid = world.pid, .exit_code = world.exit_code,
								.ip = rt_str("10.0.0.1"), .started_ms = (uint64_t)world.started_ms,
								.exited_ms = (uint64_t)world.exited_ms, .tenant = TENANT,
								.record = rt_str(world.record)};
		return 0;
	case RT_RECORD:
		memcpy(world.record, record->record.s, record->record.len + 1);
		return 0;
	case RT_CHECK:
		*(struct rt_check_rep *)rep = (struct rt_check_rep){.checks = 15, .ip = rt_str(""), .link = rt_str("")};
		return 0;
	default:
		fail_msg("asked for %d", op);
		return -1;
	}
}

int rt_call(struct rt_client *c, enum rt_op op, const void *req, const int *fds_in, void *rep, int *fds_out, int budget_ms,
	    struct qt_err *e)
{
	bool fails = dies(&world.rt_dies);

	(void)c;
	(void)fds_in;
	(void)fds_out;
	(void)budget_ms;
	world.asked[op]++;
	if (fails && !world.lost)
		return qt_fail(e, QT_E_RUNTIME_UNAVAILABLE, "the runtime is away");
	if (!fails)
		return carry_out(op, req, rep, e);
	world.rt_dies = 0; /* only this answer */
	(void)carry_out(op, req, rep, &(struct qt_err){0});
	return qt_fail(e, QT_E_TIMEOUT, "no answer");
}

/* --- helpers ------------------------------------------------------------------------------------------- */

void new_ctr(struct qt_ctr *c)
{
	qt_ctr_init(c);
	c->id = world.id;
	c->tenant = TENANT;
	strcpy(c->name, "demo");
	strcpy(c->image, "busybox");
	strcpy(c->workdir, "/");
	c->memory_mb = 64;
	c->cpu_centi = 5000;
	json_object_set_new(c->environment, "FOO", json_string("bar"));
}

int setup(void **state)
{
	(void)state;
	vol_world_clear();
	snap_world_clear();
	img_world_clear();
	if (world.in_redis)
		qt_ctr_done(&world.redis);
	memset(&world, 0, sizeof(world));
	qt_conf_defaults(&conf);
	assert_true(qt_id_parse(&world.id, "ctr", "ctr_1"));
	assert_int_equal(qt_life_init(&life, &conf, &(struct qt_err){0}), 0);
	return 0;
}

int teardown(void **state)
{
	(void)state;
	vol_world_clear();
	snap_world_clear();
	img_world_clear();
	qt_life_done(&life);
	if (world.in_redis)
		qt_ctr_done(&world.redis);
	world.in_redis = false;
	return 0;
}

int world_create(struct qt_err *e)
{
	struct qt_ready ready;
	struct qt_ctr c;
	int r;

	new_ctr(&c);
	r = qt_life_create(&life, &c, &ready, e);
	qt_ctr_done(&c);
	return r;
}

void given(enum qt_state s)
{
	assert_int_equal(world_create(&(struct qt_err){0}), 0);
	assert_int_equal(world.redis.state, QT_ST_RUNNING);
	if (s == QT_ST_EXITED) {
		ctr_ends(0);
		world.redis.state = s;
		world.redis.exited_ms = world.exited_ms;
		world.redis.has_exit_code = true;
		world.redis.pid = 0;
	}
	world.usage_started = world.usage_stopped = world.events = 0;
}

struct qt_settled settle(void)
{
	struct qt_settled did = {0};
	struct qt_settle st = {0};

	world.redis_dies = world.rt_dies = 0;
	for (int i = 0; i < 3; i++) {
		if (world.in_redis && world.redis.deadline_ms)
			world.redis.deadline_ms = 1;
		if (world.in_redis && world.redis.deleting_ms)
			world.redis.deleting_ms = 1;
		vol_time_passes();
		snap_time_passes();
		assert_int_equal(qt_settle_all(&life, &st, &did, &(struct qt_err){0}), 0);
	}
	qt_settle_done(&st);
	return did;
}

void assert_agreed(void)
{
	assert_int_equal(world.in_redis, world.in_rt);
	if (!world.in_rt)
		return;
	if (world.state == RT_ST_CREATED) {
		assert_true(world.redis.state == QT_ST_CREATED && world.redis.deadline_ms == 0);
		return;
	}
	assert_true(world.redis.state == QT_ST_RUNNING || world.redis.state == QT_ST_EXITED);
	assert_int_equal(world.redis.state == QT_ST_RUNNING, world.state == RT_ST_RUNNING);
	assert_int_equal(world.redis.pid, world.pid);
	assert_int_equal(world.redis.has_exit_code, world.state == RT_ST_EXITED);
}
