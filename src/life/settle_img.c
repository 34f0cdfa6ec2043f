/* As settle.c, of pulled images, of which everything can be had again:
 *
 *   Redis says               the runtime says     what is done
 *   nothing                  a readable record    it is put back (FLUSHALL, or a pull that was cut off at its end), unless it was removed within two minutes
 *   there                    nothing              the record is removed: a delete that was cut off, or a pool that was lost
 *   no reference means it    an image             it is deleted, once nothing stands on it
 */
#include <string.h>

#include "cleanup.h"
#include "images.h"
#include "imgs.h"
#include "inner.h"
#include "settle.h"
#include "settle_in.h"
#include "steps.h"
#include "str.h"

#define GET_BUDGET_MS 15000

/* What a step of a build made is nobody's in Redis, and goes when no build has used it for long. */
static bool is_step(struct qt_life *l, const struct qt_id *id, const struct rt_obj_get_rep *rep)
{
	struct rt_obj_delete_req del = {.id = *id};
	json_t *step = qt_step_load(rep->record.s, rep->record.len);
	struct rt_obj_delete_rep gone;

	if (!step)
		return false;
	if (qt_step_old(l->conf, step))
		(void)rt_obj_delete(&l->rt, &del, &gone, GET_BUDGET_MS, &(struct qt_err){0});
	json_decref(step);
	return true;
}

/* 1: the runtime has it, and RET, initialised here, is its record; 0: it has not; 2: with a record that nobody can read; 3: it is a build's. */
static int see(struct qt_life *l, const struct qt_id *id, struct qt_img *ret, struct qt_err *e)
{
	struct rt_obj_get_req req = {.id = *id};
	struct rt_obj_get_rep rep;
	struct qt_err bad = {0};

	if (rt_obj_get(&l->rt, &req, &rep, GET_BUDGET_MS, e) < 0) {
		if (e->code != QT_E_IMAGE_NOT_FOUND)
			return -1;
		qt_err_reset(e);
		return 0;
	}
	if (is_step(l, id, &rep))
		return 3;
	if (qt_img_load(ret, rep.record.s, rep.record.len, &bad) < 0)
		return 2;
	if (qt_streq(ret->id.s, id->s) && qt_streq(ret->tenant.s, rep.tenant.s))
		return 1;
	qt_img_done(ret);
	return 2;
}

static int mend(struct qt_life *l, const struct qt_img *i, struct qt_settled *ret, struct qt_err *e)
{
	struct qt_img seen;
	int there = see(l, &i->id, &seen, e);

	if (there < 0)
		return -1;
	if (there == 1)
		qt_img_done(&seen);
	if (there == 0)
		return qt_settle_counted(qt_store_img_remove(l->store, &i->tenant, &i->id, e), &ret->lost_images, e);
	return i->untagged ? qt_settle_counted(qt_life_img_delete(l, i, e), &ret->deleted, e) : 0;
}

/* One that Redis did not list. */
static int stray(struct qt_life *l, const struct qt_id *id, struct qt_settled *ret, struct qt_err *e)
{
	auto_img struct qt_img seen = {0};
	struct qt_img known;
	int there = see(l, id, &seen, e);

	if (there <= 0 || there == 3)
		return there < 0 ? -1 : 0;
	if (there == 2) {
		ret->strange++;
		return 0;
	}
	if (qt_store_img_get(l->store, &seen.tenant, id->s, &known, e) == 0) {
		qt_img_done(&known);
		return 0; /* it was put there meanwhile */
	}
	if (e->code != QT_E_IMAGE_NOT_FOUND)
		return -1;
	qt_err_reset(e);
	(void)qt_copy(seen.node, sizeof(seen.node), l->conf->node);
	return qt_settle_counted(qt_store_img_restore(l->store, &seen, e), &ret->restored, e);
}

int qt_settle_images(struct qt_life *l, struct qt_settled *ret, struct qt_err *e)
{
	auto_ids struct qt_ids known = {0}, here = {0};
	struct qt_img_list redis;
	int r = 0;

	if (qt_store_img_of_node(l->store, l->conf->node, &redis, e) < 0)
		return -1;
	for (size_t i = 0; i < redis.n && r == 0; i++)
		r = qt_ids_add(&known, &redis.v[i].id, e) < 0 || mend(l, &redis.v[i], ret, e) < 0 ? -1 : 0;
	qt_img_list_done(&redis);
	if (r < 0 || qt_ids_list(l, "img", &here, e) < 0)
		return -1;
	return qt_settle_strays(l, &here, &known, stray, ret, e);
}
