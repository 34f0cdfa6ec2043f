/* Snapshots and volumes. Which privileges each uses, and what it would be worth to a hostile worker, stands in its row in ops.c. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "copy.h"
#include "dirs.h"
#include "failpoint.h"
#include "layers.h"
#include "log.h"
#include "ops.h"
#include "str.h"
#include "sessions.h"
#include "volumes.h"

#define LIST_MAX  512
#define TEXTS_MAX 20480 /* the maximum of the list in ops.def */

static bool is_volume(const struct qt_id *id)
{
	return qt_starts(id->s, "vol_");
}

static bool is_image(const struct qt_id *id)
{
	return qt_starts(id->s, "img_");
}

static int not_found(const struct qt_id *id, struct qt_err *e)
{
	if (is_image(id))
		return qt_fail(e, QT_E_IMAGE_NOT_FOUND, "there is no such image");
	return is_volume(id) ? qt_fail(e, QT_E_VOLUME_NOT_FOUND, "there is no such volume") :
			       qt_fail(e, QT_E_SNAPSHOT_NOT_FOUND, "there is no such snapshot");
}

static int tree_dir(const struct rt *rt, const struct qt_id *id)
{
	return is_volume(id) ? rt->store.vol_fd : is_image(id) ? rt->store.img_fd : rt->store.snap_fd;
}

/* One that is there and whole, of either kind. */
static struct rt_obj *find(struct rt *rt, const struct qt_id *id, struct qt_err *e)
{
	struct rt_obj *o = rt_obj_find(&rt->objs, id->s);

	if (!o || o->making)
		return (void)not_found(id, e), NULL;
	return o;
}

/* Asked for once more, by a worker that lost the answer. 0: it is to be made; RT_LATER: it is being made; 2: it is there. */
static int look(struct rt *rt, const struct qt_id *id, const struct qt_id *tenant, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_obj *o = rt_obj_find(&rt->objs, id->s);
	struct rt_copy *copy = rt_copy_of(rt, id);

	if (!o)
		return 0;
	if (!qt_streq(o->tenant.s, tenant->s))
		return qt_fail(e, QT_E_CONFLICT, "there is something of this id");
	if (!o->making)
		return 2;
	a->extra_ms = RT_COPY_MAX_MS;
	return !copy ? qt_fail(e, QT_E_UNAVAILABLE, "not now") : rt_copy_wait(copy, &a->call, e) < 0 ? -1 : RT_LATER;
}

/* Nothing of it is left; that its tree may be half made does not matter to the trash. */
static void undo(struct rt *rt, struct rt_obj *o)
{
	char image[sizeof(o->image)];
	struct qt_err e = {0};

	(void)qt_copy(image, sizeof(image), o->image);
	if (rt_obj_forget(&rt->objs, o, &e) < 0 || rt_store_drop(&rt->store, tree_dir(rt, &o->id), o->id.s, &e) < 0)
		qt_log_err(QT_LOG_ERROR, &e, "%s: something of it is left", o->id.s);
	rt_obj_remove(&rt->objs, o);
	rt_image_left(rt, image);
}

static int commit(struct rt *rt, struct rt_obj *o, enum rt_failpoint made, enum rt_failpoint committed, struct qt_err *e)
{
	o->created_ms = (uint64_t)qt_now_ms();
	if (rt_failpoint(made, e) < 0 || rt_obj_save(&rt->objs, o, e) < 0 || rt_failpoint(committed, e) < 0)
		return -1;
	o->making = false;
	return 0;
}

/* --- volumes ------------------------------------------------------------------------------------------- */

static void volume_copied(struct rt_copy *c, struct qt_err *e)
{
	const struct rt_vol_make_rep rep = {0};
	struct rt_obj *o = c->arg;

	if (e->code == QT_OK && commit(c->rt, o, RT_FP_vol_made, RT_FP_vol_commit, e) == 0) {
		rt_copy_answer(c, &rep);
		return;
	}
	undo(c->rt, o);
	rt_copy_refuse(c, e);
}

