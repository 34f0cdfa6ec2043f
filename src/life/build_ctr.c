/* The containers of a build. Their ids are made of the operation's, so that whoever takes it up after a death finds them; whatever happens to the operation, the agent
 * takes them away when it is over (settle.c). */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build.h"
#include "cleanup.h"
#include "clock.h"
#include "files/files_client.h"
#include "images.h"
#include "str.h"

#define COMMIT_MS 300000

static bool id_of(const struct qt_build *b, size_t stage, struct qt_id *ret)
{
	char text[QT_ID_MAX + 1];

	return qt_fmt(text, sizeof(text), "ctr_%sb%zu", b->o->id.s + strlen("op_"), stage) && qt_id_parse(ret, "ctr", text);
}

static int take_away(struct qt_build *b, const struct qt_ctr *c, struct qt_err *e)
{
	struct rt_delete_req req = {.id = c->id};
	struct rt_delete_rep rep;

	if (rt_delete(&b->l->rt, &req, &rep, QT_BUILD_BUDGET_MS, e) < 0 && e->code != QT_E_CONTAINER_NOT_FOUND)
		return -1;
	qt_err_reset(e);
	if (qt_store_ctr_remove(b->l->store, &c->tenant, &c->id, e) < 0 && e->code != QT_E_CONTAINER_NOT_FOUND)
		return -1;
	qt_err_reset(e);
	return 0;
}

/* Nobody else makes one of this id. What stands there is what qt_life_unmake() could only mark, since the runtime was away; the mender comes for it too late. */
static int reserve(struct qt_build *b, struct qt_ctr *c, struct qt_err *e)
{
	if (qt_life_reserve_for(b->l, c, QT_BRING_UP_MS, e) == 0)
		return 0;
	if (e->code != QT_E_CONFLICT)
		return -1;
	qt_err_reset(e);
	return take_away(b, c, e) < 0 ? -1 : qt_life_reserve_for(b->l, c, QT_BRING_UP_MS, e);
}

static int make(struct qt_build *b, struct qt_stage *st, struct qt_err *e)
{
	struct qt_bringing how = {.no_start = true, .keep = true, .budget_ms = QT_BUILD_BUDGET_MS};
	struct qt_ctr *c = &st->c;
	struct qt_ready ready;

	qt_ctr_init(c);
	if (!id_of(b, (size_t)(st - b->stages), &c->id))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the operation's id is too long");
	c->tenant = b->o->tenant;
	c->build = b->o->id;
	c->oci = true;
	c->image_id = st->image;
	c->memory_mb = b->memory_mb;
	c->cpu_centi = b->cpu_centi;
	(void)qt_copy(c->image, sizeof(c->image), b->ref.text);
	(void)qt_copy(c->workdir, sizeof(c->workdir), "/");
	(void)qt_fmt(c->name, sizeof(c->name), "build-%s-%zu", b->o->id.s + strlen("op_"), (size_t)(st - b->stages));
	if (reserve(b, c, e) < 0)
		return -1;
	if (qt_life_bring(b->l, c, &how, &ready, e) == 0)
		return 0;
	if (!qt_op_leave(b->l, e))
		qt_life_unmake(b->l, c);
	return -1;
}

static int ensure(struct qt_build *b, struct qt_stage *st, struct qt_err *e)
{
	if (st->has_ctr)
		return 0;
	if (make(b, st, e) < 0) {
		qt_ctr_done(&st->c);
		return -1;
	}
	st->has_ctr = true;
	st->ctr_layers = json_incref(st->layers);
	st->ctr_taken = json_incref(st->taken);
	return 0;
}

static int make_dirs(struct qt_build *b, struct qt_stage *st, struct qt_err *e)
{
	auto_files struct qt_files f = {.sock = -1};
	static const char nothing[1024];
	auto_close int fd = -1;
	json_t *dir;
	size_t i;

	if (json_array_size(st->dirs) == 0)
		return 0;
	fd = qt_build_file(b, e);
	if (fd < 0 || write(fd, nothing, sizeof(nothing)) != (ssize_t)sizeof(nothing))
		return fd < 0 ? -1 : qt_fail(e, QT_E_INSUFFICIENT_STORAGE, "no room for a file of the build");
	if (qt_files_open_build(&f, &b->l->rt, &st->c.id, e) < 0)
		return -1;
	json_array_foreach(st->dirs, i, dir) {
		/* An archive of nothing: where it would go to is made. */
		const struct ft_extract_req req = {.path = rt_str(json_string_value(dir)), .name = rt_str("")};
		struct ft_extract_rep rep;

		if (qt_files_call(&f, FT_EXTRACT, &req, fd, &rep, sizeof(rep), NULL, NULL, QT_BUILD_BUDGET_MS, e) < 0)
			return -1;
	}
	json_array_clear(st->dirs);
	return 0;
}

