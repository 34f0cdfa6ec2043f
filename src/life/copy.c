/* Clones and forks, by the worker who is asked: the new container is described and reserved, so that all refusals are answered at once; the agent makes
 * it (op_copy.c). */
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "rnd.h"
#include "snap_in.h"
#include "str.h"

#define NAME_TRIES 8

int qt_life_fits(const struct qt_life *l, uint64_t memory_mb, double cpu_percent, struct qt_err *e)
{
	uint64_t max_mb = l->conf->memory_limit_max_mb;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	char want[64];

	if (max_mb == 0)
		max_mb = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) >> 20;
	if (memory_mb > max_mb) {
		(void)qt_fmt(want, sizeof(want), "an integer from 16 to %llu", (unsigned long long)max_mb);
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/memory_limit_mb", want, "this node does not have so much memory");
	}
	if (cpu_percent > 100.0 * (double)cpus) {
		(void)qt_fmt(want, sizeof(want), "a number up to %ld", 100 * cpus);
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/cpu_limit_percent", want, "this node has %ld cpus", cpus);
	}
	return 0;
}

/* "<source>-<kind>-<4 hex>", the source cut to what a name holds. */
static void make_up_name(struct qt_ctr *c, const char *source, const char *kind)
{
	unsigned char r[2];

	qt_rnd(r, sizeof(r));
	(void)qt_fmt(c->name, sizeof(c->name), "%.*s-%s-%02x%02x", (int)(QT_NAME_MAX - strlen(kind) - 6), source, kind, r[0], r[1]);
}

static int reserve(struct qt_life *l, struct qt_ctr *c, enum qt_op_type type, const char *source, const char *kind, struct qt_err *e)
{
	bool given = c->name[0] != '\0';

	for (int i = 0;; i++) {
		if (!given)
			make_up_name(c, source, kind);
		if (qt_life_reserve_for(l, c, qt_op_reservation_ms(type), e) == 0)
			return 0;
		if (given || e->code != QT_E_CONTAINER_NAME_CONFLICT || i == NAME_TRIES)
			return -1;
		qt_err_reset(e);
	}
}

/* A dry run says of the name what the reservation would. */
static int name_is_free(struct qt_life *l, const struct qt_ctr *c, struct qt_err *e)
{
	struct qt_err miss = {0};
	struct qt_id id;

	if (!c->name[0])
		return 0;
	if (qt_store_ctr_by_name(l->store, &c->tenant, c->name, &id, &miss) == 0)
		return qt_fail(e, QT_E_CONTAINER_NAME_CONFLICT, "a container named \"%s\" exists already", c->name);
	if (miss.code == QT_E_CONTAINER_NOT_FOUND)
		return 0;
	*e = miss;
	return -1;
}

/* Where a copy comes from. */
struct origin {
	enum qt_op_type type;
	const char *kind, *name, *node;
	const struct qt_id *tenant, *id, *snapshot; /* the last: of its lineage */
	const json_t *spec, *captured;		    /* captured NULL: as the container is now */
	enum qt_volume_mode volumes;
};

static int describe(struct qt_life *l, const struct origin *from, const struct qt_copy *how, struct qt_ctr *c, struct qt_op *o,
		    struct qt_err *e)
{
	auto_json json_t *volumes = json_incref(c->volumes);

	c->id = qt_id_new("ctr");
	c->tenant = *from->tenant;
	c->copied_from = *from->id;
	c->snapshot = *from->snapshot;
	(void)qt_copy(c->node, sizeof(c->node), from->node);
	if (!qt_copy(c->name, sizeof(c->name), how->name))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "the name is too long");
	if (how->labels) {
		json_t *labels = json_copy(c->labels); /* they are the origin's */

		json_object_update(labels, (json_t *)(uintptr_t)how->labels);
		json_decref(c->labels);
		c->labels = labels;
	}
	if (json_object_size(c->labels) > QT_LABELS_MAX)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/labels", "fewer labels", "with those of its source it has too many labels");
	o->tenant = c->tenant;
	o->type = from->type;
	o->container = c->id;
	(void)qt_copy(o->node, sizeof(o->node), c->node);
	json_object_set_new(o->args, "start", json_boolean(how->start));
	json_object_set_new(o->args, "consistency", json_integer(how->consistency));
	/* They are made, and attached, by the agent. */
	if (qt_copies_plan(l, c, volumes, from->volumes, from->captured, o->args, e) < 0 ||
	    qt_life_fits(l, c->memory_mb, c->cpu_centi / 100.0, e) < 0 || qt_life_reservable(l, c, e) < 0)
		return -1;
	json_decref(c->volumes);
	c->volumes = json_array();
	return 0;
}

static int copy(struct qt_life *l, const struct origin *from, const struct qt_copy *how, struct qt_ctr *ret, struct qt_op *o,
		struct qt_err *e)
{
	if (qt_ctr_from_spec(ret, from->spec, e) < 0) {
		qt_op_done(o);
		return -1;
	}
	/* One device, one container. */
	qt_snap_downgrades(o, QT_NET_RESET, ret->gpu_count);
	ret->gpu_count = 0;
	if (describe(l, from, how, ret, o, e) < 0)
		goto failed;
	if (how->dry) {
		if (name_is_free(l, ret, e) < 0)
			goto failed;
		return 0;
	}
	if (reserve(l, ret, from->type, from->name, from->kind, e) < 0)
		goto failed;
	if (qt_life_submit_op(l, o, e) == 0)
		return 0;
	/* If that does not work either, the reservation ends. */
	(void)qt_store_ctr_remove(l->store, &ret->tenant, &ret->id, &(struct qt_err){0});
failed:
	qt_ctr_done(ret);
	qt_op_done(o);
	return -1;
}

int qt_life_clone(struct qt_life *l, const struct qt_snap *s, const struct qt_copy *how, struct qt_ctr *ret, struct qt_op *op,
		  struct qt_err *e)
{
	const struct origin from = {.type = QT_OPT_SNAP_CLONE, .kind = "clone", .name = s->source_name, .node = s->node, .tenant = &s->tenant,
				    .id = &s->id, .snapshot = &s->id, .spec = s->spec, .captured = s->captured, .volumes = s->volumes};

	if (s->deleting_ms > 0)
		return qt_fail(e, QT_E_SNAPSHOT_NOT_FOUND, "there is no such snapshot");
	qt_op_init(op);
	op->snapshot = s->id;
	qt_snap_downgrades(op, s->network, 0);
	return copy(l, &from, how, ret, op, e);
}

int qt_life_fork(struct qt_life *l, const struct qt_ctr *c, const struct qt_copy *how, struct qt_ctr *ret, struct qt_op *op,
		 struct qt_err *e)
{
	auto_json json_t *spec = qt_ctr_spec(c);
	const struct origin from = {.type = QT_OPT_CTR_FORK, .kind = "fork", .name = c->name, .node = c->node, .tenant = &c->tenant,
				    .id = &c->id, .snapshot = &c->snapshot, .spec = spec, .volumes = how->volumes};

	if (qt_life_may(c, QT_V_FORK, e) < 0)
		return -1;
	if (!spec)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	qt_op_init(op);
	qt_snap_downgrades(op, how->network, 0);
	return copy(l, &from, how, ret, op, e);
}
