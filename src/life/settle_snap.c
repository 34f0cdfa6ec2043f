/* As settle.c, of snapshots. They lie still, so one list of the runtime's ids says of nearly all of them that all is well:
 *
 *   Redis says                       the runtime says     what is done
 *   nothing                          a readable record    it is put back (FLUSHALL), unless it was removed within two minutes: then that is finished
 *   nothing                          one in passing       it goes when its time is over: a fork that took it died
 *   creating, deadline not passed    anything             whoever makes it is at it
 *   creating, deadline passed        anything             the delete of what is there; its operation has failed
 *   ready                            nothing              counted as lost: only its owner may say that the record can go
 *   pinned or unpinned, unsaved      a record             the record is written anew
 *   deleted, 45 s ago or longer      anything             the delete is finished
 */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "settle_in.h"
#include "snap_in.h"
#include "str.h"

#define GET_BUDGET_MS	 15000
#define DELETE_BUDGET_MS 30000
#define DELETE_MS	 45000 /* after it, whoever began to delete is dead */

static int mend(struct qt_life *l, const struct qt_snap *s, bool there, struct qt_settled *ret, struct qt_err *e)
{
	int64_t now = qt_now_ms();

	if (s->deleting_ms > 0)
		return now < s->deleting_ms + DELETE_MS ? 0
							: qt_settle_counted(qt_life_snap_delete(l, s, QT_SNAP_FAILED, "removed", e), &ret->deleted, e);
	if (s->status == QT_SS_CREATING)
		return now < s->deadline_ms ? 0 : qt_settle_counted(qt_life_snap_delete(l, s, QT_SNAP_FAILED, "failed", e), &ret->released, e);
	if (!there) {
		ret->lost_snapshots++;
		return 0;
	}
	return s->unsaved ? qt_settle_counted(qt_snap_save(l, s, e), &ret->copied, e) : 0;
}

static int forget(struct qt_life *l, const struct qt_id *id, struct qt_settled *ret, struct qt_err *e)
{
	struct rt_obj_delete_req req = {.id = *id};
	struct rt_obj_delete_rep rep;

	return qt_settle_counted(rt_obj_delete(&l->rt, &req, &rep, DELETE_BUDGET_MS, e), &ret->deleted, e);
}

static int restore(struct qt_life *l, struct qt_snap *s, uint64_t size, struct qt_settled *ret, struct qt_err *e)
{
	struct qt_snap there;

	if (qt_store_snap_get(l->store, &s->tenant, s->id.s, &there, e) == 0) {
		qt_snap_done(&there); /* reserved after Redis was asked */
		return 0;
	}
	if (e->code != QT_E_SNAPSHOT_NOT_FOUND)
		return -1;
	qt_err_reset(e);
	s->status = QT_SS_READY;
	s->unsaved = false;
	s->deadline_ms = s->deleting_ms = 0;
	s->size_bytes = size;
	(void)qt_copy(s->node, sizeof(s->node), l->conf->node);
	if (qt_store_snap_restore(l->store, s, e) == 0) {
		ret->restored++;
		return 0;
	}
	if (e->code != QT_E_SNAPSHOT_NOT_FOUND)
		return -1;
	qt_err_reset(e);
	/* Removed just now, of the runtime first: what it has came after that, and nobody waits for it. */
	return forget(l, &s->id, ret, e);
}

/* One that Redis did not list. */
static int stray(struct qt_life *l, const struct qt_id *id, struct qt_settled *ret, struct qt_err *e)
{
	struct rt_obj_get_req req = {.id = *id};
	struct qt_snap s = {0};
	struct qt_err bad = {0};
	struct rt_obj_get_rep rep;
	int64_t until;
	int r;

	if (rt_obj_get(&l->rt, &req, &rep, GET_BUDGET_MS, e) < 0)
		return qt_settle_counted(-1, &ret->released, e);
	if (qt_passing_record(rep.record.s, rep.record.len, &until))
		return qt_now_ms() < until ? 0 : forget(l, id, ret, e);
	if (qt_snap_load(&s, rep.record.s, rep.record.len, &bad) < 0) {
		ret->strange++;
		return 0;
	}
	if (!qt_streq(s.id.s, id->s) || !qt_streq(s.tenant.s, rep.tenant.s)) {
		ret->strange++;
		r = 0;
	} else {
		r = restore(l, &s, rep.size_bytes, ret, e);
	}
	qt_snap_done(&s);
	return r;
}

int qt_settle_snapshots(struct qt_life *l, struct qt_settled *ret, struct qt_err *e)
{
	auto_ids struct qt_ids known = {0}, here = {0};
	struct qt_snap_list redis;
	int r;

	if (qt_store_snap_of_node(l->store, l->conf->node, &redis, e) < 0)
		return -1;
	r = qt_ids_list(l, "snap", &here, e);
	qt_ids_sort(&here);
	for (size_t i = 0; i < redis.n && r == 0; i++) {
		r = qt_ids_add(&known, &redis.v[i].id, e);
		if (r == 0)
			r = mend(l, &redis.v[i], qt_ids_have(&here, &redis.v[i].id), ret, e);
	}
	qt_snap_list_done(&redis);
	return r < 0 ? -1 : qt_settle_strays(l, &here, &known, stray, ret, e);
}

int qt_settle_expired(struct qt_life *l, unsigned *ret_gone, struct qt_err *e)
{
	struct qt_snap_list due;
	int r = 0;

	if (qt_store_snap_expired(l->store, l->conf->node, &due, e) < 0)
		return -1;
	for (size_t i = 0; i < due.n && r == 0; i++)
		r = qt_settle_counted(qt_life_snap_delete(l, &due.v[i], QT_SNAP_EXPIRED, "expired", e), ret_gone, e);
	qt_snap_list_done(&due);
	return r;
}
