/* The verbs, the operations and the settling, against a Redis and a runtime of one container each, made of a few lines. Both can be made to fail
 * at their n-th request: a client that got no answer, and a process that died there, look the same to everybody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "client.h"
#include "clock.h"
#include "conf.h"
#include "life.h"
#include "life_images.h"
#include "life_snaps.h"
#include "life_volumes.h"
#include "settle.h"
#include "str.h"
#include "strv.h"

/* --- the world ----------------------------------------------------------------------------------------- */

static struct {
	/* Redis */
	bool in_redis;
	struct qt_ctr redis;
	unsigned usage_started, usage_stopped, events, restores;
	/* the runtime */
	bool in_rt, no_image;
	enum rt_state state;
	uint32_t pid, exit_code;
	int64_t started_ms, exited_ms;
	char record[16385], from[40];
	unsigned asked[RT_OP_COUNT];
	/* what fails: the n-th request from now on, and all after it; 0: none. LOST: it is carried out, and the answer is lost. */
	unsigned redis_dies, rt_dies;
	bool lost;
	bool cancelled; /* a client asked for the end of the operation */
} w;

static struct qt_conf conf;
struct qt_life life;
static struct qt_id ID, TENANT;

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
	return dies(&w.redis_dies) ? qt_fail(e, QT_E_STORE_UNAVAILABLE, "Redis is away") : 0;
}

void world_dies(unsigned redis, unsigned rt, bool lost)
{
	w.redis_dies = redis;
	w.rt_dies = rt;
	w.lost = lost;
}

unsigned world_asked(enum rt_op op)
{
	return w.asked[op];
}

struct qt_ctr *world_ctr(void)
{
	return w.in_redis ? &w.redis : NULL;
}

const char *world_from(void)
{
	return w.in_rt ? w.from : NULL;
}

void world_is(const struct qt_id *ctr)
{
	ID = *ctr;
}

void world_empty(void)
{
	if (w.in_redis)
		qt_ctr_done(&w.redis);
	w.in_redis = w.in_rt = false;
}

static int no_ctr(struct qt_err *e)
{
	return qt_fail(e, QT_E_CONTAINER_NOT_FOUND, "there is no such container");
}

static void copy_ctr(struct qt_ctr *to, const struct qt_ctr *from)
{
	struct qt_err e = {0};
	char *text = qt_ctr_dump(from, &e);

	assert_non_null(text);
	assert_int_equal(qt_ctr_load(to, text, strlen(text), &e), 0);
	free(text);
}

static void redis_set(const struct qt_ctr *c)
{
	struct qt_ctr new;

	copy_ctr(&new, c);
	if (w.in_redis)
		qt_ctr_done(&w.redis);
	w.redis = new;
	w.in_redis = true;
}

int qt_store_new(struct qt_store **ret, const struct qt_conf *c, struct qt_err *e)
{
	(void)c;
	(void)e;
	*ret = NULL;
	return 0;
}

void qt_store_free(struct qt_store *s)
{
	(void)s;
}

int qt_store_ctr_reserve(struct qt_store *s, struct qt_ctr *c, int64_t deadline_ms, struct qt_err *e)
{
	(void)s;
	if (redis_away(e) < 0)
		return -1;
	if (w.in_redis)
		return qt_fail(e, QT_E_CONTAINER_NAME_CONFLICT, "taken");
	redis_set(c);
	w.redis.deadline_ms = deadline_ms;
	return 0;
}

int qt_store_node_gpus(struct qt_store *s, const char *node, const json_t *gpus, struct qt_err *e)
{
	(void)s;
	(void)node;
	(void)gpus;
	return redis_away(e);
}

int qt_store_ctr_reserve_all(struct qt_store *s, const struct qt_ctr *v, size_t n, int64_t deadline_ms, struct qt_err *e)
{
	struct qt_ctr c;

	assert_int_equal(n, 1);
	if (w.in_redis)
		(void)qt_copy(e->received, sizeof(e->received), v->name);
	c = *v; /* borrows the JSON */
	return qt_store_ctr_reserve(s, &c, deadline_ms, e);
}

