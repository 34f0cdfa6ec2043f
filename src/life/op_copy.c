/* The operations that make a container out of a snapshot (clone) or out of another container (fork). It is reserved already; here it comes up, or
 * goes with all that was made for it. */
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "clock.h"
#include "snap_in.h"
#include "str.h"

#define LOOK_GAP_MS	 100
#define SNAPSHOT_WAIT_MS 30000 /* more than an agent's lease: by then whoever takes the snapshot is dead, or slow */
#define DELETE_BUDGET_MS 30000

/* The snapshot's own operation was asked for earlier, and is under way. */
static int wait_for_snapshot(struct qt_life *l, const struct qt_op *o, struct qt_err *e)
{
	const struct timespec gap = {.tv_nsec = LOOK_GAP_MS * 1000000L};
	int64_t until = qt_mono_ms() + SNAPSHOT_WAIT_MS;

	for (;;) {
		auto_snap struct qt_snap s = {0};

		if (qt_op_go_on(l, o, e) < 0 || qt_store_snap_get(l->store, &o->tenant, o->snapshot.s, &s, e) < 0)
			return -1;
		if (s.deleting_ms > 0)
			return qt_fail(e, QT_E_SNAPSHOT_NOT_FOUND, "the snapshot was deleted, or could not be taken");
		if (s.status == QT_SS_READY)
			return 0;
		if (qt_left_ms(until) == 0)
			return qt_fail(e, QT_E_TIMEOUT, "the snapshot is still being taken");
		(void)nanosleep(&gap, NULL);
	}
}

static enum qt_consistency consistency_of(const struct qt_op *o)
{
	return json_integer_value(json_object_get(o->args, "consistency")) == QT_APP_CONSISTENT ? QT_APP_CONSISTENT : QT_CRASH_CONSISTENT;
}

/* Layer and volumes of a container at one moment: a snapshot that nobody else sees. What an agent that died leaves of it, the next one finds by its
 * record. */
static int take_passing(struct qt_life *l, const struct qt_op *o, const struct qt_ctr *c, const struct qt_id *id, struct qt_bringing *b,
			struct qt_err *e)
{
	struct rt_snapshot_req req = {.id = c->copied_from, .snapshot = *id, .consistency = consistency_of(o)};
	const json_t *copies = json_object_get(o->args, "copies");
	auto_free char *volumes = malloc(QT_MOUNTS_BYTES);
	struct rt_obj_get_req get = {.id = *id};
	struct rt_snapshot_rep rep;
	struct rt_obj_get_rep got;
	char record[64];

	if (rt_obj_get(&l->rt, &get, &got, qt_op_budget_ms(o), e) == 0)
		return 0;
	if (e->code != QT_E_SNAPSHOT_NOT_FOUND)
		return -1;
	qt_err_reset(e);
	if (!volumes)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	req.volumes = (struct rt_strv){volumes, 0, 0};
	for (size_t i = 0; i < json_array_size(copies); i++)
		if (!rt_strv_add(&req.volumes, volumes, QT_MOUNTS_BYTES,
				 json_string_value(json_object_get(json_array_get(copies, i), "id"))))
			return qt_fail(e, QT_E_INTERNAL_ERROR, "the volumes of a container do not fit");
	(void)qt_fmt(record, sizeof(record), "{\"passing_until_ms\":%lld}", (long long)c->deadline_ms);
	req.record = rt_str(record);
	if (rt_snapshot(&l->rt, &req, &rep, qt_op_budget_ms(o), e) < 0)
		return -1;
	b->paused_us = rep.paused_us;
	b->flush_us = rep.flush_us;
	return 0;
}

/* A clone has none: its snapshot is its owner's. */
static void drop_passing(struct qt_life *l, const struct qt_op *o)
{
	struct rt_obj_delete_req req = {.id = qt_passing_id(&o->container)};
	struct rt_obj_delete_rep rep;

	if (o->type == QT_OPT_CTR_FORK && json_array_size(json_object_get(o->args, "copies")) > 0)
		(void)rt_obj_delete(&l->rt, &req, &rep, DELETE_BUDGET_MS, &(struct qt_err){0});
}

