#include "blobs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "dirs.h"
#include "fdio.h"
#include "rootpath.h"
#include "str.h"

#define INDEX_MAX (64U << 20)
#define LAYOUT	  "{\"imageLayoutVersion\":\"1.0.0\"}"
#define OCI	  "application/vnd.oci.image."
#define DOCKER	  "application/vnd.docker.distribution."

bool rt_blob_there(const struct rt *rt, const char *hex)
{
	return faccessat(rt->store.blobs_fd, hex, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int rt_blob_publish(struct rt *rt, const char *name, const char *hex, struct qt_err *e)
{
	struct rt_store *s = &rt->store;
	auto_close int dir = openat(s->layers_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	/* It was made by the process that is locked into this directory, which has nobody to talk to any more. */
	if (dir < 0 || renameat(dir, "blob", s->blobs_fd, hex) < 0)
		return errno == ENOENT ? qt_fail(e, QT_E_CONFLICT, "the document was not kept") : qt_fail_sys(e, errno, "keep a document");
	if (fchownat(s->blobs_fd, hex, 0, 0, AT_SYMLINK_NOFOLLOW) < 0 || fsync(s->blobs_fd) < 0)
		return qt_fail_sys(e, errno, "keep a document");
	return rt_store_drop(s, s->layers_fd, name, e);
}

int rt_blob_document(struct rt *rt, const struct rt_obj *image, const char *name, struct qt_err *e)
{
	const char *manifest = rt_strv_next(&image->blobs, NULL), *config = manifest ? rt_strv_next(&image->blobs, manifest) : NULL;
	const char *hex = qt_streq(name, "manifest.json") ? manifest : qt_streq(name, "config.json") ? config : NULL;
	auto_close int tree = -1;
	struct qt_err why = {0};
	int fd = -1;

	if (hex)
		fd = openat(rt->store.blobs_fd, hex, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	else if (image->blobs.n == 0 && (tree = rt_store_volume(&rt->store, &image->id, &why)) >= 0)
		fd = qt_open_beneath(tree, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &why);
	return fd >= 0 ? fd : qt_fail(e, QT_E_NOT_FOUND, "the image has no such document");
}

/* --- what nobody names ---------------------------------------------------------------------------------- */

struct found {
	struct rt *rt;
	const struct rt_managed_kept *kept;
};

static int blob_found(const char *name, void *arg, struct qt_err *e)
{
	const struct found *f = arg;
	struct rt *rt = f->rt;

	if (rt_managed_keeps(f->kept, name))
		return 0;
	for (uint32_t i = rt_obj_after(&rt->objs, "img_"); i < rt->objs.n && qt_starts(rt->objs.v[i]->id.s, "img_"); i++)
		if (rt_strv_has(&rt->objs.v[i]->blobs, name))
			return 0;
	return rt_store_drop(&rt->store, rt->store.blobs_fd, name, e);
}

int rt_blobs_sweep(struct rt *rt, const struct rt_managed_kept *kept, struct qt_err *e)
{
	struct found f = {.rt = rt, .kept = kept};

	return rt_dir_each(rt->store.blobs_fd, blob_found, &f, e);
}

/* --- the index ------------------------------------------------------------------------------------------- */

struct index {
	struct rt *rt;
	struct qt_buf text;
	unsigned n;
};

/* Names and digests of ours hold nothing that JSON would mind. */
static int add(struct index *x, const char *name, const char *hex, bool docker, struct qt_err *e)
{
	struct stat st;

	if (fstatat(x->rt->store.blobs_fd, hex, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0; /* it is not whole, which its users hear elsewhere */
	return qt_buf_fmt(&x->text, e,
			  "%s{\"mediaType\":\"%s\",\"digest\":\"sha256:%s\",\"size\":%lld,"
			  "\"annotations\":{\"org.opencontainers.image.ref.name\":\"%s\"}}",
			  x->n++ ? "," : "", docker ? DOCKER "manifest.v2+json" : OCI "manifest.v1+json", hex, (long long)st.st_size, name);
}

static int tag_found(const char *name, void *arg, struct qt_err *e)
{
	char version[RT_IMAGE_MAX + 1];
	struct index *x = arg;

	return rt_image_name_ok(name) && rt_managed_tag(&x->rt->store, name, version) ? add(x, name, strchr(version, '@') + 1, false, e) : 0;
}

int rt_blobs_index(struct rt *rt, struct qt_err *e)
{
	struct index x = {.rt = rt, .text = QT_BUF(INDEX_MAX)};
	const struct rt_store *s = &rt->store;
	int r = qt_buf_str(&x.text, "{\"schemaVersion\":2,\"mediaType\":\"" OCI "index.v1+json\",\"manifests\":[", e);

	if (r == 0)
		r = rt_dir_each(s->images_fd, tag_found, &x, e);
	for (uint32_t i = rt_obj_after(&rt->objs, "img_"); r == 0 && i < rt->objs.n && qt_starts(rt->objs.v[i]->id.s, "img_"); i++) {
		const struct rt_obj *o = rt->objs.v[i];

		if (!o->making && o->blobs.n > 0)
			r = add(&x, o->id.s, rt_strv_next(&o->blobs, NULL), o->docker, e);
	}
	if (r == 0)
		r = qt_buf_str(&x.text, "]}", e);
	if (r == 0 && faccessat(s->oci_fd, "oci-layout", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		r = qt_replace_file(s->oci_fd, "oci-layout", LAYOUT, strlen(LAYOUT), 0644, false, e);
	if (r == 0)
		r = qt_replace_file(s->oci_fd, "index.json", x.text.data, x.text.len, 0644, false, e);
	qt_buf_done(&x.text);
	return r;
}