int qt_store_ctr_move(struct qt_store *s, const struct qt_ctr *c, unsigned from, enum qt_state to, const char *event,
		      const char *usage, struct qt_err *e)
{
	int64_t deleting = w.redis.deleting_ms;

	(void)s;
	if (redis_away(e) < 0)
		return -1;
	if (!w.in_redis)
		return no_ctr(e);
	if (!(from & 1U << w.redis.state) || (to == QT_ST_STARTING && deleting > 0)) {
		(void)qt_copy(e->state, sizeof(e->state), qt_state_name(w.redis.state));
		return qt_fail(e, QT_E_INVALID_STATE, "not in this state");
	}
	redis_set(c);
	w.redis.state = to;
	w.redis.deleting_ms = deleting;
	w.events += event != NULL;
	w.usage_started += usage && qt_streq(usage, "container_started");
	w.usage_stopped += usage && qt_streq(usage, "container_stopped");
	return 0;
}

int qt_store_ctr_get(struct qt_store *s, const struct qt_id *tenant, const char *who, struct qt_ctr *ret, struct qt_err *e)
{
	(void)s;
	if (redis_away(e) < 0)
		return -1;
	if (!w.in_redis || !qt_streq(tenant->s, TENANT.s) || !qt_streq(who, ID.s))
		return no_ctr(e);
	copy_ctr(ret, &w.redis);
	return 0;
}

int qt_store_ctr_rename(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, const char *new_name, char *old_name,
			struct qt_err *e)
{
	(void)s;
	(void)tenant;
	(void)id;
	if (redis_away(e) < 0)
		return -1;
	strcpy(old_name, w.redis.name);
	strcpy(w.redis.name, new_name);
	return 0;
}

int qt_store_ctr_env(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, const json_t *env, bool merge,
		     struct qt_ctr *ret, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	(void)id;
	(void)merge;
	if (redis_away(e) < 0)
		return -1;
	json_object_update(w.redis.environment, (json_t *)(uintptr_t)env);
	copy_ctr(ret, &w.redis);
	return 0;
}

int qt_store_ctr_by_name(struct qt_store *s, const struct qt_id *tenant, const char *name, struct qt_id *ret, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	if (redis_away(e) < 0)
		return -1;
	if (!w.in_redis || !qt_streq(w.redis.name, name))
		return no_ctr(e);
	*ret = w.redis.id;
	return 0;
}

int qt_store_ctr_volumes(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, const json_t *volumes, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	(void)id;
	if (redis_away(e) < 0)
		return -1;
	if (!w.in_redis)
		return no_ctr(e);
	json_decref(w.redis.volumes);
	w.redis.volumes = json_deep_copy(volumes);
	return 0;
}

int qt_store_ctr_deleting(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	(void)id;
	if (redis_away(e) < 0)
		return -1;
	if (!w.in_redis)
		return no_ctr(e);
	w.redis.deleting_ms = qt_now_ms();
	return 0;
}

int qt_store_ctr_remove(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	(void)id;
	if (redis_away(e) < 0)
		return -1;
	if (!w.in_redis)
		return no_ctr(e);
	w.usage_stopped += w.redis.state == QT_ST_RUNNING;
	qt_ctr_done(&w.redis);
	w.in_redis = false;
	return 0;
}

int qt_store_ctr_restore(struct qt_store *s, const struct qt_ctr *c, struct qt_err *e)
{
	(void)s;
	if (redis_away(e) < 0)
		return -1;
	if (!w.in_redis)
		redis_set(c);
	w.restores++;
	return 0;
}

int qt_store_ctr_of_node(struct qt_store *s, const char *node, struct qt_ctr_list *ret, struct qt_err *e)
{
	(void)s;
	(void)node;
	if (redis_away(e) < 0)
		return -1;
	memset(ret, 0, sizeof(*ret));
	if (w.in_redis) {
		ret->v = calloc(1, sizeof(*ret->v));
		copy_ctr(ret->v, &w.redis);
		ret->n = 1;
	}
	return 0;
}

