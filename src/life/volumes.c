#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "inner.h"
#include "str.h"

#define MAKE_BUDGET_MS	 10000
#define AGAIN_BUDGET_MS	 4000 /* the route has 20 s for all three */
#define UNDO_BUDGET_MS	 5000
#define DELETE_BUDGET_MS 20000
#define READ_BUDGET_MS	 15000
#define RECORD_BUDGET_MS 5000

static int make(struct qt_life *l, const struct qt_vol *v, struct qt_err *e)
{
	struct rt_vol_make_req req = {.id = v->id,
				      .tenant = v->tenant,
				      .from_snapshot = rt_str(""),
				      .from_volume = rt_str(""),
				      .max_bytes = v->max_bytes};
	auto_free char *record = qt_vol_dump(v, e);
	struct rt_vol_make_rep rep;

	if (!record)
		return -1;
	req.record = rt_str(record);
	if (rt_vol_make(&l->rt, &req, &rep, MAKE_BUDGET_MS, e) == 0)
		return 0;
	if (!qt_answer_lost(e))
		return -1;
	/* It may be there: asking again is well then. */
	qt_err_reset(e);
	return rt_vol_make(&l->rt, &req, &rep, AGAIN_BUDGET_MS, e);
}

/* Of the runtime first, so that Redis never forgets what exists. */
static int take_away(struct qt_life *l, const struct qt_vol *v, int budget_ms, struct qt_err *e)
{
	struct rt_obj_delete_req req = {.id = v->id};
	struct rt_obj_delete_rep rep;

	if (rt_obj_delete(&l->rt, &req, &rep, budget_ms, e) < 0) {
		if (e->code != QT_E_VOLUME_NOT_FOUND)
			return -1;
		qt_err_reset(e);
	}
	return qt_store_vol_remove(l->store, &v->tenant, &v->id, e);
}

int qt_life_vol_create(struct qt_life *l, struct qt_vol *v, struct qt_err *e)
{
	v->created_ms = qt_now_ms();
	(void)qt_copy(v->node, sizeof(v->node), l->conf->node);
	if (qt_store_vol_reserve(l->store, v, v->created_ms + QT_BRING_UP_MS, e) < 0)
		return -1;
	if (make(l, v, e) < 0) {
		(void)take_away(l, v, UNDO_BUDGET_MS, &(struct qt_err){0});
		return -1;
	}
	/* If Redis is away now, the volume is there, and the agent says so to Redis. */
	return qt_store_vol_commit(l->store, &v->tenant, &v->id, e);
}

int qt_life_vol_rename(struct qt_life *l, struct qt_vol *v, const char *new_name, char *old_name, struct qt_err *e)
{
	struct rt_obj_record_req req = {.id = v->id};
	auto_free char *record = NULL;
	struct rt_obj_record_rep rep;
	struct qt_err ignored = {0};

	if (qt_store_vol_rename(l->store, &v->tenant, &v->id, new_name, old_name, e) < 0)
		return -1;
	(void)qt_copy(v->name, sizeof(v->name), new_name);
	record = qt_vol_dump(v, &ignored);
	if (record) {
		/* What is missed here, the agent copies. */
		req.record = rt_str(record);
		(void)rt_obj_record(&l->rt, &req, &rep, RECORD_BUDGET_MS, &ignored);
	}
	return 0;
}

int qt_life_vol_delete(struct qt_life *l, const struct qt_vol *v, struct qt_err *e)
{
	/* From here on it will go, and if we do not live to see that, the agent does the rest. */
	return qt_store_vol_deleting(l->store, &v->tenant, &v->id, e) < 0 ? -1 : take_away(l, v, DELETE_BUDGET_MS, e);
}

int qt_life_vol_size(struct qt_life *l, const struct qt_vol *v, uint64_t *ret_bytes, uint64_t *ret_files, struct qt_err *e)
{
	struct rt_obj_get_req req = {.id = v->id, .count = 1};
	struct rt_obj_get_rep rep;

	if (rt_obj_get(&l->rt, &req, &rep, READ_BUDGET_MS, e) < 0)
		return -1;
	*ret_bytes = rep.size_bytes;
	*ret_files = rep.files;
	return 0;
}

int qt_life_volumes(struct qt_life *l, const struct qt_ctr *c, char *buf, struct rt_strv *ret, struct qt_err *e)
{
	json_t *spec;
	size_t i;

	*ret = (struct rt_strv){buf, 0, 0};
	json_array_foreach(c->volumes, i, spec) {
		char text[QT_ID_MAX + QT_WORKDIR_MAX + 8];
		auto_vol struct qt_vol v = {0};
		struct qt_mount m;

		if (qt_mount_parse("/volumes", json_string_value(spec), &m, e) < 0)
			return -1;
		if (qt_store_vol_get(l->store, &c->tenant, m.name, &v, e) < 0)
			return -1;
		if (!qt_fmt(text, sizeof(text), "%s:%s%s", v.id.s, m.target, m.read_only ? ":ro" : "") ||
		    !rt_strv_add(ret, buf, QT_MOUNTS_BYTES, text))
			return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/volumes", "fewer volumes, or shorter targets",
					     "the volumes' targets are too long");
	}
	return 0;
}