static int copy_volume(struct rt *rt, struct rt_obj *o, const struct rt_vol_make_req *req, struct rt_answer *a, struct qt_err *e)
{
	auto_close int dir = openat(rt->store.snap_fd, req->from_snapshot.s, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct rt_copy *copy;

	if (dir < 0 || faccessat(dir, req->from_volume.s, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return qt_fail(e, QT_E_VOLUME_NOT_FOUND, "the snapshot does not hold this volume");
	copy = rt_copy_new(rt, &o->tenant, &o->id, NULL, e);
	if (!copy)
		return -1;
	(void)qt_copy(copy->snapshot.s, sizeof(copy->snapshot.s), req->from_snapshot.s);
	if (rt_copy_add(copy, dir, req->from_volume.s, rt->store.vol_fd, o->id.s, rt_store_volume_limit(&rt->store, o->max_bytes), e) < 0 ||
	    rt_copy_wait(copy, &a->call, e) < 0) {
		rt_copy_free(copy);
		return -1;
	}
	rt_copy_start(copy, volume_copied, o);
	a->extra_ms = RT_COPY_MAX_MS;
	return RT_LATER;
}

static int make_volume(struct rt *rt, struct rt_obj *o, const struct rt_vol_make_req *req, struct rt_answer *a, struct qt_err *e)
{
	if (req->from_snapshot.len > 0)
		return copy_volume(rt, o, req, a, e);
	if (rt_store_make_volume(&rt->store, &o->id, o->max_bytes, e) < 0)
		return -1;
	return commit(rt, o, RT_FP_vol_made, RT_FP_vol_commit, e);
}

static int check_volume(struct rt *rt, const struct rt_vol_make_req *req, struct qt_err *e)
{
	struct qt_id id;

	if (!qt_id_parse(&id, "vol", req->id.s) || !qt_id_parse(&id, "ten", req->tenant.s))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "vol_make: an id of another kind");
	if (req->from_snapshot.len > 0 || req->from_volume.len > 0) {
		const struct rt_obj *from;

		if (!qt_id_parse(&id, "vol", req->from_volume.s) || !qt_id_parse(&id, "snap", req->from_snapshot.s))
			return qt_fail(e, QT_E_VALIDATION_ERROR, "vol_make: an id of another kind");
		from = find(rt, &id, e);
		if (!from)
			return -1;
		if (!qt_streq(from->tenant.s, req->tenant.s))
			return not_found(&id, e);
	}
	return rt_store_room(&rt->store, e);
}

int rt_op_vol_make(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_vol_make_req *req = req_;
	int there = look(rt, &req->id, &req->tenant, a, e);
	struct rt_obj *o;
	int r;

	(void)c;
	if (there != 0)
		return there == 2 ? 0 : there;
	if (check_volume(rt, req, e) < 0 || rt_failpoint(RT_FP_vol_begin, e) < 0)
		return -1;
	o = rt_obj_add(&rt->objs, &req->id, &req->tenant, req->record, e);
	if (!o)
		return -1;
	o->making = true;
	o->max_bytes = req->max_bytes ? req->max_bytes : rt->store.vol_limit.bytes;
	r = make_volume(rt, o, req, a, e);
	if (r < 0)
		undo(rt, o);
	return r;
}

/* --- snapshots ----------------------------------------------------------------------------------------- */

static void snapshot_copied(struct rt_copy *c, struct qt_err *e)
{
	const struct rt_snapshot_rep rep = {
		.size_bytes = c->result->bytes, .paused_us = c->result->paused_us, .flush_us = c->result->flush_us};
	struct rt_obj *o = c->arg;

	o->size_bytes = c->result->bytes;
	o->files = c->result->files;
	if (e->code == QT_OK && commit(c->rt, o, RT_FP_snapshot_made, RT_FP_snapshot_commit, e) == 0) {
		rt_copy_answer(c, &rep);
		return;
	}
	undo(c->rt, o);
	rt_copy_refuse(c, e);
}

static int check_snapshot(struct rt *rt, const struct rt_ctr *c, const struct rt_snapshot_req *req, struct qt_err *e)
{
	const char *text = NULL, *other = NULL;
	struct qt_id id;

	if (!qt_id_parse(&id, "snap", req->snapshot.s) || req->consistency > RT_APP_CONSISTENT)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "snapshot: an id of another kind, or an unknown consistency");
	if (req->volumes.n > RT_VOLUMES_MAX)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/volumes", "", "there are too many volumes");
	while ((text = rt_strv_next(&req->volumes, text))) {
		if (!qt_id_parse(&id, "vol", text) || !rt_volumes_has(c, &id))
			return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/volumes", "", "the container does not have this volume");
		if (!find(rt, &id, e))
			return -1;
		for (other = rt_strv_next(&req->volumes, text); other; other = rt_strv_next(&req->volumes, other))
			if (qt_streq(other, text))
				return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/volumes", "", "a volume is named twice");
	}
	return rt_store_room(&rt->store, e);
}

static int add_trees(struct rt_copy *copy, const struct rt_ctr *c, const struct rt_snapshot_req *req, struct qt_err *e)
{
	const struct rt_store *s = &c->rt->store;
	auto_close int dir = rt_dir_make(s->snap_fd, req->snapshot.s, 0700, e);
	const struct rt_limit unlimited = {0, 0};
	const char *text = NULL;

	if (dir < 0 || rt_copy_add(copy, s->ctr_fd, c->id.s, dir, "ctr", unlimited, e) < 0)
		return -1;
	while ((text = rt_strv_next(&req->volumes, text)))
		if (rt_copy_add(copy, s->vol_fd, text, dir, text, unlimited, e) < 0)
			return -1;
	return 0;
}

static int take(struct rt_ctr *c, struct rt_obj *o, const struct rt_snapshot_req *req, struct rt_answer *a, struct qt_err *e)
{
	struct rt_copy *copy = rt_copy_new(c->rt, &o->tenant, &o->id, &c->id, e);

	if (!copy)
		return -1;
	copy->consistency = (enum rt_consistency)req->consistency;
	copy->count = true;
	if (add_trees(copy, c, req, e) < 0 || rt_copy_wait(copy, &a->call, e) < 0) {
		rt_copy_free(copy);
		return -1;
	}
	rt_copy_start(copy, snapshot_copied, o);
	a->extra_ms = RT_COPY_MAX_MS;
	return RT_LATER;
}

int rt_op_snapshot(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_snapshot_req *req = req_;
	struct rt_snapshot_rep *rep = a->rep;
	int there = look(rt, &req->snapshot, &c->tenant, a, e), r;
	struct rt_obj *o;

	if (there == 2) {
		*rep = (struct rt_snapshot_rep){.size_bytes = rt_obj_find(&rt->objs, req->snapshot.s)->size_bytes};
		return 0;
	}
	if (there != 0)
		return there;
	if (check_snapshot(rt, c, req, e) < 0 || rt_failpoint(RT_FP_snapshot_begin, e) < 0)
		return -1;
	o = rt_obj_add(&rt->objs, &req->snapshot, &c->tenant, req->record, e);
	if (!o)
		return -1;
	o->making = true;
	(void)qt_copy(o->image, sizeof(o->image), c->image);
	r = take(c, o, req, a, e);
	if (r < 0)
		undo(rt, o);
	return r;
}

/* --- both ---------------------------------------------------------------------------------------------- */

static void fill_get(struct rt_obj_get_rep *rep, const struct rt_obj *o, uint64_t bytes, uint64_t files)
{
	*rep = (struct rt_obj_get_rep){.tenant = o->tenant,
				       .created_ms = o->created_ms,
				       .size_bytes = bytes,
				       .files = files,
				       .max_bytes = o->max_bytes,
				       .record = {o->record, o->record_len}};
}

static void counted(struct rt_copy *c, struct qt_err *e)
{
	const struct rt_obj *o = e->code == QT_OK ? find(c->rt, &c->id, e) : NULL;
	struct rt_obj_get_rep rep;

	if (!o) {
		rt_copy_refuse(c, e);
		return;
	}
	fill_get(&rep, o, c->result->bytes, c->result->files);
	rt_copy_answer(c, &rep);
}

/* Simple quotas know who wrote what, which is another question than what a tree holds. */
int rt_op_obj_get(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_obj_get_req *req = req_;
	const struct rt_obj *o = find(rt, &req->id, e);
	struct rt_copy *count = rt_copy_of(rt, &req->id);

	(void)c;
	if (!o)
		return -1;
	if (!is_volume(&o->id) || !req->count) {
		fill_get(a->rep, o, o->size_bytes, o->files);
		return 0;
	}
	if (count)
		return rt_copy_wait(count, &a->call, e) < 0 ? -1 : RT_LATER;
	count = rt_copy_new(rt, &o->tenant, &o->id, NULL, e);
	if (!count)
		return -1;
	count->count = true;
	if (rt_copy_add(count, rt->store.vol_fd, o->id.s, -1, "", (struct rt_limit){0, 0}, e) < 0 || rt_copy_wait(count, &a->call, e) < 0) {
		rt_copy_free(count);
		return -1;
	}
	rt_copy_start(count, counted, NULL);
	return RT_LATER;
}

int rt_op_obj_list(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_obj_list_req *req = req_;
	struct rt_obj_list_rep *rep = a->rep;
	char prefix[8];

	(void)c;
	if (!qt_streq(req->kind.s, "snap") && !qt_streq(req->kind.s, "vol") && !qt_streq(req->kind.s, "img"))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "obj_list: none of snap, vol and img");
	(void)qt_fmt(prefix, sizeof(prefix), "%s_", req->kind.s);
	rep->ids.s = a->scratch;
	for (uint32_t i = rt_obj_after(&rt->objs, req->after.len > 0 ? req->after.s : prefix); i < rt->objs.n && rep->ids.n < LIST_MAX; i++) {
		const struct rt_obj *o = rt->objs.v[i];

		if (!qt_starts(o->id.s, prefix) || (!o->making && !rt_strv_add(&rep->ids, a->scratch, TEXTS_MAX, o->id.s)))
			break;
	}
	return 0;
}

