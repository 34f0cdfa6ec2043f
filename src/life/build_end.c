/* The image that a build is for: documents, the runtime's object, Redis. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "build.h"
#include "cleanup.h"
#include "clock.h"
#include "fdio.h"
#include "images.h"
#include "imgs.h"
#include "str.h"

static json_t *config_of(const struct qt_stage *st)
{
	json_t *doc = json_deep_copy(st->config), *ids = json_copy(st->diff_ids), *x;
	char when[32];
	size_t i;

	json_array_foreach(st->taken, i, x)
		json_array_append(ids, json_object_get(x, "digest"));
	qt_iso8601(when, sizeof(when), qt_now_ms());
	json_object_set_new(doc, "created", json_string(when));
	json_object_set_new(doc, "rootfs", json_pack("{s:s, s:o}", "type", "layers", "diff_ids", ids));
	return doc;
}

static json_t *manifest_of(const struct qt_stage *st, const char *config_digest, size_t config_size)
{
	json_t *layers = json_copy(st->descriptors), *x;
	size_t i;

	/* A tree and no blob: its name is a name, and the hash of nothing. */
	json_array_foreach(st->taken, i, x)
		json_array_append_new(layers, json_pack("{s:s, s:O, s:O}", "mediaType", "application/vnd.quilt.layer.v1.tree", "digest",
							json_object_get(x, "digest"), "size", json_object_get(x, "size_bytes")));
	return json_pack("{s:i, s:s, s:{s:s, s:s, s:I}, s:o}", "schemaVersion", 2, "mediaType", "application/vnd.oci.image.manifest.v1+json", "config",
			 "mediaType", "application/vnd.oci.image.config.v1+json", "digest", config_digest, "size", (json_int_t)config_size, "layers", layers);
}

static uint64_t size_of(const json_t *manifest)
{
	uint64_t sum = 0;
	json_t *x;
	size_t i;

	json_array_foreach(json_object_get(manifest, "layers"), i, x)
		sum += (uint64_t)json_integer_value(json_object_get(x, "size"));
	return sum;
}

static void digest_of(char *out, size_t size, const char *text)
{
	char hex[QT_KEY_HEX + 1];

	qt_build_sha(hex, text, strlen(text));
	(void)qt_fmt(out, size, "sha256:%s", hex);
}

static int keep(struct qt_build *b, const struct qt_img *i, const char *digest, const char *text, struct qt_err *e)
{
	auto_close int fd = memfd_create("document", MFD_CLOEXEC);

	if (fd < 0)
		return qt_fail_sys(e, errno, "memory for a document");
	return qt_write_full(fd, text, strlen(text), e) < 0 ? -1 : qt_img_keep(b->l, &i->id, digest, fd, e);
}

static int store(struct qt_build *b, const struct qt_img *i, const char *manifest, const char *config, struct qt_err *e)
{
	const struct qt_img_begin begin = {.id = i->id, .tenant = i->tenant, .layers = i->layers, .manifest = i->manifest_digest, .config = i->config_digest};
	struct rt_image_commit_req req = {.id = i->id, .size_bytes = i->size_bytes};
	auto_free char *record = qt_img_dump(i, e);
	struct rt_image_commit_rep rep;
	bool there = false;

	if (!record) {
		qt_err_reset(e);
		return qt_fail(e, QT_E_IMAGE_REFUSED, "the image's environment and commands are too large");
	}
	req.record = rt_str(record);
	if (qt_img_begin(b->l, &begin, &there, e) < 0)
		return -1;
	if (there)
		return 0;
	if (keep(b, i, i->manifest_digest, manifest, e) < 0 || keep(b, i, i->config_digest, config, e) < 0)
		return -1;
	return rt_image_commit(&b->l->rt, &req, &rep, QT_BUILD_BUDGET_MS, e);
}

static int describe(struct qt_build *b, const struct qt_stage *st, struct qt_img *i, char **ret_manifest, char **ret_config, struct qt_err *e)
{
	auto_json json_t *doc = config_of(st), *manifest = NULL;
	const char *id = json_string_value(json_object_get(b->o->args, "image_id"));

	if (!qt_id_parse(&i->id, "img", id ? id : ""))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the operation does not say which image");
	i->tenant = b->o->tenant;
	(void)qt_copy(i->reference, sizeof(i->reference), b->ref.text);
	(void)qt_copy(i->registry, sizeof(i->registry), b->ref.registry);
	(void)qt_copy(i->repository, sizeof(i->repository), b->ref.repository);
	(void)qt_copy(i->tag, sizeof(i->tag), b->ref.tag);
	(void)qt_copy(i->node, sizeof(i->node), b->l->conf->node);
	i->pulled_ms = qt_now_ms();
	json_array_extend(i->layers, st->layers);
	*ret_config = json_dumps(doc, JSON_COMPACT);
	if (!*ret_config)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	digest_of(i->config_digest, sizeof(i->config_digest), *ret_config);
	manifest = manifest_of(st, i->config_digest, strlen(*ret_config));
	*ret_manifest = json_dumps(manifest, JSON_COMPACT);
	if (!*ret_manifest)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	digest_of(i->manifest_digest, sizeof(i->manifest_digest), *ret_manifest);
	i->size_bytes = size_of(manifest);
	if (i->size_bytes > b->l->conf->image_max_bytes)
		return qt_fail(e, QT_E_IMAGE_REFUSED, "the image is larger than this server's image_max_bytes");
	return qt_img_configure(i, doc, json_array_size(json_object_get(json_object_get(doc, "rootfs"), "diff_ids")), e);
}

int qt_build_finish(struct qt_build *b, struct qt_stage *st, struct qt_err *e)
{
	auto_free char *manifest = NULL, *config = NULL;
	struct qt_img i;
	int r;

	qt_img_init(&i);
	r = describe(b, st, &i, &manifest, &config, e);
	if (r == 0 && store(b, &i, manifest, config, e) < 0)
		r = qt_op_vanished(b->l, e);
	if (r == 0)
		r = qt_store_img_put(b->l->store, &i, e);
	if (r == 0) {
		json_object_set_new(b->o->result, "image", qt_img_view(&i, true));
		qt_img_drop_superseded(b->l, &i);
	} else if (!b->l->op_lost && e->code != QT_E_STORE_UNAVAILABLE && i.id.s[0]) {
		struct rt_obj_delete_req req = {.id = i.id};
		struct rt_obj_delete_rep rep;

		(void)rt_obj_delete(&b->l->rt, &req, &rep, QT_BUILD_BUDGET_MS, &(struct qt_err){0});
	}
	qt_img_done(&i);
	return r;
}
