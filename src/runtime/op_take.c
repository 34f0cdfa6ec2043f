/* The layer of a container as a layer of an image that is being made. Which privileges it uses, and what it would be worth to a hostile agent, stands in its row
 * in ops.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cleanup.h"
#include "copy.h"
#include "failpoint.h"
#include "layers.h"
#include "log.h"
#include "ops.h"
#include "sessions.h"
#include "str.h"

/* A tree has upper and work, a layer fs. */
static int shape(struct rt *rt, const char *name, struct qt_err *e)
{
	auto_close int dir = openat(rt->store.layers_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0 || renameat(dir, "upper", dir, "fs") < 0 || unlinkat(dir, "work", AT_REMOVEDIR) < 0)
		return qt_fail_sys(e, errno, "make a layer of a container's");
	return 0;
}

static void drop(struct rt *rt, const char *name)
{
	struct qt_err e = {0};

	if (rt_store_drop(&rt->store, rt->store.layers_fd, name, &e) < 0)
		qt_log_err(QT_LOG_WARN, &e, "something of a layer is left");
}

static void taken(struct rt_copy *c, struct qt_err *e)
{
	const struct rt_layer_take_rep rep = {.size_bytes = c->result->bytes, .files = c->result->files};
	const struct rt_obj *o = rt_obj_find(&c->rt->objs, c->id.s);

	if (e->code == QT_OK && (!o || !o->making))
		(void)qt_fail(e, QT_E_CONFLICT, "the image was given up meanwhile");
	if (e->code == QT_OK && shape(c->rt, c->trees[0].to, e) == 0 && rt_failpoint(RT_FP_layer_taken, e) == 0) {
		rt_copy_answer(c, &rep);
		return;
	}
	drop(c->rt, c->trees[0].to);
	rt_copy_refuse(c, e);
}

static int take(struct rt_ctr *c, const struct qt_id *image, const char *name, struct rt_answer *a, struct qt_err *e)
{
	struct rt_copy *copy = rt_copy_new(c->rt, &c->tenant, image, &c->id, e);

	if (!copy)
		return -1;
	copy->count = true;
	if (rt_copy_add(copy, c->rt->store.ctr_fd, c->id.s, c->rt->store.layers_fd, name, (struct rt_limit){0, 0}, e) < 0 || rt_copy_wait(copy, &a->call, e) < 0) {
		rt_copy_free(copy);
		return -1;
	}
	rt_copy_start(copy, taken, NULL);
	a->extra_ms = RT_COPY_MAX_MS;
	return RT_LATER;
}

static int check(const struct rt_ctr *c, const struct rt_layer_take_req *req, struct qt_err *e)
{
	const struct rt_obj *o = rt_obj_find(&c->rt->objs, req->image.s);
	char only[RT_LAYER_NAME_MAX + 1];
	struct qt_id id;

	if (!qt_id_parse(&id, "img", req->image.s) || !o || !o->making || !qt_streq(o->tenant.s, c->tenant.s))
		return qt_fail(e, QT_E_IMAGE_NOT_FOUND, "no such image is being made");
	rt_layer_name(only, &id);
	if (!qt_streq(req->digest.s, only) || !rt_strv_has(&o->layers, only))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "layer_take: the image has no such layer");
	return 0;
}

int rt_op_layer_take(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_layer_take_req *req = req_;
	struct rt_copy *copy = rt_copy_of(rt, &req->image);
	char name[RT_LAYER_NAME];

	if (check(c, req, e) < 0)
		return -1;
	if (copy) {
		a->extra_ms = RT_COPY_MAX_MS;
		return rt_copy_wait(copy, &a->call, e) < 0 ? -1 : RT_LATER;
	}
	if (rt_layer_there(rt, req->digest.s))
		return 0;
	/* An earlier try, of an agent that died. */
	(void)qt_fmt(name, sizeof(name), "%s.%s", req->image.s, req->digest.s);
	if (rt_store_drop(&rt->store, rt->store.layers_fd, name, e) < 0 || rt_store_room(&rt->store, e) < 0)
		return -1;
	return take(c, &req->image, name, a, e);
}
