#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "files/files_client.h"
#include "images.h"
#include "imgs.h"
#include "inner.h"
#include "str.h"

#define DELETE_BUDGET_MS 20000
#define LIST_BUDGET_MS	 5000
#define INFO_BUDGET_MS	 2000
#define FILE_BUDGET_MS	 5000
#define BEGIN_BUDGET_MS	 20000
#define KEEP_BUDGET_MS	 60000
#define DOCUMENT_MAX	 (8U << 20)
#define LOOK_MS		 100

int qt_life_img_get(struct qt_life *l, const struct qt_id *tenant, const char *field, const char *reference, struct qt_img *ret, struct qt_err *e)
{
	struct qt_imgref ref;

	if (qt_imgref_parse(field, reference, &ref, e) < 0)
		return -1;
	if (qt_store_img_get(l->store, tenant, ref.text, ret, e) == 0)
		return 0;
	if (e->code == QT_E_IMAGE_NOT_FOUND) {
		qt_err_reset(e);
		(void)qt_fail_field(e, QT_E_IMAGE_NOT_FOUND, field, "an image that was pulled", "there is no image %s", ref.text);
		e->hint = "Pull it first: POST /api/oci/images/pull with this reference.";
	}
	return -1;
}

static void copy_digest(char *ret, const char *text)
{
	(void)qt_copy(ret, QT_DIGEST_MAX + 1, qt_digest_ok(text) ? text : "");
}

int qt_life_managed(struct qt_life *l, const char *name, struct qt_managed *ret, struct qt_err *e)
{
	char after[QT_IMAGE_MAX + 1] = "";

	for (;;) {
		struct rt_images_req req = {.after = rt_str(after)};
		struct rt_images_rep rep;
		const char *p = NULL, *of[RT_IMAGE_TEXTS];

		if (rt_images(&l->rt, &req, &rep, LIST_BUDGET_MS, e) < 0)
			return -1;
		if (rep.images.n == 0)
			return 0;
		for (uint32_t i = 0; i < rep.images.n; i += RT_IMAGE_TEXTS) {
			for (unsigned k = 0; k < RT_IMAGE_TEXTS; k++)
				of[k] = p = i + k < rep.images.n ? rt_strv_next(&rep.images, p) : "";
			if (qt_streq(of[0], name)) {
				copy_digest(ret->manifest, of[2]);
				copy_digest(ret->config, of[5]);
				copy_digest(ret->layer, of[6]);
				return 1;
			}
			/* A list that does not move on would never end. */
			if (strcmp(of[0], after) <= 0 || !qt_copy(after, sizeof(after), of[0]))
				return qt_fail(e, QT_E_RUNTIME_UNAVAILABLE, "the runtime's list of images is not one");
		}
	}
}

int qt_life_image_file(struct qt_life *l, const char *image, const char *path, uint64_t max, char **ret, size_t *len, struct qt_err *e)
{
	struct rt_image_file_req req = {.image = rt_str(image), .path = rt_str(path)};
	struct rt_image_file_rep rep;
	auto_close int fd = -1;
	auto_free char *data = NULL;
	size_t got = 0;

	if (rt_call(&l->rt, RT_IMAGE_FILE, &req, NULL, &rep, &fd, FILE_BUDGET_MS, e) < 0)
		return -1;
	if (rep.size_bytes > max)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a file of an image is too large to be one");
	data = malloc(rep.size_bytes + 1);
	if (!data)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	while (got < rep.size_bytes) {
		ssize_t n = pread(fd, data + got, rep.size_bytes - got, (off_t)got);

		if (n <= 0)
			return qt_fail_sys(e, n < 0 ? errno : EIO, "read a file of an image");
		got += (size_t)n;
	}
	data[got] = '\0';
	*len = got;
	*ret = qt_take(&data);
	return 0;
}

char *qt_life_img_document(struct qt_life *l, const struct qt_img *i, const char *name, struct qt_err *e)
{
	char *text;
	size_t len;

	return qt_life_image_file(l, i->id.s, name, DOCUMENT_MAX, &text, &len, e) < 0 ? NULL : text;
}

/* --- what a pull and a build do alike ------------------------------------------------------------------------- */

static const char *hex_of(const char *digest)
{
	return digest + (qt_starts(digest, "sha256:") ? strlen("sha256:") : 0);
}

int qt_img_begin(struct qt_life *l, const struct qt_img_begin *b, bool *ret_there, struct qt_err *e)
{
	struct rt_image_begin_req req = {.id = b->id, .tenant = b->tenant, .docker = b->docker};
	char layers[QT_IMG_LAYERS_MAX * (RT_LAYER_NAME_MAX + 1)], blobs[2 * (FT_SHA256 + 1)];
	struct rt_image_begin_rep rep;
	json_t *d;
	size_t n;

	req.layers = (struct rt_strv){layers, 0, 0};
	req.blobs = (struct rt_strv){blobs, 0, 0};
	json_array_foreach((json_t *)(uintptr_t)b->layers, n, d)
		if (!rt_strv_add(&req.layers, layers, sizeof(layers), hex_of(json_string_value(d))))
			return qt_fail(e, QT_E_IMAGE_REFUSED, "the image has too many layers");
	if (*b->manifest && (!rt_strv_add(&req.blobs, blobs, sizeof(blobs), hex_of(b->manifest)) || !rt_strv_add(&req.blobs, blobs, sizeof(blobs), hex_of(b->config))))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a digest too long");
	if (rt_image_begin(&l->rt, &req, &rep, BEGIN_BUDGET_MS, e) < 0)
		return -1;
	*ret_there = rep.there;
	return 0;
}

