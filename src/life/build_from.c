/* What a stage begins with. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build.h"
#include "cleanup.h"
#include "clock.h"
#include "files/files_client.h"
#include "images.h"
#include "imgs.h"
#include "str.h"

#define COMMIT_MS 300000
#define CONTRACT  "io.quilt.image" /* the label of managed images (scripts/lib/layout.sh) */

void qt_stage_init(struct qt_stage *st)
{
	st->layers = json_array();
	st->diff_ids = json_array();
	st->descriptors = json_array();
	st->taken = json_array();
	st->env = json_object();
	st->args = json_object();
	st->dirs = json_array();
	st->shell = json_pack("[s, s]", "/bin/sh", "-c");
}

void qt_stage_done(struct qt_stage *st)
{
	json_t *const all[] = {st->layers, st->diff_ids, st->descriptors, st->taken, st->config, st->env, st->args, st->shell, st->dirs, st->ctr_layers, st->ctr_taken};

	for (size_t i = 0; i < QT_LEN(all); i++)
		json_decref(all[i]);
	if (st->has_ctr)
		qt_ctr_done(&st->c);
}

static void replace(json_t **at, json_t *with)
{
	json_decref(*at);
	*at = with;
}

static json_t *object_in(json_t *in, const char *name, json_t *made)
{
	json_t *is = json_object_get(in, name);

	if (json_typeof(made) == (is ? json_typeof(is) : JSON_NULL)) {
		json_decref(made);
		return is;
	}
	json_object_set_new(in, name, made);
	return made;
}

/* Environment and shell as the configuration has them. */
static void read_config(struct qt_stage *st)
{
	json_t *config = object_in(st->config, "config", json_object()), *shell, *x;
	size_t i;

	(void)object_in(st->config, "history", json_array());
	json_array_foreach(json_object_get(config, "Env"), i, x) {
		const char *text = json_string_value(x), *eq = text ? strchr(text, '=') : NULL;
		char name[256];

		if (eq && eq > text && qt_fmt(name, sizeof(name), "%.*s", (int)(eq - text), text))
			json_object_set_new(st->env, name, json_string(eq + 1));
	}
	shell = json_object_get(config, "Shell");
	if (json_array_size(shell) > 0)
		replace(&st->shell, json_copy(shell));
}

void qt_build_from_stage(struct qt_stage *st, const struct qt_stage *other)
{
	st->image = other->image;
	(void)qt_copy(st->key, sizeof(st->key), other->key);
	replace(&st->layers, json_copy(other->layers));
	replace(&st->diff_ids, json_copy(other->diff_ids));
	replace(&st->descriptors, json_copy(other->descriptors));
	replace(&st->taken, json_copy(other->taken));
	replace(&st->config, json_deep_copy(other->config));
	json_object_del(json_object_get(st->config, "config"), "OnBuild");
	read_config(st);
}

/* --- out of a registry ------------------------------------------------------------------------------------- */

/* A pull within this operation: its progress is not told, its end is. */
static int pull(struct qt_build *b, const struct qt_imgref *ref, struct qt_err *e)
{
	struct qt_id image = qt_id_new("img");
	auto_op struct qt_op o = {0};

	qt_build_say(b, "pulling %s", ref->text);
	qt_op_init(&o);
	o.id = b->o->id;
	o.tenant = b->o->tenant;
	o.type = QT_OPT_IMG_PULL;
	o.deadline_ms = b->o->deadline_ms;
	(void)qt_copy(o.image, sizeof(o.image), ref->text);
	json_object_set_new(o.args, "image_id", json_string(image.s));
	json_object_set_new(o.args, "platform", json_string(qt_build_platform()));
	return qt_op_img_pull(b->l, &o, e);
}

static int find(struct qt_build *b, const char *reference, struct qt_img *ret, struct qt_err *e)
{
	struct qt_imgref ref;

	if (qt_imgref_parse("", reference, &ref, e) < 0)
		return -1;
	if (qt_store_img_get(b->l->store, &b->o->tenant, ref.text, ret, e) == 0)
		return 0;
	if (e->code != QT_E_IMAGE_NOT_FOUND)
		return -1;
	qt_err_reset(e);
	return pull(b, &ref, e) < 0 ? -1 : qt_store_img_get(b->l->store, &b->o->tenant, ref.text, ret, e);
}