void qt_ctr_list_done(struct qt_ctr_list *l)
{
	if (l->n)
		qt_ctr_done(l->v);
	free(l->v);
}

int qt_store_op_submit(struct qt_store *s, const struct qt_op *o, struct qt_err *e)
{
	(void)s;
	(void)o;
	return redis_away(e);
}

int qt_store_op_get(struct qt_store *s, const struct qt_id *tenant, const char *op_id, struct qt_op *ret, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	(void)op_id;
	(void)ret;
	return qt_fail(e, QT_E_OPERATION_NOT_FOUND, "there is no such operation");
}

int qt_store_op_progress(struct qt_store *s, const struct qt_op_entry *x, struct qt_err *e)
{
	(void)s;
	(void)x;
	return redis_away(e);
}

int qt_store_op_asked(struct qt_store *s, const struct qt_op_entry *x, struct qt_err *e)
{
	(void)s;
	(void)x;
	(void)e;
	return w.cancelled;
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
	(void)qt_copy(e->state, sizeof(e->state), w.state == RT_ST_RUNNING ? "running" : "exited");
	return qt_fail(e, QT_E_INVALID_STATE, "not in this state");
}

static void runs(void)
{
	w.in_rt = true;
	w.state = RT_ST_RUNNING;
	w.pid = 4711;
	w.started_ms = qt_now_ms();
}

static void ends(uint32_t code)
{
	w.state = RT_ST_EXITED;
	w.pid = 0;
	w.exit_code = code;
	w.exited_ms = qt_now_ms();
}

static int carry_out(enum rt_op op, const void *req, void *rep, struct qt_err *e)
{
	const struct rt_create_req *create = req;
	const struct rt_record_req *record = req;
	const struct rt_list_req *list = req;
	static char ids[64];

	if (img_is_asked(op, req))
		return img_carry_out(op, req, rep, e);
	if (snap_is_asked(op, req))
		return snap_carry_out(op, req, rep, e);
	if (op >= RT_OBJ_GET && op <= RT_VOL_MAKE)
		return vol_carry_out(op, req, rep, e);
	if (op == RT_LIST) {
		struct rt_strv *v = &((struct rt_list_rep *)rep)->ids;

		*v = (struct rt_strv){ids, 0, 0};
		if (w.in_rt && strcmp(list->after.s, ID.s) < 0)
			assert_true(rt_strv_add(v, ids, sizeof(ids), ID.s));
		return 0;
	}
	if (op == RT_IMAGES) {
		struct rt_strv *v = &((struct rt_images_rep *)rep)->images;
		static const char *const image[] = {"busybox", "1", "sha256:0", "managed", "100"};

		*v = (struct rt_strv){ids, 0, 0};
		for (unsigned i = 0; i < 5 && !w.no_image && strcmp(((const struct rt_images_req *)req)->after.s, "busybox") < 0; i++)
			assert_true(rt_strv_add(v, ids, sizeof(ids), image[i]));
		return 0;
	}
	if (op == RT_CREATE) {
		if (w.no_image)
			return qt_fail(e, QT_E_IMAGE_NOT_FOUND, "no such image");
		if (!w.in_rt) {
			if (qt_starts(create->from.s ? create->from.s : "", "snap_") && !snap_in_rt())
				return qt_fail(e, QT_E_SNAPSHOT_NOT_FOUND, "no such snapshot");
			if (create->no_start)
				w.in_rt = true, w.state = RT_ST_CREATED;
			else
				runs();
			strcpy(w.from, create->from.s ? create->from.s : "");
			memcpy(w.record, create->record.s, create->record.len + 1);
		} else if (w.state != (create->no_start ? RT_ST_CREATED : RT_ST_RUNNING)) {
			return wrong_state(e);
		}
		*(struct rt_create_rep *)rep = (struct rt_create_rep){.pid = w.pid, .ip = rt_str("10.0.0.1"), .started_ms = (uint64_t)w.started_ms};
		return 0;
	}
	if (!w.in_rt)
		return no_ctr(e);
	switch (op) {
	case RT_START:
		if (w.state == RT_ST_RUNNING)
			return wrong_state(e);
		runs();
		*(struct rt_start_rep *)rep = (struct rt_start_rep){w.pid, rt_str("10.0.0.1"), (uint64_t)w.started_ms, 0};
		return 0;
	case RT_STOP:
	case RT_KILL:
		if (w.state != RT_ST_RUNNING)
			return wrong_state(e);
		ends(op == RT_STOP ? 0 : 137);
		*(struct rt_stop_rep *)rep = (struct rt_stop_rep){w.exit_code, (uint64_t)w.exited_ms, 0};
		return 0;
	case RT_DELETE:
		w.in_rt = false;
		return 0;
	case RT_GET:
		*(struct rt_get_rep *)rep = (struct rt_get_rep){.state = w.state, .pid = w.pid, .exit_code = w.exit_code,
								.ip = rt_str("10.0.0.1"), .started_ms = (uint64_t)w.started_ms,
								.exited_ms = (uint64_t)w.exited_ms, .tenant = TENANT,
								.record = rt_str(w.record)};
		return 0;
	case RT_RECORD:
		memcpy(w.record, record->record.s, record->record.len + 1);
		return 0;
	case RT_CHECK:
		*(struct rt_check_rep *)rep = (struct rt_check_rep){.checks = 15, .ip = rt_str(""), .link = rt_str("")};
		return 0;
	default:
		fail_msg("asked for %d", op);
		return -1;
	}
}