int qt_build_up(struct qt_build *b, struct qt_stage *st, struct qt_err *e)
{
	const char *user = json_string_value(json_object_get(json_object_get(st->config, "config"), "User"));

	if (qt_op_go_on(b->l, b->o, e) < 0)
		return -1;
	if (ensure(b, st, e) < 0)
		return qt_op_vanished(b->l, e); /* the base is untagged by another build's pull, and goes */
	if (!qt_copy(st->c.user, sizeof(st->c.user), user ? user : ""))
		return qt_fail(e, QT_E_DOCKERFILE_INVALID, "the user is too long");
	json_decref(st->c.environment);
	st->c.environment = qt_build_vars(st);
	if (st->c.state == QT_ST_RUNNING)
		return 0;
	return qt_life_start(b->l, &st->c, e) < 0 || make_dirs(b, st, e) < 0 ? -1 : 0;
}

static int commit(struct qt_build *b, struct qt_stage *st, const struct qt_id *image, const char *key, json_t *layers, json_t *taken, const char *name,
		  struct qt_err *e)
{
	struct rt_layer_take_req take = {.id = st->c.id, .image = *image, .digest = rt_str(name)};
	struct rt_layer_commit_req keep = {.id = *image, .digest = rt_str(name), .diff_id = rt_str(name)};
	struct rt_image_commit_req whole = {.id = *image};
	struct rt_layer_take_rep took;
	struct rt_layer_commit_rep kept;
	struct rt_image_commit_rep done;
	auto_free char *record = NULL;
	char digest[QT_DIGEST_MAX + 1];

	if (rt_layer_take(&b->l->rt, &take, &took, QT_BUILD_COPY_MS, e) < 0 || rt_layer_commit(&b->l->rt, &keep, &kept, COMMIT_MS, e) < 0)
		return -1;
	(void)qt_fmt(digest, sizeof(digest), "sha256:%s", name);
	json_array_append_new(taken, json_pack("{s:s, s:I}", "digest", digest, "size_bytes", (json_int_t)took.size_bytes));
	record = qt_build_step_dump(b, image, key, layers, taken, took.size_bytes);
	if (!record)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	whole.record = rt_str(record);
	whole.size_bytes = took.size_bytes;
	if (rt_image_commit(&b->l->rt, &whole, &done, QT_BUILD_BUDGET_MS, e) < 0)
		return -1;
	if (b->steps)
		json_array_append_new(b->steps, json_loads(record, 0, NULL));
	return 0;
}

int qt_build_take(struct qt_build *b, struct qt_stage *st, const char *key, struct qt_err *e)
{
	struct qt_id image = qt_id_new("img");
	auto_json json_t *layers = json_copy(st->ctr_layers), *taken = json_copy(st->ctr_taken);
	const struct qt_img_begin begin = {.id = image, .tenant = b->o->tenant, .layers = layers, .manifest = "", .config = ""};
	char name[RT_LAYER_NAME_MAX + 1];
	bool there;
	int r;

	if (st->c.state == QT_ST_RUNNING && qt_life_kill(b->l, &st->c, e) < 0)
		return -1;
	rt_layer_name(name, &image);
	json_array_append_new(layers, json_sprintf("sha256:%s", name));
	r = qt_img_begin(b->l, &begin, &there, e);
	if (r == 0)
		r = commit(b, st, &image, key, layers, taken, name, e);
	if (r < 0) {
		struct rt_obj_delete_req del = {.id = image};
		struct rt_obj_delete_rep gone;

		(void)rt_obj_delete(&b->l->rt, &del, &gone, QT_BUILD_BUDGET_MS, &(struct qt_err){0});
		return qt_op_vanished(b->l, e);
	}
	st->image = image;
	json_decref(st->layers);
	json_decref(st->taken);
	st->layers = qt_take(&layers);
	st->taken = qt_take(&taken);
	(void)qt_copy(st->key, sizeof(st->key), key);
	return 0;
}

void qt_build_drop_ctr(struct qt_build *b, struct qt_stage *st)
{
	struct qt_err ignored = {0};

	if (!st->has_ctr)
		return;
	st->has_ctr = false;
	/* At once: nothing in it is worth the time that a command has to end by itself. */
	if (st->c.state == QT_ST_RUNNING)
		(void)qt_life_kill(b->l, &st->c, &ignored);
	qt_life_unmake(b->l, &st->c);
	qt_ctr_done(&st->c);
	json_decref(qt_take(&st->ctr_layers));
	json_decref(qt_take(&st->ctr_taken));
}

int qt_build_sweep(struct qt_build *b, struct qt_err *e)
{
	/* Also those of images to copy from, which are no stages yet: they would take of the quota. */
	for (size_t i = 0; b->l->op_anew && i < QT_BUILD_STAGES_MAX; i++) {
		struct qt_ctr c;
		struct qt_id id;

		if (!id_of(b, i, &id))
			continue;
		if (qt_store_ctr_get(b->l->store, &b->o->tenant, id.s, &c, e) < 0) {
			if (e->code != QT_E_CONTAINER_NOT_FOUND)
				return -1;
			qt_err_reset(e);
			continue;
		}
		qt_life_unmake(b->l, &c);
		qt_ctr_done(&c);
	}
	return 0;
}