static void image_key(struct qt_stage *st, const struct qt_img *i)
{
	qt_build_key(st->key, "from", i->manifest_digest, i->config_digest, NULL);
}

static int take(struct qt_build *b, struct qt_stage *st, const struct qt_img *i, struct qt_err *e)
{
	auto_free char *manifest = qt_life_img_document(b->l, i, "manifest.json", e), *config = manifest ? qt_life_img_document(b->l, i, "config.json", e) : NULL;
	auto_json json_t *doc = NULL;
	json_t *x;

	if (!config)
		return qt_op_vanished(b->l, e);
	doc = json_loads(manifest, 0, NULL);
	replace(&st->config, json_loads(config, JSON_REJECT_DUPLICATES, NULL));
	if (!doc || !json_is_object(st->config))
		return qt_fail(e, QT_E_IMAGE_REFUSED, "the documents of the image are not JSON");
	replace(&st->layers, json_copy(i->layers));
	x = json_object_get(json_object_get(st->config, "rootfs"), "diff_ids");
	if (json_is_array(x))
		replace(&st->diff_ids, json_copy(x));
	x = json_object_get(doc, "layers");
	if (json_is_array(x))
		replace(&st->descriptors, json_deep_copy(x));
	json_object_del(st->config, "rootfs");
	/* What is built on a managed image is none, and need not keep its contract. */
	json_object_del(json_object_get(json_object_get(st->config, "config"), "Labels"), CONTRACT);
	st->image = i->id;
	read_config(st);
	image_key(st, i);
	return 0;
}

/* --- nothing ------------------------------------------------------------------------------------------------ */

/* A tar of nothing, by its true digest: every image that begins with nothing shares it. */
static const char nothing[1024];

static int make_layer(struct qt_build *b, const struct qt_id *image, const char *hex, struct qt_err *e)
{
	const struct ft_layer_req req = {.digest = rt_str(hex)};
	struct rt_layer_commit_req commit = {.id = *image, .digest = rt_str(hex), .diff_id = rt_str(hex)};
	char diff_id[FT_SHA256 + 1] = "";
	struct rt_layer_commit_rep committed;
	auto_close int fd = qt_build_file(b, e);
	auto_files struct qt_files f = {.sock = -1};
	struct ft_layer_rep rep;
	bool there = false;

	if (fd < 0 || qt_files_open_layer(&f, &b->l->rt, image, hex, &there, diff_id, e) < 0)
		return -1;
	if (there)
		return 0;
	if (write(fd, nothing, sizeof(nothing)) != (ssize_t)sizeof(nothing))
		return qt_fail(e, QT_E_INSUFFICIENT_STORAGE, "no room for a file of the build");
	if (qt_files_call(&f, FT_LAYER, &req, fd, &rep, sizeof(rep), NULL, NULL, QT_BUILD_BUDGET_MS, e) < 0)
		return -1;
	qt_files_done(&f);
	return rt_layer_commit(&b->l->rt, &commit, &committed, COMMIT_MS, e);
}

/* The step that ST begins with, of its layers, which are there but for the one of nothing (HEX, or NULL); MANIFEST and CONFIG: digests, or "". */
static int make_step(struct qt_build *b, struct qt_stage *st, const char *manifest, const char *config, const char *hex, struct qt_err *e)
{
	const struct qt_img_begin begin = {.id = qt_id_new("img"), .tenant = b->o->tenant, .layers = st->layers, .manifest = manifest, .config = config};
	auto_free char *record = qt_build_step_dump(b, &begin.id, st->key, st->layers, st->taken, 0);
	struct rt_image_commit_req commit = {.id = begin.id};
	struct rt_image_commit_rep done;
	bool there;

	if (!record)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	commit.record = rt_str(record);
	if (qt_img_begin(b->l, &begin, &there, e) < 0)
		return -1;
	if ((hex && make_layer(b, &begin.id, hex, e) < 0) || rt_image_commit(&b->l->rt, &commit, &done, QT_BUILD_BUDGET_MS, e) < 0) {
		struct rt_obj_delete_req del = {.id = begin.id};
		struct rt_obj_delete_rep gone;

		(void)rt_obj_delete(&b->l->rt, &del, &gone, QT_BUILD_BUDGET_MS, &(struct qt_err){0});
		return qt_op_vanished(b->l, e);
	}
	json_array_append_new(b->steps, json_loads(record, 0, NULL));
	st->image = begin.id;
	return 0;
}

