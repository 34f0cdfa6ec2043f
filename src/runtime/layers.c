#include "layers.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "dirs.h"
#include "log.h"
#include "str.h"

bool rt_layer_hex_ok(const char *hex)
{
	return strspn(hex, "0123456789abcdef") == RT_LAYER_HEX && hex[RT_LAYER_HEX] == '\0';
}

bool rt_layer_there(const struct rt *rt, const char *hex)
{
	return faccessat(rt->store.layers_fd, hex, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool rt_layer_of(const struct rt_obj *image, const char *hex)
{
	const char *p = NULL;

	while ((p = rt_strv_next(&image->layers, p)))
		if (qt_streq(p, hex))
			return true;
	return false;
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
		return rt_store_image(&rt->store, image, &managed, e);
	if (!o || !qt_streq(o->tenant.s, tenant->s))
		return qt_fail_field(e, QT_E_IMAGE_NOT_FOUND, "/image", "", "the image is not on this node any more");
	return 0;
}

static int open_layer(struct rt *rt, const char *hex, struct qt_err *e)
{
	auto_close int dir = openat(rt->store.layers_fd, hex, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int fs = dir < 0 ? -1 : openat(dir, "fs", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fs >= 0 ? fs : qt_fail_field(e, QT_E_IMAGE_NOT_FOUND, "/image", "", "the image on this node is not whole");
}

int rt_image_layers(struct rt *rt, const char *image, int *fds, unsigned *n, struct qt_err *e)
{
	const struct rt_obj *o = is_pulled(image) ? find(rt, image) : NULL;
	const char *p = NULL;

	*n = 0;
	if (!is_pulled(image)) {
		fds[0] = rt_store_rootfs(&rt->store, image, e);
		*n = fds[0] >= 0;
		return fds[0] < 0 ? -1 : 0;
	}
	if (!o || o->layers.n > RT_LAYERS_MAX)
		return qt_fail_field(e, QT_E_IMAGE_NOT_FOUND, "/image", "", "the image is not on this node any more");
	/* The list has the bottom first. */
	while ((p = rt_strv_next(&o->layers, p))) {
		int fd = open_layer(rt, p, e);

		if (fd < 0)
			return -1;
		memmove(fds + 1, fds, *n * sizeof(*fds));
		fds[0] = fd;
		++*n;
	}
	return 0;
}

bool rt_image_in_use(const struct rt *rt, const struct qt_id *image)
{
	for (uint32_t i = 0; i < rt->ctrs.n; i++)
		if (qt_streq(rt->ctrs.v[i]->image, image->s))
			return true;
	for (uint32_t i = 0; i < rt->objs.n; i++)
		if (qt_streq(rt->objs.v[i]->image, image->s))
			return true;
	return false;
}

/* --- what nobody names --------------------------------------------------------------------------------- */

static bool is_named(const struct rt *rt, const char *hex)
{
	for (uint32_t i = rt_obj_after(&rt->objs, "img_"); i < rt->objs.n && qt_starts(rt->objs.v[i]->id.s, "img_"); i++)
		if (rt_layer_of(rt->objs.v[i], hex))
			return true;
	return false;
}

static int layer_found(const char *name, void *arg, struct qt_err *e)
{
	struct rt *rt = arg;
	const char *dot = strchr(name, '.');
	char image[QT_ID_MAX + 1] = "";
	const struct rt_obj *o;

	if (!dot)
		return is_named(rt, name) ? 0 : rt_store_drop(&rt->store, rt->store.layers_fd, name, e);
	if (dot - name <= QT_ID_MAX)
		memcpy(image, name, (size_t)(dot - name));
	o = rt_obj_find(&rt->objs, image);
	return o && o->making ? 0 : rt_store_drop(&rt->store, rt->store.layers_fd, name, e);
}

static int rotten(const char *name, void *arg, struct qt_err *e)
{
	(void)e;
	*(bool *)arg = *(bool *)arg || qt_starts(name, "img_");
	return 0;
}

void rt_layers_sweep(struct rt *rt)
{
	struct qt_err e = {0};
	bool unknown = false;

	/* What an image whose file is rotten stands on nobody knows; its layers are somebody's. */
	if (rt_dir_each(rt->objs.keep.bad_fd, rotten, &unknown, &e) < 0 || unknown) {
		qt_log(QT_LOG_WARN, "layers are not swept: the file of an image was set aside, and which are its layers is not known");
		return;
	}
	if (rt_dir_each(rt->store.layers_fd, layer_found, rt, &e) < 0)
		qt_log_err(QT_LOG_WARN, &e, "layers that nobody names are left");
}
