/* The volumes of clones and forks: those whose data is copied become volumes of the tenant's like any other, which the new container alone has. */
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "snap_in.h"
#include "str.h"

#define SOURCE_LABEL "quilt.source-volume"

struct qt_id qt_passing_id(const struct qt_id *ctr)
{
	struct qt_id id;

	(void)qt_fmt(id.s, sizeof(id.s), "snap_%s", ctr->s + strlen("ctr_"));
	return id;
}

bool qt_passing_record(const char *record, size_t len, int64_t *ret_until_ms)
{
	auto_json json_t *o = json_loadb(record, len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *until = json_object_get(o, "passing_until_ms");

	*ret_until_ms = json_integer_value(until);
	return json_is_integer(until);
}

static const char *text(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

/* ID's entry of COPIES, made if it is not there. */
static const json_t *copy_of(json_t *copies, const struct qt_ctr *c, const char *source, const char *id)
{
	char name[QT_VOLNAME_MAX + 1];
	json_t *x;
	size_t i;

	json_array_foreach(copies, i, x)
		if (qt_streq(text(x, "id"), id))
			return x;
	(void)qt_fmt(name, sizeof(name), "%.*s-%.8s", QT_VOLNAME_MAX - 9, source, c->id.s + strlen("ctr_"));
	x = json_pack("{s:s, s:s, s:s, s:s}", "name", name, "source", source, "id", id, "new_id", qt_id_new("vol").s);
	json_array_append_new(copies, x);
	return x;
}

/* Name and id of the volume that M names, if its data is to be copied: 1. 0: it is attached as it is. */
static int source_of(struct qt_life *l, const struct qt_ctr *c, const struct qt_mount *m, enum qt_volume_mode mode, const json_t *captured,
		     char name[QT_VOLNAME_MAX + 1], struct qt_id *id, struct qt_err *e)
{
	bool as_it_is = m->read_only && mode != QT_VM_ALL;
	const json_t *taken = json_object_get(captured, m->name);
	auto_vol struct qt_vol v = {0};

	if (captured && !as_it_is) {
		(void)qt_copy(name, QT_VOLNAME_MAX + 1, m->name);
		if (!taken || !qt_id_parse(id, "vol", json_string_value(taken)))
			return qt_fail(e, QT_E_INTERNAL_ERROR, "the snapshot's record lacks a volume");
		return 1;
	}
	if (qt_store_vol_get(l->store, &c->tenant, m->name, &v, e) < 0)
		return -1;
	if (as_it_is)
		return 0;
	(void)qt_copy(name, QT_VOLNAME_MAX + 1, v.name);
	*id = v.id;
	return 1;
}

int qt_copies_plan(struct qt_life *l, const struct qt_ctr *c, const json_t *specs, enum qt_volume_mode mode, const json_t *captured,
		   json_t *args, struct qt_err *e)
{
	json_t *volumes = json_array(), *copies = json_array(), *spec;
	size_t i;

	json_object_set_new(args, "volumes", volumes);
	json_object_set_new(args, "copies", copies);
	if (mode == QT_VM_EXCLUDE)
		return 0;
	json_array_foreach((json_t *)(uintptr_t)specs, i, spec) {
		char name[QT_VOLNAME_MAX + 1], entry[QT_VOLNAME_MAX + QT_WORKDIR_MAX + 8];
		struct qt_mount m;
		struct qt_id id;
		int r;

		if (qt_mount_parse("/volumes", json_string_value(spec), &m, e) < 0)
			return -1;
		r = source_of(l, c, &m, mode, captured, name, &id, e);
		if (r < 0)
			return -1;
		if (!qt_fmt(entry, sizeof(entry), "%s:%s%s", r == 1 ? text(copy_of(copies, c, name, id.s), "name") : m.name, m.target,
			    m.read_only ? ":ro" : ""))
			return qt_fail(e, QT_E_INTERNAL_ERROR, "a volume's target is too long");
		json_array_append_new(volumes, json_string(entry));
	}
	return 0;
}

/* The source may be gone by now, and a size is the tenant's to have, not the snapshot's. */
static uint64_t size_of(struct qt_life *l, const struct qt_ctr *c, const char *source_id)
{
	auto_vol struct qt_vol v = {0};

	if (qt_store_vol_get(l->store, &c->tenant, source_id, &v, &(struct qt_err){0}) < 0)
		return l->conf->volume_bytes;
	return v.max_bytes;
}

static int make_one(struct qt_life *l, const struct qt_ctr *c, const struct qt_op *o, const json_t *x, const struct qt_id *from,
		    struct qt_err *e)
{
	struct rt_vol_make_req req = {.tenant = c->tenant, .from_snapshot = rt_str(from->s), .from_volume = rt_str(text(x, "id"))};
	auto_free char *record = NULL;
	auto_vol struct qt_vol v = {0};
	struct rt_vol_make_rep rep;

	if (!qt_id_parse(&req.id, "vol", text(x, "new_id")))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the operation's volumes cannot be read");
	if (qt_store_vol_get(l->store, &c->tenant, req.id.s, &v, e) < 0) {
		if (e->code != QT_E_VOLUME_NOT_FOUND)
			return -1;
		qt_err_reset(e);
		qt_vol_init(&v);
		v.id = req.id;
		v.tenant = c->tenant;
		v.created_ms = qt_now_ms();
		v.max_bytes = size_of(l, c, text(x, "id"));
		(void)qt_copy(v.name, sizeof(v.name), text(x, "name"));
		(void)qt_copy(v.node, sizeof(v.node), c->node);
		json_object_set_new(v.labels, SOURCE_LABEL, json_string(text(x, "source")));
		if (qt_store_vol_reserve(l->store, &v, v.created_ms + qt_op_reservation_ms(o->type), e) < 0)
			return -1;
	} else if (v.deadline_ms == 0) {
		return 0;
	}
	record = qt_vol_dump(&v, e);
	if (!record)
		return -1;
	req.max_bytes = v.max_bytes;
	req.record = rt_str(record);
	if (rt_vol_make(&l->rt, &req, &rep, qt_op_budget_ms(o), e) < 0)
		return -1;
	return qt_store_vol_commit(l->store, &c->tenant, &v.id, e);
}

int qt_copies_make(struct qt_life *l, const struct qt_ctr *c, const struct qt_op *o, const struct qt_id *from, struct qt_err *e)
{
	const json_t *copies = json_object_get(o->args, "copies");

	for (size_t i = 0; i < json_array_size(copies); i++)
		if (qt_op_go_on(l, o, e) < 0 || make_one(l, c, o, json_array_get(copies, i), from, e) < 0)
			return -1;
	return 0;
}

void qt_copies_undo(struct qt_life *l, const struct qt_op *o)
{
	const json_t *copies = json_object_get(o->args, "copies");

	for (size_t i = 0; i < json_array_size(copies); i++) {
		auto_vol struct qt_vol v = {0};
		struct qt_err ignored = {0};

		if (qt_store_vol_get(l->store, &o->tenant, text(json_array_get(copies, i), "new_id"), &v, &ignored) == 0)
			(void)qt_life_vol_delete(l, &v, &ignored);
	}
}
