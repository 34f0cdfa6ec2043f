#include "layers.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "blobs.h"
#include "cleanup.h"
#include "dirs.h"
#include "log.h"
#include "str.h"

#define AGAIN_MS 1000

bool rt_layer_there(const struct rt *rt, const char *hex)
{
	return faccessat(rt->store.layers_fd, hex, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static const struct rt_obj *find(const struct rt *rt, const char *image)
{
	const struct rt_obj *o = rt_obj_find(&rt->objs, image);

	return o && !o->making ? o : NULL;
}

static bool is_pulled(const char *image)
{
	struct qt_id id;

	return qt_id_parse(&id, "img", image);
}

int rt_image_check(struct rt *rt, const struct qt_id *tenant, const char *image, struct qt_err *e)
{
	const struct rt_obj *o = is_pulled(image) ? find(rt, image) : NULL;
	struct rt_image managed;

	if (!is_pulled(image))
		return rt_managed_conf(&rt->store, image, &managed, e);
	if (!o || !qt_streq(o->tenant.s, tenant->s))
		return qt_fail_field(e, QT_E_IMAGE_NOT_FOUND, "/image", "", "the image is not on this node any more");
	return 0;
}

int rt_layer_open(const struct rt_store *s, const char *hex, struct qt_err *e)
{
	auto_close int dir = openat(s->layers_fd, hex, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int fs = dir < 0 ? -1 : openat(dir, "fs", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fs >= 0 ? fs : qt_fail_field(e, QT_E_IMAGE_NOT_FOUND, "/image", "", "the image on this node is not whole");
}

int rt_image_layers(struct rt *rt, const char *image, int *fds, unsigned *n, struct qt_err *e)
{
	const struct rt_obj *o = is_pulled(image) ? find(rt, image) : NULL;
	const char *p = NULL;

	*n = 0;
	if (!is_pulled(image)) {
		fds[0] = rt_managed_root(&rt->store, image, e);
		*n = fds[0] >= 0;
		return fds[0] < 0 ? -1 : 0;
	}
	if (!o || o->layers.n > RT_LAYERS_MAX)
		return qt_fail_field(e, QT_E_IMAGE_NOT_FOUND, "/image", "", "the image is not on this node any more");
	/* The list has the bottom first. */
	while ((p = rt_strv_next(&o->layers, p))) {
		int fd = rt_layer_open(&rt->store, p, e);

		if (fd < 0)
			return -1;
		memmove(fds + 1, fds, *n * sizeof(*fds));
		fds[0] = fd;
		++*n;
	}
	return 0;
}

static const char *stands_on(struct rt *rt, const char *who)
{
	const struct rt_obj *snap = rt_obj_find(&rt->objs, who);
	const struct rt_ctr *c;
	struct qt_id id;

	if (snap)
		return snap->image;
	c = qt_id_parse(&id, "ctr", who) ? rt_ctr_find(&rt->ctrs, &id) : NULL;
	return c ? c->image : "";
}

int rt_image_choose(struct rt *rt, const char *image, const char *from, char *ret, struct qt_err *e)
{
	const char *base = stands_on(rt, from);

	if (is_pulled(image) || rt_image_version_ok(base))
		return qt_copy(ret, RT_IMAGE_MAX + 1, is_pulled(image) ? image : base) ? 0 : qt_fail(e, QT_E_INTERNAL_ERROR, "a text too long");
	return rt_managed_now(&rt->store, image, ret, e);
}

bool rt_image_in_use(const struct rt *rt, const char *image)
{
	for (uint32_t i = 0; i < rt->ctrs.n; i++)
		if (qt_streq(rt->ctrs.v[i]->image, image))
			return true;
	for (uint32_t i = 0; i < rt->objs.n; i++)
		if (qt_streq(rt->objs.v[i]->image, image))
			return true;
	return false;
}

void rt_image_left(struct rt *rt, const char *image)
{
	if (rt_managed_is_old(&rt->store, image) && !rt_image_in_use(rt, image))
		rt_layers_sweep(rt);
}

/* --- what nobody names --------------------------------------------------------------------------------- */

struct found {
	struct rt *rt;
	struct rt_managed_kept kept;
};

static bool is_named(const struct found *f, const char *hex)
{
	const struct rt *rt = f->rt;

	for (uint32_t i = rt_obj_after(&rt->objs, "img_"); i < rt->objs.n && qt_starts(rt->objs.v[i]->id.s, "img_"); i++)
		if (rt_strv_has(&rt->objs.v[i]->layers, hex))
			return true;
	return rt_managed_keeps(&f->kept, hex);
}

static int layer_found(const char *name, void *arg, struct qt_err *e)
{
	const struct found *f = arg;
	struct rt_store *s = &f->rt->store;
	const char *dot = strchr(name, '.');
	char image[QT_ID_MAX + 1] = "";
	const struct rt_obj *o;

	if (!dot)
		return is_named(f, name) ? 0 : rt_store_drop(s, s->layers_fd, name, e);
	if (dot - name <= QT_ID_MAX)
		memcpy(image, name, (size_t)(dot - name));
	o = rt_obj_find(&f->rt->objs, image);
	return o && o->making ? 0 : rt_store_drop(s, s->layers_fd, name, e);
}

static int rotten(const char *name, void *arg, struct qt_err *e)
{
	(void)e;
	*(bool *)arg = *(bool *)arg || qt_starts(name, "img_");
	return 0;
}

static void sweep_again(void *rt)
{
	rt_layers_sweep(rt);
}

/* `quiltctl image build` and we change the images of the pool by turns. If it is at it just now, all is looked at a second later. */
static bool lock(struct rt *rt)
{
	struct qt_err e = {0};

	if (flock(rt->store.images_fd, LOCK_EX | LOCK_NB) == 0)
		return true;
	if (errno != EWOULDBLOCK)
		(void)qt_fail_sys(&e, errno, "lock the images");
	else if (rt_timer_set(rt->loop, &rt->layers_again, AGAIN_MS, sweep_again, rt, &e) == 0)
		return false;
	qt_log_err(QT_LOG_WARN, &e, "layers that nobody names are left");
	return false;
}

static void unlock(struct rt *rt)
{
	(void)flock(rt->store.images_fd, LOCK_UN);
}

void rt_layers_changed(struct rt *rt)
{
	struct qt_err e = {0};

	if (!lock(rt))
		return;
	if (rt_blobs_index(rt, &e) < 0)
		qt_log_err(QT_LOG_WARN, &e, "the index of images is not up to date");
	unlock(rt);
}

void rt_layers_sweep(struct rt *rt)
{
	struct found f = {.rt = rt};
	struct qt_err e = {0};
	bool unknown = false;

	/* What an image whose file is rotten stands on nobody knows; its layers are somebody's. */
	if (rt_dir_each(rt->objs.keep.bad_fd, rotten, &unknown, &e) < 0 || unknown) {
		qt_log(QT_LOG_WARN, "layers are not swept: the file of an image was set aside, and which are its layers is not known");
		return;
	}
	if (!lock(rt))
		return;
	if (rt_managed_sweep(rt, &f.kept, &e) < 0 || rt_dir_each(rt->store.layers_fd, layer_found, &f, &e) < 0 || rt_blobs_sweep(rt, &f.kept, &e) < 0 ||
	    rt_blobs_index(rt, &e) < 0)
		qt_log_err(QT_LOG_WARN, &e, "layers that nobody names are left");
	unlock(rt);
	rt_managed_kept_done(&f.kept);
}