static int attach_volumes(struct qt_life *l, const struct qt_op *o, struct qt_ctr *c, struct qt_err *e)
{
	json_t *volumes = json_object_get(o->args, "volumes");

	if (json_array_size(volumes) == 0 || json_equal(volumes, c->volumes))
		return 0;
	if (qt_store_ctr_volumes(l->store, &c->tenant, &c->id, volumes, e) < 0)
		return -1;
	json_decref(c->volumes);
	c->volumes = json_incref(volumes);
	return 0;
}

/* FROM is the snapshot that the volumes' data is in; of a fork with volumes also the layer's. */
static int make(struct qt_life *l, struct qt_op *o, struct qt_ctr *c, const struct qt_id *from, struct qt_bringing *b, struct qt_err *e)
{
	bool passing = o->type == QT_OPT_CTR_FORK && json_array_size(json_object_get(o->args, "copies")) > 0;
	uint64_t paused_us, flush_us;
	struct qt_ready ready;

	if (o->type == QT_OPT_SNAP_CLONE && wait_for_snapshot(l, o, e) < 0)
		return -1;
	if (qt_op_go_on(l, o, e) < 0)
		return -1;
	qt_op_progress(l, o, 10, "copying");
	if (passing && take_passing(l, o, c, from, b, e) < 0)
		return -1;
	paused_us = b->paused_us;
	flush_us = b->flush_us;
	if (qt_copies_make(l, c, o, from, e) < 0 || attach_volumes(l, o, c, e) < 0 || qt_op_go_on(l, o, e) < 0)
		return -1;
	if (passing)
		b->from = from->s;
	b->budget_ms = qt_op_budget_ms(o);
	if (qt_life_bring(l, c, b, &ready, e) < 0)
		return -1;
	if (passing) {
		b->paused_us = paused_us;
		b->flush_us = flush_us;
	}
	return 0;
}

/* The volumes first: a container that cannot be taken away now, and goes later, must not keep its copies in use. */
static void undo(struct qt_life *l, const struct qt_op *o, const struct qt_ctr *c)
{
	auto_json json_t *none = json_array();

	if (json_array_size(json_object_get(o->args, "volumes")) > 0)
		(void)qt_store_ctr_volumes(l->store, &c->tenant, &c->id, none, &(struct qt_err){0});
	qt_life_unmake(l, c);
	qt_copies_undo(l, o);
	drop_passing(l, o);
}

static int copy(struct qt_life *l, struct qt_op *o, const struct qt_id *from, struct qt_err *e)
{
	struct qt_bringing b = {.consistency = consistency_of(o), .no_start = !json_is_true(json_object_get(o->args, "start")), .keep = true};
	auto_ctr struct qt_ctr c = {0};

	if (qt_store_ctr_get(l->store, &o->tenant, o->container.s, &c, e) < 0) {
		/* Deleted by a client, or by an earlier try that could not go on. */
		if (e->code == QT_E_CONTAINER_NOT_FOUND) {
			qt_copies_undo(l, o);
			drop_passing(l, o);
		}
		return -1;
	}
	/* Made by an earlier try: only then is it without a deadline. */
	if (c.state == QT_ST_CREATED && c.deadline_ms > 0 && make(l, o, &c, from, &b, e) < 0) {
		if (!qt_op_leave(l, e))
			undo(l, o, &c);
		return -1;
	}
	drop_passing(l, o); /* also an earlier try's, which died between the two */
	qt_op_tell(o, &c);
	json_object_set_new(o->result, "paused_us", json_integer((json_int_t)b.paused_us));
	json_object_set_new(o->result, "flush_us", json_integer((json_int_t)b.flush_us));
	return 0;
}

int qt_op_snap_clone(struct qt_life *l, struct qt_op *o, struct qt_err *e)
{
	return copy(l, o, &o->snapshot, e);
}

int qt_op_ctr_fork(struct qt_life *l, struct qt_op *o, struct qt_err *e)
{
	struct qt_id passing = qt_passing_id(&o->container);

	return copy(l, o, &passing, e);
}
