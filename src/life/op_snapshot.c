/* The operation that makes a snapshot. The record is in Redis already, in creating; here it gets its data, or goes. */
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "snap_in.h"
#include "str.h"

#define LOOK_BUDGET_MS 10000

int qt_op_budget_ms(const struct qt_op *o)
{
	int64_t left = o->deadline_ms - qt_now_ms();

	return left < 1000 ? 1000 : left > 600000 ? 600000 : (int)left;
}

/* 1: the runtime has it, from an earlier try; *SIZE is set. */
static int is_made(struct qt_life *l, const struct qt_snap *s, uint64_t *size, struct qt_err *e)
{
	struct rt_obj_get_req req = {.id = s->id};
	struct rt_obj_get_rep rep;

	if (rt_obj_get(&l->rt, &req, &rep, LOOK_BUDGET_MS, e) == 0) {
		*size = rep.size_bytes;
		return 1;
	}
	if (e->code != QT_E_SNAPSHOT_NOT_FOUND)
		return -1;
	qt_err_reset(e);
	return 0;
}

static int make(struct qt_life *l, struct qt_op *o, struct qt_snap *s, struct qt_err *e)
{
	struct rt_snapshot_req req = {.id = s->source, .snapshot = s->id, .consistency = s->consistency};
	auto_free char *record = NULL, *volumes = malloc(QT_MOUNTS_BYTES);
	struct rt_snapshot_rep rep;
	uint64_t size = 0;
	const char *name;
	json_t *id;
	int made = is_made(l, s, &size, e);

	if (made < 0)
		return -1;
	if (made == 0) {
		if (qt_op_go_on(l, o, e) < 0)
			return -1;
		record = qt_snap_dump(s, e);
		if (!record || !volumes)
			return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
		req.record = rt_str(record);
		req.volumes = (struct rt_strv){volumes, 0, 0};
		json_object_foreach(s->captured, name, id)
			if (!rt_strv_add(&req.volumes, volumes, QT_MOUNTS_BYTES, json_string_value(id)))
				return qt_fail(e, QT_E_INTERNAL_ERROR, "the volumes of a snapshot do not fit");
		qt_op_progress(l, o, 10, "copying");
		if (rt_snapshot(&l->rt, &req, &rep, qt_op_budget_ms(o), e) < 0)
			return -1;
		size = rep.size_bytes;
		json_object_set_new(o->result, "paused_us", json_integer((json_int_t)rep.paused_us));
		json_object_set_new(o->result, "flush_us", json_integer((json_int_t)rep.flush_us));
	}
	s->size_bytes = size;
	return qt_store_snap_ready(l->store, &s->tenant, &s->id, size, e);
}

int qt_op_snap_create(struct qt_life *l, struct qt_op *o, struct qt_err *e)
{
	auto_snap struct qt_snap s = {0};

	if (qt_store_snap_get(l->store, &o->tenant, o->snapshot.s, &s, e) < 0)
		return -1;
	if (s.deleting_ms > 0)
		return qt_fail(e, QT_E_SNAPSHOT_NOT_FOUND, "the snapshot was deleted");
	if (s.status != QT_SS_READY && make(l, o, &s, e) < 0) {
		/* If the runtime cannot be reached for that, the agent goes on: it is marked. */
		if (!qt_op_leave(l, e))
			(void)qt_life_snap_delete(l, &s, QT_SNAP_FAILED, "failed", &(struct qt_err){0});
		return -1;
	}
	json_object_set_new(o->result, "snapshot_id", json_string(s.id.s));
	json_object_set_new(o->result, "size_bytes", json_integer((json_int_t)s.size_bytes));
	return 0;
}
