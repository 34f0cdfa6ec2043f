#include "managed.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "dirs.h"
#include "fdio.h"
#include "layers.h"
#include "log.h"
#include "str.h"

static int no_image(const char *name, struct qt_err *e)
{
	return qt_fail_field(e, QT_E_IMAGE_NOT_FOUND, "/image", "", "there is no image \"%.128s\" on this node", name);
}

static int not_whole(const char *name, struct qt_err *e)
{
	return qt_fail_field(e, QT_E_IMAGE_NOT_FOUND, "/image", "", "the image \"%.128s\" on this node is not whole", name);
}

bool rt_managed_tag(const struct rt_store *s, const char *name, char *ret)
{
	ssize_t n = readlinkat(s->images_fd, name, ret, RT_IMAGE_MAX + 1);

	if (n <= 0 || n > RT_IMAGE_MAX)
		return false;
	ret[n] = '\0';
	return rt_image_version_ok(ret);
}

int rt_managed_now(const struct rt_store *s, const char *name, char *ret, struct qt_err *e)
{
	if (!rt_image_name_ok(name))
		return no_image(name, e);
	if (!rt_managed_tag(s, name, ret))
		(void)qt_copy(ret, RT_IMAGE_MAX + 1, name);
	return 0;
}

static int open_image(const struct rt_store *s, const char *image, struct qt_err *e)
{
	char version[RT_IMAGE_MAX + 1];
	int fd;

	if (rt_image_version_ok(image))
		(void)qt_copy(version, sizeof(version), image);
	else if (rt_managed_now(s, image, version, e) < 0)
		return -1;
	fd = openat(s->images_fd, version, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? no_image(image, e) : fd;
}

static int read_conf(int dir_fd, struct rt_image *ret, struct qt_err *e)
{
	char text[RT_IMAGE_CONF_MAX];
	ssize_t len = qt_read_file(dir_fd, "image.conf", text, sizeof(text), e);

	return len < 0 ? -1 : rt_image_parse(ret, text, (size_t)len, e);
}

int rt_managed_conf(const struct rt_store *s, const char *image, struct rt_image *ret, struct qt_err *e)
{
	auto_close int fd = open_image(s, image, e);
	struct qt_err why = {0};

	if (fd < 0)
		return -1;
	if (read_conf(fd, ret, &why) == 0)
		return 0;
	qt_log_err(QT_LOG_WARN, &why, "the image %.128s cannot be used", image);
	return not_whole(image, e);
}

int rt_managed_root(const struct rt_store *s, const char *image, struct qt_err *e)
{
	auto_close int dir = -1;
	struct rt_image img;
	int root;

	if (rt_managed_conf(s, image, &img, e) < 0)
		return -1;
	if (img.layer[0])
		return rt_layer_open(s, img.layer, e);
	dir = open_image(s, image, e);
	root = dir < 0 ? -1 : openat(dir, "rootfs", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return root < 0 ? not_whole(image, e) : root;
}

/* --- what nobody names ---------------------------------------------------------------------------------- */

struct tags {
	const struct rt_store *s;
	const char *version;
	bool found;
};

static int look(const char *name, void *arg, struct qt_err *e)
{
	char version[RT_IMAGE_MAX + 1];
	struct tags *t = arg;

	(void)e;
	t->found |= rt_image_name_ok(name) && rt_managed_tag(t->s, name, version) && qt_streq(version, t->version);
	return 0;
}

static int is_tagged(const struct rt_store *s, const char *version, bool *ret, struct qt_err *e)
{
	struct tags t = {.s = s, .version = version};

	if (rt_dir_each(s->images_fd, look, &t, e) < 0)
		return -1;
	*ret = t.found;
	return 0;
}

bool rt_managed_is_old(const struct rt_store *s, const char *image)
{
	struct qt_err ignored = {0};
	bool tagged = true;

	return rt_image_version_ok(image) && is_tagged(s, image, &tagged, &ignored) == 0 && !tagged;
}

bool rt_managed_keeps(const struct rt_managed_kept *k, const char *hex)
{
	for (size_t i = 0; i < k->n; i++)
		if (qt_streq(k->hex[i], hex))
			return true;
	return false;
}

void rt_managed_kept_done(struct rt_managed_kept *k)
{
	free(k->hex);
}

static int keep(struct rt_managed_kept *k, const char *hex, struct qt_err *e)
{
	if (k->n == k->cap) {
		size_t cap = k->cap ? 2 * k->cap : 32;
		void *more = reallocarray(k->hex, cap, sizeof(*k->hex));

		if (!more)
			return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
		k->hex = more;
		k->cap = cap;
	}
	(void)qt_copy(k->hex[k->n++], sizeof(*k->hex), hex);
	return 0;
}

struct sweep {
	struct rt *rt;
	struct rt_managed_kept *kept;
	bool unknown; /* the file of a container or a snapshot was rotten: it stands on nobody knows what */
};

static int rotten(const char *name, void *arg, struct qt_err *e)
{
	(void)name;
	(void)e;
	*(bool *)arg = true;
	return 0;
}

static int version_found(const char *name, void *arg, struct qt_err *e)
{
	struct sweep *w = arg;
	const struct rt_store *s = &w->rt->store;
	bool tagged = false;
	auto_close int fd = -1;
	struct rt_image img;

	/* Begun by an image-build that died. */
	if (qt_starts(name, ".new.") || qt_starts(name, ".tag."))
		return rt_store_drop(&w->rt->store, s->images_fd, name, e);
	if (!rt_image_version_ok(name))
		return 0;
	if (is_tagged(s, name, &tagged, e) < 0)
		return -1;
	if (!tagged && !w->unknown && !rt_image_in_use(w->rt, name))
		return rt_store_drop(&w->rt->store, s->images_fd, name, e);
	fd = open_image(s, name, e);
	/* What it stands on nobody knows, if this cannot be read. */
	if (fd < 0 || read_conf(fd, &img, e) < 0)
		return qt_context(e, "the image %.128s", name);
	return keep(w->kept, strchr(name, '@') + 1, e) < 0 || keep(w->kept, img.config, e) < 0 || keep(w->kept, img.layer, e) < 0 ? -1 : 0;
}

int rt_managed_sweep(struct rt *rt, struct rt_managed_kept *kept, struct qt_err *e)
{
	struct sweep w = {.rt = rt, .kept = kept};

	if (rt_dir_each(rt->journal.bad_fd, rotten, &w.unknown, e) < 0 || rt_dir_each(rt->objs.keep.bad_fd, rotten, &w.unknown, e) < 0)
		return -1;
	return rt_dir_each(rt->store.images_fd, version_found, &w, e);
}