/* Jobs are not what this test is about: no container here has any. */
int qt_store_job_put(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *ctr, const char *job_id, const json_t *record,
		     struct qt_err *e)
{
	(void)s;
	(void)tenant;
	(void)ctr;
	(void)job_id;
	(void)record;
	return qt_fail(e, QT_E_INTERNAL_ERROR, "no jobs here");
}

json_t *qt_store_job_get(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *ctr, const char *job_id, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	(void)ctr;
	(void)job_id;
	(void)qt_fail(e, QT_E_JOB_NOT_FOUND, "no jobs here");
	return NULL;
}

json_t *qt_store_job_list(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *ctr, bool running, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	(void)ctr;
	(void)running;
	(void)e;
	return json_array();
}

int rt_call(struct rt_client *c, enum rt_op op, const void *req, const int *fds_in, void *rep, int *fds_out, int budget_ms,
	    struct qt_err *e)
{
	bool fails = dies(&w.rt_dies);

	(void)c;
	(void)fds_in;
	(void)fds_out;
	(void)budget_ms;
	w.asked[op]++;
	if (fails && !w.lost)
		return qt_fail(e, QT_E_RUNTIME_UNAVAILABLE, "the runtime is away");
	if (!fails)
		return carry_out(op, req, rep, e);
	w.rt_dies = 0; /* only this answer */
	(void)carry_out(op, req, rep, &(struct qt_err){0});
	return qt_fail(e, QT_E_TIMEOUT, "no answer");
}

/* --- helpers ------------------------------------------------------------------------------------------- */

static void new_ctr(struct qt_ctr *c)
{
	qt_ctr_init(c);
	c->id = ID;
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
	if (w.in_redis)
		qt_ctr_done(&w.redis);
	memset(&w, 0, sizeof(w));
	qt_conf_defaults(&conf);
	assert_true(qt_id_parse(&ID, "ctr", "ctr_1"));
	assert_true(qt_id_parse(&TENANT, "ten", "ten_1"));
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
	if (w.in_redis)
		qt_ctr_done(&w.redis);
	w.in_redis = false;
	return 0;
}

static int create(struct qt_err *e)
{
	struct qt_ready ready;
	struct qt_ctr c;
	int r;

	new_ctr(&c);
	r = qt_life_create(&life, &c, &ready, e);
	qt_ctr_done(&c);
	return r;
}

