/* Snapshots, by whoever is asked: what a worker does at once, and what a worker and an agent do alike. */
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "snap_in.h"
#include "str.h"

#define SLACK_MS	 30000 /* a reservation ends so long after its operation: nobody is at it any more */
#define RECORD_BUDGET_MS 5000
#define DELETE_BUDGET_MS 30000

int64_t qt_op_reservation_ms(enum qt_op_type type)
{
	return (int64_t)qt_op_type_deadline_s(type) * 1000 + SLACK_MS;
}

void qt_snap_downgrades(struct qt_op *o, enum qt_network_mode network, uint32_t gpus)
{
	char text[128];

	if (network != QT_NET_RESET && qt_fmt(text, sizeof(text), "network_mode: %s is done as reset: a copy gets an address of its own",
					      qt_network_words[network]))
		json_array_append_new(o->downgrades, json_string(text));
	if (gpus > 0)
		json_array_append_new(o->downgrades, json_string("gpu_count: a copy gets no GPUs"));
}

/* Names in place of ids, since the snapshot may outlive the volume; and those whose data is taken. */
static int take_volumes(struct qt_life *l, const struct qt_ctr *c, struct qt_snap *s, struct qt_err *e)
{
	auto_json json_t *specs = json_array();
	json_t *spec;
	size_t i;

	json_array_foreach(c->volumes, i, spec) {
		char text[QT_VOLNAME_MAX + QT_WORKDIR_MAX + 8];
		auto_vol struct qt_vol v = {0};
		struct qt_mount m;

		if (s->volumes == QT_VM_EXCLUDE)
			break;
		if (qt_mount_parse("/volumes", json_string_value(spec), &m, e) < 0 ||
		    qt_store_vol_get(l->store, &c->tenant, m.name, &v, e) < 0)
			return -1;
		if (!qt_fmt(text, sizeof(text), "%s:%s%s", v.name, m.target, m.read_only ? ":ro" : ""))
			return qt_fail(e, QT_E_INTERNAL_ERROR, "a volume's target is too long");
		json_array_append_new(specs, json_string(text));
		if (!m.read_only || s->volumes == QT_VM_ALL)
			json_object_set_new(s->captured, v.name, json_string(v.id.s));
	}
	json_object_set(s->spec, "volumes", specs);
	return 0;
}

static int describe(struct qt_life *l, const struct qt_ctr *c, struct qt_snap *s, struct qt_err *e)
{
	auto_free char *record = NULL;

	s->id = qt_id_new("snap");
	s->tenant = c->tenant;
	s->source = c->id;
	s->parent = c->snapshot;
	(void)qt_copy(s->source_name, sizeof(s->source_name), c->name);
	(void)qt_copy(s->node, sizeof(s->node), c->node[0] ? c->node : l->conf->node);
	s->status = QT_SS_CREATING;
	s->created_ms = qt_now_ms();
	s->expires_ms = s->ttl_s > 0 ? s->created_ms + (int64_t)s->ttl_s * 1000 : 0;
	s->deadline_ms = s->created_ms + qt_op_reservation_ms(QT_OPT_SNAP_CREATE);
	json_decref(s->spec);
	s->spec = qt_ctr_spec(c);
	if (!s->spec)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	if (take_volumes(l, c, s, e) < 0)
		return -1;
	record = qt_snap_dump(s, e);
	return record ? 0 : -1;
}

int qt_life_snap_take(struct qt_life *l, const struct qt_ctr *c, struct qt_snap *s, bool dry, struct qt_op *op, struct qt_err *e)
{
	qt_op_init(op);
	if (qt_life_may(c, QT_V_SNAPSHOT, e) < 0 || describe(l, c, s, e) < 0)
		goto failed;
	if (dry)
		return 0;
	op->tenant = c->tenant;
	op->type = QT_OPT_SNAP_CREATE;
	op->container = c->id;
	op->snapshot = s->id;
	(void)qt_copy(op->node, sizeof(op->node), s->node);
	qt_snap_downgrades(op, s->network, c->gpu_count);
	if (qt_store_snap_reserve(l->store, s, e) < 0)
		goto failed;
	if (qt_life_submit_op(l, op, e) == 0)
		return 0;
	/* If that does not work either, the reservation ends. */
	(void)qt_store_snap_remove(l->store, &s->tenant, &s->id, "failed", &(struct qt_err){0});
failed:
	qt_op_done(op);
	return -1;
}

int qt_snap_save(struct qt_life *l, const struct qt_snap *s, struct qt_err *e)
{
	struct rt_obj_record_req req = {.id = s->id};
	struct rt_obj_record_rep rep;
	auto_free char *record = NULL;
	struct qt_snap saved = *s; /* borrows the JSON */

	saved.unsaved = false;
	record = qt_snap_dump(&saved, e);
	if (!record)
		return -1;
	req.record = rt_str(record);
	if (rt_obj_record(&l->rt, &req, &rep, RECORD_BUDGET_MS, e) < 0)
		return -1;
	return qt_store_snap_saved(l->store, &s->tenant, &s->id, s->pinned, e);
}

int qt_life_snap_pin(struct qt_life *l, const struct qt_id *tenant, const char *id, bool pinned, struct qt_snap *ret, struct qt_err *e)
{
	struct qt_id snap;

	if (!qt_id_parse(&snap, "snap", id))
		return qt_fail(e, QT_E_SNAPSHOT_NOT_FOUND, "there is no such snapshot");
	if (qt_store_snap_pin(l->store, tenant, &snap, pinned, ret, e) < 0)
		return -1;
	/* What is missed here, the agent writes. */
	if (ret->unsaved && ret->status == QT_SS_READY)
		(void)qt_snap_save(l, ret, &(struct qt_err){0});
	return 0;
}

int qt_life_snap_delete(struct qt_life *l, const struct qt_snap *s, enum qt_snap_why why, const char *event, struct qt_err *e)
{
	struct rt_obj_delete_req req = {.id = s->id};
	struct rt_obj_delete_rep rep;

	/* From here on it will go, and if we do not live to see that, the agent does the rest. */
	if (qt_store_snap_deleting(l->store, &s->tenant, &s->id, why, e) < 0)
		return -1;
	if (rt_obj_delete(&l->rt, &req, &rep, DELETE_BUDGET_MS, e) < 0) {
		if (e->code != QT_E_SNAPSHOT_NOT_FOUND)
			return -1;
		qt_err_reset(e);
	}
	return qt_store_snap_remove(l->store, &s->tenant, &s->id, event, e);
}
