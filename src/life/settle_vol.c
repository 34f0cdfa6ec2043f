/* As settle.c, of volumes. A volume does nothing by itself, so there is less that can be at odds:
 *
 *   Redis says                     the runtime says     what is done
 *   nothing                        a readable record    it is put back (FLUSHALL), unless it was removed within two minutes
 *   made, deadline not passed      a volume             it is there: committed, once
 *   made, deadline passed          nothing              removed: the name is free again
 *   deleted, 20 s ago or longer    anything             the delete is finished
 *   there                          nothing              counted as lost: what was in it is not to be had, and only its owner may say that it can go
 *   other name or labels           a record             the record is written anew
 */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "inner.h"
#include "settle.h"
#include "settle_in.h"
#include "str.h"

#define GET_BUDGET_MS	15000
#define RECORD_BUDGET_MS 5000
#define DELETE_MS	20000 /* after it, whoever began to delete is dead */

struct seen {
	bool there, has_record;
	struct qt_id tenant;
	struct qt_vol record; /* initialised if has_record */
};

static void seen_done(struct seen *s)
{
	if (s->has_record)
		qt_vol_done(&s->record);
}
#define auto_seen QT_AUTO(seen_done)

static int see(struct qt_life *l, const struct qt_id *id, struct seen *ret, struct qt_err *e)
{
	struct rt_obj_get_req req = {.id = *id};
	struct rt_obj_get_rep rep;
	struct qt_err bad = {0};

	memset(ret, 0, sizeof(*ret));
	if (rt_obj_get(&l->rt, &req, &rep, GET_BUDGET_MS, e) < 0) {
		if (e->code != QT_E_VOLUME_NOT_FOUND)
			return -1;
		qt_err_reset(e);
		return 0;
	}
	ret->there = true;
	ret->tenant = rep.tenant;
	ret->has_record = qt_vol_load(&ret->record, rep.record.s, rep.record.len, &bad) == 0;
	if (ret->has_record && (!qt_streq(ret->record.id.s, id->s) || !qt_streq(ret->record.tenant.s, rep.tenant.s))) {
		qt_vol_done(&ret->record);
		ret->has_record = false;
	}
	return 0;
}

static int copy_record(struct qt_life *l, const struct qt_vol *v, const struct seen *s, struct qt_settled *ret, struct qt_err *e)
{
	struct rt_obj_record_req req = {.id = v->id};
	auto_free char *text = NULL;
	struct rt_obj_record_rep rep;
	auto_vol struct qt_vol now = {0};

	if (s->has_record && qt_streq(s->record.name, v->name) && json_equal(s->record.labels, v->labels))
		return 0;
	/* A worker may be about to do the same: the newest is to win. */
	if (qt_store_vol_get(l->store, &v->tenant, v->id.s, &now, e) < 0)
		return qt_settle_counted(-1, NULL, e);
	text = qt_vol_dump(&now, e);
	if (!text)
		return -1;
	req.record = rt_str(text);
	return qt_settle_counted(rt_obj_record(&l->rt, &req, &rep, RECORD_BUDGET_MS, e), &ret->copied, e);
}

/* V is Redis's word, S the runtime's, and asked for after V was read. */
static int mend(struct qt_life *l, const struct qt_vol *v, const struct seen *s, struct qt_settled *ret, struct qt_err *e)
{
	int64_t now = qt_now_ms();

	if (v->deleting_ms > 0)
		return now < v->deleting_ms + DELETE_MS ? 0 : qt_settle_counted(qt_life_vol_delete(l, v, e), &ret->deleted, e);
	if (!s->there && v->deadline_ms > 0)
		return now < v->deadline_ms ? 0 : qt_settle_counted(qt_store_vol_remove(l->store, &v->tenant, &v->id, e), &ret->released, e);
	if (!s->there) {
		ret->lost_volumes++;
		return 0;
	}
	if (v->deadline_ms > 0 && qt_settle_counted(qt_store_vol_commit(l->store, &v->tenant, &v->id, e), &ret->adopted, e) < 0)
		return -1;
	return copy_record(l, v, s, ret, e);
}

static int restore(struct qt_life *l, struct seen *s, struct qt_settled *ret, struct qt_err *e)
{
	auto_seen struct seen again = {0};
	struct qt_vol *v = &s->record;

	v->deadline_ms = v->deleting_ms = 0;
	(void)qt_copy(v->node, sizeof(v->node), l->conf->node);
	if (qt_settle_counted(qt_store_vol_restore(l->store, v, e), &ret->restored, e) < 0 || see(l, &v->id, &again, e) < 0)
		return -1;
	/* Deleted while we looked at it? Then it must not come back. */
	return again.there ? 0 : qt_settle_counted(qt_store_vol_remove(l->store, &v->tenant, &v->id, e), &ret->released, e);
}

/* One that Redis did not list. */
static int stray(struct qt_life *l, const struct qt_id *id, struct qt_settled *ret, struct qt_err *e)
{
	auto_seen struct seen first = {0};
	auto_vol struct qt_vol v = {0};

	if (see(l, id, &first, e) < 0)
		return -1;
	if (!first.there)
		return 0;
	if (qt_store_vol_get(l->store, &first.tenant, id->s, &v, e) == 0) {
		auto_seen struct seen s = {0};

		/* Anew, since it must be asked for after Redis. */
		return see(l, id, &s, e) < 0 ? -1 : mend(l, &v, &s, ret, e);
	}
	if (e->code != QT_E_VOLUME_NOT_FOUND)
		return -1;
	qt_err_reset(e);
	if (first.has_record)
		return restore(l, &first, ret, e);
	ret->strange++;
	return 0;
}

int qt_settle_volumes(struct qt_life *l, struct qt_settled *ret, struct qt_err *e)
{
	auto_ids struct qt_ids known = {0}, here = {0};
	struct qt_vol_list redis;
	int r = 0;

	if (qt_store_vol_of_node(l->store, l->conf->node, &redis, e) < 0)
		return -1;
	for (size_t i = 0; i < redis.n && r == 0; i++) {
		auto_seen struct seen s = {0};

		r = qt_ids_add(&known, &redis.v[i].id, e) < 0 || see(l, &redis.v[i].id, &s, e) < 0 ||
				    mend(l, &redis.v[i], &s, ret, e) < 0
			    ? -1
			    : 0;
	}
	qt_vol_list_done(&redis);
	if (r < 0 || qt_ids_list(l, "vol", &here, e) < 0)
		return -1;
	return qt_settle_strays(l, &here, &known, stray, ret, e);
}