/* A container that runs, as both sides know it. */
void given(enum qt_state s)
{
	assert_int_equal(create(&(struct qt_err){0}), 0);
	assert_int_equal(w.redis.state, QT_ST_RUNNING);
	if (s == QT_ST_EXITED) {
		ends(0);
		w.redis.state = s;
		w.redis.exited_ms = w.exited_ms;
		w.redis.has_exit_code = true;
		w.redis.pid = 0;
	}
	w.usage_started = w.usage_stopped = w.events = 0;
}

static int with_ctr(int (*verb)(struct qt_life *, struct qt_ctr *, struct qt_err *), struct qt_err *e)
{
	struct qt_ctr c;
	int r;

	memset(e, 0, sizeof(*e));
	if (qt_store_ctr_get(NULL, &TENANT, ID.s, &c, e) < 0)
		return -1;
	r = verb(&life, &c, e);
	qt_ctr_done(&c);
	return r;
}

static int stop(struct qt_life *l, struct qt_ctr *c, struct qt_err *e)
{
	return qt_life_stop(l, c, 100, e);
}

/* Time passes, and the agent comes by as often as it takes. Everything is well again. */
struct qt_settled settle(void)
{
	struct qt_settled did = {0};
	struct qt_settle st = {0};

	w.redis_dies = w.rt_dies = 0;
	for (int i = 0; i < 3; i++) {
		if (w.in_redis && w.redis.deadline_ms)
			w.redis.deadline_ms = 1;
		if (w.in_redis && w.redis.deleting_ms)
			w.redis.deleting_ms = 1;
		snap_time_passes();
		assert_int_equal(qt_settle_all(&life, &st, &did, &(struct qt_err){0}), 0);
	}
	qt_settle_done(&st);
	return did;
}

/* Nobody believes in something else than the other does. */
void assert_agreed(void)
{
	assert_int_equal(w.in_redis, w.in_rt);
	if (!w.in_rt)
		return;
	if (w.state == RT_ST_CREATED) {
		assert_true(w.redis.state == QT_ST_CREATED && w.redis.deadline_ms == 0);
		return;
	}
	assert_true(w.redis.state == QT_ST_RUNNING || w.redis.state == QT_ST_EXITED);
	assert_int_equal(w.redis.state == QT_ST_RUNNING, w.state == RT_ST_RUNNING);
	assert_int_equal(w.redis.pid, w.pid);
	assert_int_equal(w.redis.has_exit_code, w.state == RT_ST_EXITED);
}

/* --- tests --------------------------------------------------------------------------------------------- */

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
	assert_int_equal(create(&e), 0);
	assert_agreed();
	assert_int_equal(w.usage_started, 1);
	assert_int_equal(w.redis.pid, 4711);
	assert_string_equal(w.redis.ip, "10.0.0.1");
	assert_int_equal(create(&e), -1);
	assert_int_equal(e.code, QT_E_CONTAINER_NAME_CONFLICT);
	assert_true(w.in_rt);
}

static void test_create_refused_leaves_nothing(void **state)
{
	struct qt_err e = {0};

	(void)state;
	w.no_image = true;
	assert_int_equal(create(&e), -1);
	assert_int_equal(e.code, QT_E_IMAGE_NOT_FOUND);
	assert_false(w.in_redis);
	assert_false(w.in_rt);
}