int qt_img_keep(struct qt_life *l, const struct qt_id *image, const char *digest, int fd, struct qt_err *e)
{
	const struct ft_blob_req req = {.digest = rt_str(hex_of(digest))};
	struct rt_layer_commit_req commit = {.id = *image, .digest = req.digest, .diff_id = rt_str("")};
	auto_files struct qt_files f = {.sock = -1};
	struct rt_layer_commit_rep committed;
	char none[FT_SHA256 + 1];
	struct ft_blob_rep rep;
	bool there = false;

	if (qt_files_open_layer(&f, &l->rt, image, req.digest.s, &there, none, e) < 0)
		return -1;
	if (there)
		return 0;
	if (qt_files_call(&f, FT_BLOB, &req, fd, &rep, sizeof(rep), NULL, NULL, KEEP_BUDGET_MS, e) < 0)
		return -1;
	qt_files_done(&f);
	return rt_layer_commit(&l->rt, &commit, &committed, KEEP_BUDGET_MS, e);
}

int qt_life_img_delete(struct qt_life *l, const struct qt_img *i, struct qt_err *e)
{
	struct rt_obj_delete_req req = {.id = i->id};
	struct rt_obj_delete_rep rep;

	/* The runtime first, since it knows what stands on it; if we die now, the agent finds that it is gone. */
	if (rt_obj_delete(&l->rt, &req, &rep, DELETE_BUDGET_MS, e) < 0)
		return -1;
	if (qt_store_img_remove(l->store, &i->tenant, &i->id, e) == 0 || e->code != QT_E_IMAGE_NOT_FOUND)
		return e->code == QT_OK ? 0 : -1;
	qt_err_reset(e); /* the agent found the rest first */
	return 0;
}

/* As images call machines. */
static const char *this_platform(void)
{
	struct utsname u;

	return uname(&u) == 0 && qt_streq(u.machine, "aarch64") ? "linux/arm64" : "linux/amd64";
}

int qt_life_img_pull(struct qt_life *l, const struct qt_id *tenant, const struct qt_pull *p, struct qt_op *ret, struct qt_err *e)
{
	struct qt_id image = qt_id_new("img");
	struct rt_info_req ask = {0};
	struct rt_info_rep info;
	struct qt_imgref ref;
	int r = 0;

	/* With a runtime that is away the agent would fetch all of it, and have no place for it. */
	if (qt_imgref_parse("/reference", p->reference, &ref, e) < 0 || qt_store_img_room(l->store, tenant, e) < 0 ||
	    rt_info(&l->rt, &ask, &info, INFO_BUDGET_MS, e) < 0)
		return -1;
	qt_op_init(ret);
	ret->id = qt_id_new("op");
	ret->tenant = *tenant;
	ret->type = QT_OPT_IMG_PULL;
	(void)qt_copy(ret->image, sizeof(ret->image), ref.text);
	json_object_set_new(ret->args, "image_id", json_string(image.s));
	json_object_set_new(ret->args, "platform", json_string(p->platform[0] ? p->platform : this_platform()));
	json_object_set_new(ret->args, "force", json_boolean(p->force));
	if (p->user[0]) {
		json_t *secret = json_pack("{s:s, s:s}", "registry_username", p->user, "registry_password", p->password);

		r = qt_secret_put(l->conf, ret, secret, e);
		json_decref(secret);
	}
	if (r == 0)
		r = qt_life_submit_op(l, ret, e);
	if (r == 0)
		return 0;
	qt_secret_drop(l->conf, ret);
	qt_op_done(ret);
	return -1;
}

int qt_life_op_wait(struct qt_life *l, struct qt_op *o, int wait_ms, bool (*gone)(void *arg), void *arg, struct qt_err *e)
{
	const struct timespec gap = {.tv_nsec = LOOK_MS * 1000000L};
	int64_t until = qt_mono_ms() + wait_ms;

	for (;;) {
		struct qt_op now;

		if (qt_store_op_get(l->store, &o->tenant, o->id.s, &now, e) < 0)
			return -1;
		qt_op_done(o);
		*o = now;
		if (qt_op_final(o->status))
			return 0;
		if (qt_left_ms(until) == 0) {
			(void)qt_fail(e, QT_E_TIMEOUT, "the image is still being pulled: operation %s goes on", o->id.s);
			e->hint = "GET /api/operations/{id} tells how far it is; execution=async does not wait.";
			return -1;
		}
		if (gone && gone(arg))
			return qt_fail(e, QT_E_UNAVAILABLE, "the client is gone");
		(void)nanosleep(&gap, NULL);
	}
}
