/* Redis, as far as containers, operations and jobs go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "life_world.h"
#include "str.h"

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
	if (world.in_redis)
		qt_ctr_done(&world.redis);
	world.redis = new;
	world.in_redis = true;
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
	if (world.in_redis)
		return qt_fail(e, QT_E_CONTAINER_NAME_CONFLICT, "taken");
	redis_set(c);
	world.redis.deadline_ms = deadline_ms;
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
	if (world.in_redis)
		(void)qt_copy(e->received, sizeof(e->received), v->name);
	c = *v; /* borrows the JSON */
	return qt_store_ctr_reserve(s, &c, deadline_ms, e);
}

int qt_store_ctr_move(struct qt_store *s, const struct qt_ctr *c, unsigned from, enum qt_state to, const char *event,
		      const char *usage, struct qt_err *e)
{
	int64_t deleting = world.redis.deleting_ms;

	(void)s;
	if (redis_away(e) < 0)
		return -1;
	if (!world.in_redis)
		return no_ctr(e);
	if (!(from & 1U << world.redis.state) || (to == QT_ST_STARTING && deleting > 0)) {
		(void)qt_copy(e->state, sizeof(e->state), qt_state_name(world.redis.state));
		return qt_fail(e, QT_E_INVALID_STATE, "not in this state");
	}
	redis_set(c);
	world.redis.state = to;
	world.redis.deleting_ms = deleting;
	world.events += event != NULL;
	world.usage_started += usage && qt_streq(usage, "container_started");
	world.usage_stopped += usage && qt_streq(usage, "container_stopped");
	return 0;
}

int qt_store_ctr_get(struct qt_store *s, const struct qt_id *tenant, const char *who, struct qt_ctr *ret, struct qt_err *e)
{
	(void)s;
	if (redis_away(e) < 0)
		return -1;
	if (!world.in_redis || !qt_streq(tenant->s, TENANT.s) || !qt_streq(who, world.id.s))
		return no_ctr(e);
	copy_ctr(ret, &world.redis);
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
	strcpy(old_name, world.redis.name);
	strcpy(world.redis.name, new_name);
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
	json_object_update(world.redis.environment, (json_t *)(uintptr_t)env);
	copy_ctr(ret, &world.redis);
	return 0;
}

int qt_store_ctr_by_name(struct qt_store *s, const struct qt_id *tenant, const char *name, struct qt_id *ret, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	if (redis_away(e) < 0)
		return -1;
	if (!world.in_redis || !qt_streq(world.redis.name, name))
		return no_ctr(e);
	*ret = world.redis.id;
	return 0;
}

int qt_store_ctr_volumes(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, const json_t *volumes, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	(void)id;
	if (redis_away(e) < 0)
		return -1;
	if (!world.in_redis)
		return no_ctr(e);
	json_decref(world.redis.volumes);
	world.redis.volumes = json_deep_copy(volumes);
	return 0;
}

int qt_store_ctr_deleting(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	(void)id;
	if (redis_away(e) < 0)
		return -1;
	if (!world.in_redis)
		return no_ctr(e);
	world.redis.deleting_ms = qt_now_ms();
	return 0;
}

int qt_store_ctr_remove(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e)
{
	(void)s;
	(void)tenant;
	(void)id;
	if (redis_away(e) < 0)
		return -1;
	if (!world.in_redis)
		return no_ctr(e);
	world.usage_stopped += world.redis.state == QT_ST_RUNNING;
	qt_ctr_done(&world.redis);
	world.in_redis = false;
	return 0;
}

int qt_store_ctr_restore(struct qt_store *s, const struct qt_ctr *c, struct qt_err *e)
{
	(void)s;
	if (redis_away(e) < 0)
		return -1;
	if (!world.in_redis)
		redis_set(c);
	world.restores++;
	return 0;
}

int qt_store_ctr_of_node(struct qt_store *s, const char *node, struct qt_ctr_list *ret, struct qt_err *e)
{
	(void)s;
	(void)node;
	if (redis_away(e) < 0)
		return -1;
	memset(ret, 0, sizeof(*ret));
	if (world.in_redis) {
		ret->v = calloc(1, sizeof(*ret->v));
		copy_ctr(ret->v, &world.redis);
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

int qt_store_op_cancel(struct qt_store *s, const struct qt_id *tenant, const char *id, struct qt_op *ret, struct qt_err *e)
{
	return qt_store_op_get(s, tenant, id, ret, e);
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
	if (world.lease_lost == 1)
		return qt_fail(e, QT_E_CONFLICT, "another has it");
	world.lease_lost -= world.lease_lost > 0;
	return world.cancelled;
}

/* Jobs are not what this test is about: no container here has any. */
int qt_store_ctr_move_post(struct qt_store *s, const struct qt_ctr *c, unsigned from, enum qt_state to, const char *event,
			   const char *usage, struct qt_err *e)
{
	(void)e;
	(void)qt_store_ctr_move(s, c, from, to, event, usage, &world.late);
	return 0;
}

int qt_store_settle(struct qt_store *s, struct qt_err *e)
{
	(void)s;
	*e = world.late;
	world.late = (struct qt_err){0};
	return e->code == QT_OK ? 0 : -1;
}

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