/* The runtime did it and its answer was lost: the verb asks again, and succeeds. */
static void test_lost_answers(void **state)
{
	struct qt_err e = {0};

	(void)state;
	w.lost = true;
	w.rt_dies = 1;
	assert_int_equal(create(&e), 0);
	assert_agreed();
	w.rt_dies = 1;
	assert_int_equal(with_ctr(stop, &e), 0);
	assert_agreed();
	assert_int_equal(w.usage_stopped, 1);
	assert_int_equal(with_ctr(qt_life_start, &e), 0);
	w.rt_dies = 1;
	assert_int_equal(with_ctr(qt_life_kill, &e), 0);
	assert_agreed();
	assert_int_equal(w.redis.exit_code, 137);
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
					assert_int_equal(qt_store_ctr_get(NULL, &TENANT, ID.s, &c, &e), 0);
				}
				w.redis_dies = how == 0 ? n : 0;
				w.rt_dies = how > 0 ? n : 0;
				w.lost = how == 2;
				(void)(verbs[v].verb ? verbs[v].verb(&life, &c, &e) : create(&e));
				if (verbs[v].verb)
					qt_ctr_done(&c);
				(void)settle();
				/* A start that failed for sure is an error that the client sees. */
				if (w.in_redis && w.redis.state == QT_ST_ERROR)
					assert_true(verbs[v].verb == qt_life_start && w.state == RT_ST_EXITED);
				else
					assert_agreed();
				assert_true(w.usage_stopped <= 1);
				assert_int_equal(w.usage_stopped,
						 verbs[v].verb && verbs[v].from == QT_ST_RUNNING && (!w.in_rt || w.state == RT_ST_EXITED));
				assert_int_equal(w.usage_started, !verbs[v].verb || verbs[v].verb == qt_life_start
									  ? w.in_rt && w.state == RT_ST_RUNNING
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
	assert_int_equal(qt_store_ctr_get(NULL, &TENANT, ID.s, &late, &e), 0);
	assert_int_equal(with_ctr(stop, &e), 0);
	/* They read "running" before it was stopped. */
	assert_int_equal(qt_life_kill(&life, &late, &e), -1);
	assert_int_equal(e.code, QT_E_INVALID_STATE);
	assert_string_equal(e.state, "exited");
	qt_err_reset(&e);
	assert_int_equal(with_ctr(qt_life_delete, &e), 0);
	assert_int_equal(qt_life_delete(&life, &late, &e), -1);
	assert_int_equal(e.code, QT_E_CONTAINER_NOT_FOUND);
	assert_int_equal(w.usage_stopped, 1);
	qt_ctr_done(&late);
}

static void test_exit_is_seen(void **state)
{
	struct qt_settled did = {0};

	(void)state;
	given(QT_ST_RUNNING);
	ends(137);
	assert_int_equal(qt_settle_id(&life, &ID, &did, &(struct qt_err){0}), 0);
	assert_int_equal(did.ended, 1);
	assert_int_equal(w.redis.exit_code, 137);
	assert_int_equal(w.usage_stopped, 1);
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
	assert_int_equal(qt_store_ctr_get(NULL, &TENANT, ID.s, &c, &e), 0);
	assert_int_equal(qt_life_rename(&life, &c, "other", old, &e), 0);
	assert_int_equal(qt_life_env(&life, &c, env, true, &e), 0);
	qt_ctr_done(&c);
	assert_int_equal(qt_store_ctr_remove(NULL, &TENANT, &ID, &e), 0);
	did = settle();
	assert_int_equal(did.restored, 1);
	assert_agreed();
	assert_string_equal(w.redis.name, "other");
	assert_string_equal(json_string_value(json_object_get(w.redis.environment, "NEW")), "yes");
	assert_string_equal(json_string_value(json_object_get(w.redis.environment, "FOO")), "bar");
	json_decref(env);
}

/* Nobody can say whose it is: it is neither taken away nor made up. */
static void test_unreadable_record(void **state)
{
	struct qt_settled did;

	(void)state;
	runs();
	strcpy(w.record, "{");
	did = settle();
	assert_int_equal(did.strange, 3);
	assert_false(w.in_redis);
	assert_true(w.in_rt);
}