int rt_op_obj_record(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_obj_record_req *req = req_;
	struct rt_obj *o = find(rt, &req->id, e), before;

	(void)c;
	(void)a;
	if (!o)
		return -1;
	before = *o;
	o->record = NULL;
	if (rt_obj_set_record(o, req->record, e) < 0 || rt_obj_save(&rt->objs, o, e) < 0) {
		free(o->record);
		*o = before;
		return -1;
	}
	free(before.record);
	return 0;
}

int rt_op_obj_delete(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_obj_delete_req *req = req_;
	struct rt_obj *o = rt_obj_find(&rt->objs, req->id.s);
	struct rt_copy *copy = rt_copy_of(rt, &req->id);
	bool image;

	(void)c;
	(void)a;
	if (!o)
		return 0;
	if (o->making && (copy || !is_image(&o->id))) {
		if (copy && !copy->ended)
			rt_copy_end(copy);
		return RT_AGAIN;
	}
	if (is_volume(&o->id) && rt_volumes_in_use(rt, &o->id))
		return qt_fail(e, QT_E_VOLUME_IN_USE, "a container that runs has this volume");
	if (is_image(&o->id) && rt_image_in_use(rt, o->id.s))
		return qt_fail(e, QT_E_IMAGE_IN_USE, "a container, or a snapshot of one, stands on this image");
	/* The point of no return: a tree that no file knows is swept at the next start. */
	if (rt_failpoint(RT_FP_obj_delete_begin, e) < 0 || rt_obj_forget(&rt->objs, o, e) < 0)
		return -1;
	rt_sessions_end(rt->sessions, &o->id); /* nobody works on a tree that is in the trash */
	(void)rt_failpoint(RT_FP_obj_delete_forgotten, e);
	qt_err_reset(e);
	image = is_image(&o->id);
	undo(rt, o);
	if (image)
		rt_layers_sweep(rt);
	rt_copies_end(rt, &req->id);
	(void)rt_failpoint(RT_FP_obj_delete_dropped, e);
	qt_err_reset(e);
	return 0;
}
