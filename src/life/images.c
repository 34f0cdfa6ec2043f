#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "cleanup.h"
#include "clock.h"
#include "files.h"
#include "images.h"
#include "imgs.h"
#include "inner.h"
#include "str.h"

#define DELETE_BUDGET_MS 20000
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

char *qt_life_img_document(struct qt_life *l, const struct qt_img *i, const char *name, struct qt_err *e)
{
	struct qt_file f = {.fd = -1, .hold = -1};
	auto_free char *text = NULL;
	size_t len = 0;
	ssize_t n = 1;

	if (qt_life_file_open(l, &i->id, name, DOCUMENT_MAX, &f, e) < 0)
		return NULL;
	text = malloc(f.size + 1);
	while (text && len < f.size && n > 0) {
		n = qt_file_read(&f, text + len, f.size - len, e);
		len += n > 0 ? (size_t)n : 0;
	}
	qt_file_done(&f);
	if (!text || len < f.size) {
		(void)qt_fail(e, QT_E_INTERNAL_ERROR, "a document of an image cannot be read");
		return NULL;
	}
	text[len] = '\0';
	return qt_take(&text);
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
	struct qt_imgref ref;
	int r = 0;

	if (qt_imgref_parse("/reference", p->reference, &ref, e) < 0 || qt_store_img_room(l->store, tenant, e) < 0)
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