static void test_lost_by_the_node(void **state)
{
	struct qt_settle st = {0};
	struct qt_settled did = {0};
	struct qt_err e = {0};

	(void)state;
	given(QT_ST_RUNNING);
	w.in_rt = false;
	assert_int_equal(qt_settle_all(&life, &st, &did, &e), 0);
	assert_int_equal(did.lost, 0); /* once is not enough */
	assert_int_equal(w.redis.state, QT_ST_RUNNING);
	w.rt_dies = 1;
	assert_int_equal(qt_settle_all(&life, &st, &did, &e), -1); /* nor is silence */
	assert_int_equal(w.redis.state, QT_ST_RUNNING);
	w.rt_dies = 0;
	qt_err_reset(&e);
	assert_int_equal(qt_settle_all(&life, &st, &did, &e), 0);
	assert_int_equal(did.lost, 1);
	assert_int_equal(w.redis.state, QT_ST_ERROR);
	assert_string_equal(w.redis.error, "lost by the node");
	qt_settle_done(&st);
	assert_int_equal(with_ctr(qt_life_delete, &e), 0);
	assert_false(w.in_redis);
}

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
			    x.op.status == QT_OP_SUCCEEDED ? ID.s : "");
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
	assert_int_equal(w.asked[RT_START], 1);
	/* A new one is too late. */
	w.redis.started_ms -= 1000;
	assert_int_equal(execute(QT_OPT_CTR_RESUME, 0, "INVALID_STATE"), QT_OP_FAILED);
	assert_int_equal(execute(QT_OPT_CTR_STOP, 0, ""), QT_OP_SUCCEEDED);
	assert_int_equal(execute(QT_OPT_CTR_STOP, 1000, ""), QT_OP_SUCCEEDED);
	assert_int_equal(w.asked[RT_STOP], 1);
	assert_int_equal(w.usage_stopped, 1);
	/* One that died after it had moved it to starting: the next one goes on. */
	w.redis.state = QT_ST_STARTING;
	assert_int_equal(execute(QT_OPT_CTR_RESUME, 0, ""), QT_OP_SUCCEEDED);
	/* And after the runtime had done it. */
	w.redis.state = QT_ST_STARTING;
	w.redis.started_ms = 0;
	assert_int_equal(execute(QT_OPT_CTR_RESUME, 0, ""), QT_OP_SUCCEEDED);
	assert_agreed();
	assert_int_equal(execute(QT_OPT_CTR_DELETE, 0, ""), QT_OP_SUCCEEDED);
	assert_false(w.in_redis || w.in_rt);
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
	assert_false(w.in_redis);
	qt_err_reset(&e);
	strcpy(c.image, "busybox");
	assert_int_equal(qt_life_reserve(&life, &c, &e), 0);
	qt_ctr_done(&c);
	assert_false(w.in_rt);
	assert_int_equal(w.redis.state, QT_ST_CREATED);
	assert_int_equal(execute(QT_OPT_CTR_CREATE, 0, ""), QT_OP_SUCCEEDED);
	assert_agreed();
	assert_int_equal(execute(QT_OPT_CTR_CREATE, 0, ""), QT_OP_SUCCEEDED);
	assert_int_equal(w.asked[RT_CREATE], 1);
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
		w.cancelled = i == 1;
		if (i == 0)
			assert_int_equal(execute(QT_OPT_CTR_CREATE, 3600000, "TIMEOUT"), QT_OP_TIMED_OUT);
		else
			assert_int_equal(execute(QT_OPT_CTR_CREATE, 0, ""), QT_OP_CANCELLED);
		w.cancelled = false;
		assert_false(w.in_rt || w.in_redis);
	}
	/* The runtime is away: the agent is to look at it at once, not at the deadline. */
	new_ctr(&c);
	assert_int_equal(qt_life_reserve(&life, &c, &e), 0);
	qt_ctr_done(&c);
	w.rt_dies = 1;
	assert_int_equal(execute(QT_OPT_CTR_CREATE, 3600000, "TIMEOUT"), QT_OP_TIMED_OUT);
	w.rt_dies = 0;
	assert_true(w.in_redis && w.redis.state == QT_ST_CREATED && w.redis.deadline_ms <= qt_now_ms());
}

