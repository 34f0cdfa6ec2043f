#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "handlers.h"
#include "images.h"
#include "imgs.h"
#include "query.h"
#include "str.h"

#define PULL_WAIT_MS 280000

/* What the operation ended with, as this request's error. */
static int ended(const struct qt_op *o, struct qt_err *e)
{
	if (o->status == QT_OP_CANCELLED)
		return qt_fail(e, QT_E_CONFLICT, "the pull was cancelled");
	if (qt_err_parse(o->error_code) != QT_OK)
		return qt_fail(e, qt_err_parse(o->error_code), "%s", o->error);
	return qt_fail(e, QT_E_INTERNAL_ERROR, "the pull ended as %s", qt_op_status_name(o->status));
}

int qt_h_img_pull(struct qt_call *c, struct qt_err *e)
{
	const struct qt_img_pull_req *q = c->req;
	const struct qt_pull p = {.reference = q->reference, .platform = q->platform, .force = q->force, .user = q->user, .password = q->password};
	auto_op struct qt_op o = {0};

	if (qt_life_img_pull(c->life, &c->tenant, &p, &o, e) < 0)
		return -1;
	if (qt_h_async(c)) {
		qt_h_receipt_of(c, &o);
		return 0;
	}
	if (qt_life_op_wait(c->life, &o, PULL_WAIT_MS, c->gone, c->gone_arg, e) < 0)
		return -1;
	if (o.status != QT_OP_SUCCEEDED)
		return ended(&o, e);
	c->reply = json_pack("{s:b, s:O}", "success", 1, "image", json_object_get(o.result, "image"));
	return c->reply ? 0 : qt_fail(e, QT_E_INTERNAL_ERROR, "the operation has no image");
}

int qt_h_img_list(struct qt_call *c, struct qt_err *e)
{
	const char *filter = qt_query_str(c, "filter", "");
	bool digests = qt_streq(qt_query_str(c, "include_digests", "false"), "true");
	struct qt_img_list list;
	json_t *items;

	if (qt_store_img_list(c->life->store, &c->tenant, &list, e) < 0)
		return -1;
	items = json_array();
	for (size_t i = 0; i < list.n; i++)
		if (!list.v[i].untagged && strstr(list.v[i].reference, filter))
			json_array_append_new(items, qt_img_view(&list.v[i], digests));
	qt_img_list_done(&list);
	c->reply = json_pack("{s:o}", "images", items);
	return 0;
}

static int get(struct qt_call *c, struct qt_img *ret, struct qt_err *e)
{
	const char *reference = qt_query_str(c, "reference", "");

	if (!*reference)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "reference", "the image's reference", "the query does not say which image");
	return qt_life_img_get(c->life, &c->tenant, "reference", reference, ret, e);
}

static json_t *layers_of(const json_t *manifest)
{
	json_t *out = json_array(), *l;
	size_t i;

	json_array_foreach(json_object_get(manifest, "layers"), i, l)
		json_array_append_new(out, json_pack("{s:O, s:O, s:O}", "digest", json_object_get(l, "digest"), "size_bytes", json_object_get(l, "size"),
						     "media_type", json_object_get(l, "mediaType")));
	return out;
}

/* Documents out of a registry: text as it came, but for what is not UTF-8, which no JSON string can hold. */
static json_t *text_of(const char *s)
{
	return qt_text_of(s, strlen(s));
}

int qt_h_img_inspect(struct qt_call *c, struct qt_err *e)
{
	auto_img struct qt_img i = {0};
	auto_free char *manifest = NULL, *config = NULL;
	json_t *doc;

	if (get(c, &i, e) < 0)
		return -1;
	manifest = qt_life_img_document(c->life, &i, "manifest.json", e);
	config = manifest ? qt_life_img_document(c->life, &i, "config.json", e) : NULL;
	if (!config)
		return -1;
	doc = json_loads(manifest, 0, NULL);
	c->reply = json_pack("{s:o, s:o, s:o, s:o}", "image", qt_img_view(&i, true), "layers", layers_of(doc), "manifest_json", text_of(manifest),
			     "config_json", text_of(config));
	json_decref(doc);
	return 0;
}

int qt_h_img_history(struct qt_call *c, struct qt_err *e)
{
	auto_img struct qt_img i = {0};
	auto_free char *config = NULL;
	json_t *doc;

	if (get(c, &i, e) < 0)
		return -1;
	config = qt_life_img_document(c->life, &i, "config.json", e);
	if (!config)
		return -1;
	doc = json_loads(config, 0, NULL);
	c->reply = json_pack("{s:o}", "history", qt_img_history(doc));
	json_decref(doc);
	return 0;
}

int qt_h_img_delete(struct qt_call *c, struct qt_err *e)
{
	auto_img struct qt_img i = {0};

	if (get(c, &i, e) < 0 || qt_life_img_delete(c->life, &i, e) < 0)
		return -1;
	c->reply = json_pack("{s:b}", "success", 1);
	return 0;
}