int qt_build_from_scratch(struct qt_build *b, struct qt_stage *st, struct qt_err *e)
{
	char hex[QT_KEY_HEX + 1], digest[QT_DIGEST_MAX + 1];
	int there;

	qt_build_sha(hex, nothing, sizeof(nothing));
	(void)qt_fmt(digest, sizeof(digest), "sha256:%s", hex);
	qt_build_key(st->key, "scratch", NULL);
	replace(&st->config, json_pack("{s:s, s:s}", "architecture", strchr(qt_build_platform(), '/') + 1, "os", "linux"));
	read_config(st);
	replace(&st->layers, json_pack("[s]", digest));
	replace(&st->diff_ids, json_pack("[s]", digest));
	replace(&st->descriptors, json_pack("[{s:s, s:s, s:i}]", "mediaType", "application/vnd.oci.image.layer.v1.tar", "digest", digest, "size",
					    (int)sizeof(nothing)));
	there = qt_build_cached(b, st, st->key, e);
	return there != 0 ? (there < 0 ? -1 : 0) : make_step(b, st, "", "", hex, e);
}

/* --- a managed one ------------------------------------------------------------------------------------------- */

static int make_managed(struct qt_build *b, struct qt_stage *st, const struct qt_managed *m, struct qt_err *e)
{
	if (make_step(b, st, m->manifest, m->config, NULL, e) == 0)
		return 0;
	if (e->code != QT_E_CONFLICT)
		return -1;
	/* What was listed went before it was named: a new version came. */
	qt_err_reset(e);
	(void)qt_fail(e, QT_E_IMAGE_NOT_FOUND, "the image on this node is not whole");
	return qt_op_vanished(b->l, e);
}

/* A step names its layer and its documents, so they stay whatever becomes of the version; from there on it is an image as any other. */
static int from_managed(struct qt_build *b, struct qt_stage *st, const char *name, const struct qt_managed *m, struct qt_err *e)
{
	struct qt_img i;
	int r;

	if (!*m->manifest || !*m->config || !*m->layer)
		return qt_fail(e, QT_E_IMAGE_REFUSED, "the image %s was made by an older quiltd: the operator makes it anew (quiltctl image build)", name);
	qt_build_say(b, "the managed image %s, %s", name, m->manifest);
	qt_img_init(&i);
	(void)qt_copy(i.manifest_digest, sizeof(i.manifest_digest), m->manifest);
	(void)qt_copy(i.config_digest, sizeof(i.config_digest), m->config);
	json_array_append_new(i.layers, json_string(m->layer));
	image_key(st, &i);
	replace(&st->layers, json_copy(i.layers));
	r = qt_build_cached(b, st, st->key, e);
	if (r == 0)
		r = make_managed(b, st, m, e);
	i.id = st->image;
	if (r >= 0)
		r = take(b, st, &i, e);
	qt_img_done(&i);
	return r;
}

int qt_build_from_image(struct qt_build *b, struct qt_stage *st, const char *reference, struct qt_err *e)
{
	struct qt_managed m;
	struct qt_img i;
	int r = strpbrk(reference, "/:@") ? 0 : qt_life_managed(b->l, reference, &m, e);

	if (r != 0)
		return r < 0 ? -1 : from_managed(b, st, reference, &m, e);
	if (find(b, reference, &i, e) < 0)
		return -1;
	r = take(b, st, &i, e);
	qt_img_done(&i);
	return r;
}