/* Nobody answers at the runtime's socket: nothing was asked, so nothing is there, and the name is free at once. */
static void test_create_without_runtime(void **state)
{
	struct qt_ready ready;
	struct qt_err e = {0};
	struct qt_ctr c;

	(void)state;
	new_ctr(&c);
	w.rt_dies = 1;
	life.rt.unsent = true;
	assert_int_equal(qt_life_create(&life, &c, &ready, &e), -1);
	assert_int_equal(e.code, QT_E_RUNTIME_UNAVAILABLE);
	assert_false(w.in_redis);
	/* It was sent, and may have been carried out: the agent finds out. */
	life.rt.unsent = false;
	qt_err_reset(&e);
	assert_int_equal(qt_life_create(&life, &c, &ready, &e), -1);
	assert_true(w.in_redis);
	w.rt_dies = 0;
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
	assert_int_equal(w.asked[RT_CREATE], 1);
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
		w.cancelled = want[i] == QT_OP_CANCELLED;
		if (want[i] == QT_OP_TIMED_OUT)
			x.op.deadline_ms = 1;
		w.no_image = want[i] == QT_OP_FAILED;
		assert_int_equal(qt_life_execute(&life, &x, &e), 0);
		w.cancelled = w.no_image = false;
		assert_int_equal(x.op.status, want[i]);
		assert_string_equal(item_status(&x), qt_op_status_name(want[i]));
		assert_true(json_is_null(json_object_get(json_array_get(x.op.items, 0), "container_id")));
		assert_false(w.in_rt || w.in_redis);
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
			w.redis_dies = n;
			(void)qt_life_execute(&life, &x, &e);
			w.redis_dies = 0;
			qt_err_reset(&e);
			assert_int_equal(qt_life_execute(&life, &again, &e), 0);
			if (again.op.status != QT_OP_SUCCEEDED)
				fail_msg("%s, cut off at %u: %s %s", qt_op_type_name(again.op.type), n, qt_op_status_name(again.op.status), again.op.error);
			(void)settle();
			assert_agreed();
			assert_int_equal(w.in_rt, kinds[k].type != QT_OPT_CTR_DELETE);
			assert_int_equal(w.usage_stopped, kinds[k].from == QT_ST_RUNNING);
			assert_int_equal(w.usage_started, kinds[k].from != QT_ST_RUNNING);
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
	w.cancelled = true;
	assert_int_equal(execute(QT_OPT_CTR_STOP, 0, ""), QT_OP_CANCELLED);
	assert_int_equal(w.asked[RT_STOP], 0);
	w.cancelled = false;
	assert_int_equal(execute(QT_OPT_CTR_STOP, 0, ""), QT_OP_SUCCEEDED);
	/* What is done cannot be cancelled any more. */
	w.cancelled = true;
	assert_int_equal(execute(QT_OPT_CTR_STOP, 1000, ""), QT_OP_SUCCEEDED);
	w.cancelled = false;
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
	w.redis_dies = 2;
	assert_int_equal(qt_life_execute(&life, &x, &e), -1);
	assert_int_equal(e.code, QT_E_STORE_UNAVAILABLE);
	assert_int_equal(w.state, RT_ST_EXITED);
	/* The next agent takes it up. */
	w.redis_dies = 0;
	(void)settle();
	qt_err_reset(&e);
	assert_int_equal(qt_life_execute(&life, &x, &e), 0);
	assert_int_equal(x.op.status, QT_OP_SUCCEEDED);
	assert_int_equal(w.usage_stopped, 1);
	assert_int_equal(json_integer_value(json_object_get(x.op.result, "exit_code")), 0);
	qt_op_done(&x.op);
	qt_ctr_done(&c);
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
		T(test_operations),
		T(test_create_as_operation),
		T(test_create_given_up),
		T(test_create_without_runtime),
		T(test_batch),
		T(test_batch_given_up),
		T(test_operations_cut_off),
		T(test_cancelled),
		T(test_operation_waits_for_redis),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) + vol_tests() + snap_tests() + img_tests();
}
