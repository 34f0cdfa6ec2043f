/* Builds: the stages that the target needs, instruction by instruction. Executed again after a death it begins anew, and finds in the cache what was done. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "build.h"
#include "cleanup.h"
#include "clock.h"
#include "imgs.h"
#include "spool.h"
#include "str.h"

#define FIRST_PCT 5 /* of the progress: the context */
#define LAST_PCT  95

/* --- messages ----------------------------------------------------------------------------------------------- */

/* What the tree, the archive or the command is to blame for is the build's; who should do something about it else is told the reason's own code. */
int qt_build_blame(struct qt_build *b, struct qt_err *e)
{
	static const enum qt_code ours[] = {QT_E_FILE_NOT_FOUND, QT_E_VALIDATION_ERROR, QT_E_ARCHIVE_REFUSED, QT_E_PAYLOAD_TOO_LARGE, QT_E_UNPROCESSABLE_ENTITY,
					    QT_E_BAD_REQUEST};
	struct qt_err why = *e;

	for (size_t i = 0; i < QT_LEN(ours); i++) {
		if (e->code != ours[i])
			continue;
		qt_err_reset(e);
		(void)qt_fail(e, QT_E_BUILD_FAILED, "%s", why.msg);
		break;
	}
	/* What was parsed says its line itself. */
	return b->at ? qt_context(e, "line %u: %s", b->at->line, qt_df_name(b->at->kind)) : -1;
}

/* --- stages ------------------------------------------------------------------------------------------------- */

struct qt_stage *qt_build_stage(struct qt_build *b, const char *text, size_t limit)
{
	for (size_t i = 0; i < limit && i <= b->target; i++) {
		char number[16];

		(void)qt_fmt(number, sizeof(number), "%zu", i);
		if (b->stages[i].from && (strcasecmp(b->stages[i].name, text) == 0 || qt_streq(number, text)) && *text)
			return &b->stages[i];
	}
	return NULL;
}

static bool stage_name_ok(const char *s)
{
	return ((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z')) &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == strlen(s);
}

/* FROM image [AS name]: the words, with global variables put in. */
static json_t *from_words(struct qt_build *b, const struct qt_df_step *s, struct qt_err *e)
{
	json_t *words = qt_df_words(s->rest, b->file.escape, b->globals, e);
	size_t n = json_array_size(words);
	const char *as = json_string_value(json_array_get(words, 1));

	if (!words)
		return NULL;
	if (n == 1 || (n == 3 && strcasecmp(as, "as") == 0 && stage_name_ok(json_string_value(json_array_get(words, 2)))))
		return words;
	json_decref(words);
	return (void)qt_fail(e, QT_E_DOCKERFILE_INVALID, "it takes IMAGE, or IMAGE AS NAME"), NULL;
}

static int add_stage(struct qt_build *b, const struct qt_df_step *s, size_t i, struct qt_err *e)
{
	struct qt_stage *st = &b->stages[b->n_stages];
	auto_json json_t *words = from_words(b, s, e);

	if (!words)
		return -1;
	if (b->n_stages == QT_BUILD_STAGES_MAX)
		return qt_fail(e, QT_E_DOCKERFILE_INVALID, "there are more than %d stages", QT_BUILD_STAGES_MAX);
	qt_stage_init(st);
	b->n_stages++;
	st->from = s;
	st->first = i + 1;
	st->end = b->file.n;
	if (json_array_size(words) == 3 && !qt_copy(st->name, sizeof(st->name), json_string_value(json_array_get(words, 2))))
		return qt_fail(e, QT_E_DOCKERFILE_INVALID, "the stage's name is too long");
	if (b->n_stages > 1)
		st[-1].end = i;
	return 0;
}

static int find_stages(struct qt_build *b, struct qt_err *e)
{
	const char *want = json_string_value(json_object_get(b->o->args, "target_stage"));

	for (size_t i = 0; i < b->file.n; i++) {
		const struct qt_df_step *s = &b->file.v[i];

		b->at = s;
		if (s->kind == QT_DF_FROM) {
			if (add_stage(b, s, i, e) < 0)
				return -1;
		} else if (b->n_stages == 0) {
			if (s->kind != QT_DF_ARG)
				return qt_fail(e, QT_E_DOCKERFILE_INVALID, "only ARG may stand before the first FROM");
			if (qt_build_global_arg(b, s, e) < 0)
				return -1;
		}
	}
	b->at = NULL;
	if (b->n_stages == 0)
		return qt_fail(e, QT_E_DOCKERFILE_INVALID, "there is no FROM");
	b->target = b->n_stages - 1;
	if (want && *want) {
		const struct qt_stage *st = qt_build_stage(b, want, b->n_stages);

		if (!st)
			return qt_fail(e, QT_E_DOCKERFILE_INVALID, "there is no stage %.100s", want);
		b->target = (size_t)(st - b->stages);
	}
	return 0;
}

/* --- steps -------------------------------------------------------------------------------------------------- */

static bool makes_files(enum qt_df_kind k)
{
	return k == QT_DF_RUN || k == QT_DF_COPY || k == QT_DF_ADD;
}

static int do_files(struct qt_build *b, struct qt_stage *st, const struct qt_df_step *s, struct qt_err *e)
{
	int r = s->kind == QT_DF_RUN ? qt_build_run(b, st, s, e) : qt_build_copy(b, st, s, e);

	if (r < 0)
		return -1;
	if (r == 1) {
		/* Its container has not what the cache has. */
		qt_build_drop_ctr(b, st);
		json_array_clear(st->dirs);
		b->cached++;
		qt_build_say(b, "cached");
	}
	qt_build_history(b, st, true);
	return 0;
}

static int do_step(struct qt_build *b, struct qt_stage *st, const struct qt_df_step *s, struct qt_err *e)
{
	unsigned pct = FIRST_PCT + (LAST_PCT - FIRST_PCT) * b->step / (b->total ? b->total : 1);

	if (qt_op_go_on(b->l, b->o, e) < 0)
		return -1;
	b->at = s;
	b->step++;
	qt_df_show(s, b->shown, sizeof(b->shown));
	qt_build_say(b, "step %u/%u, line %u: %s", b->step, b->total, s->line, b->shown);
	if (makes_files(s->kind)) {
		char text[160];

		(void)qt_fmt(text, sizeof(text), "step %u/%u: %.100s", b->step, b->total, b->shown);
		text[qt_utf8_span(text, strlen(text))] = '\0';
		qt_op_progress(b->l, b->o, pct < LAST_PCT ? pct : LAST_PCT, text);
		return do_files(b, st, s, e);
	}
	return qt_build_meta(b, st, s, e);
}

static int do_onbuild(struct qt_build *b, struct qt_stage *st, struct qt_err *e)
{
	json_t *config = json_object_get(st->config, "config"), *list = json_incref(json_object_get(config, "OnBuild")), *x;
	struct qt_buf text = QT_BUF(QT_DF_BYTES);
	struct qt_dockerfile file = {0};
	int r = 0;
	size_t i;

	json_object_del(config, "OnBuild");
	json_array_foreach(list, i, x)
		if (r == 0 && json_is_string(x))
			r = qt_buf_str(&text, json_string_value(x), e) < 0 || qt_buf_str(&text, "\n", e) < 0 ? -1 : 0;
	if (r == 0 && text.len > 0)
		r = qt_df_parse(&file, text.data, text.len, e) < 0 ? qt_context(e, "what the image has by ONBUILD") : 0;
	for (i = 0; r == 0 && i < file.n; i++)
		r = file.v[i].kind == QT_DF_FROM ? qt_fail(e, QT_E_DOCKERFILE_INVALID, "the image has FROM by ONBUILD") : do_step(b, st, &file.v[i], e);
	if (r < 0 && b->at) {
		(void)qt_build_blame(b, e);
		b->at = NULL;
	}
	qt_df_done(&file);
	qt_buf_done(&text);
	json_decref(list);
	return r;
}

static int begin_stage(struct qt_build *b, struct qt_stage *st, struct qt_err *e)
{
	auto_json json_t *words = from_words(b, st->from, e);
	const char *platform = json_string_value(json_object_get(st->from->flags, "platform")), *from = json_string_value(json_array_get(words, 0));
	auto_free char *want = platform && words ? qt_df_expand(platform, b->file.escape, b->globals, e) : NULL;
	struct qt_stage *other;

	if (!words || (platform && !want))
		return -1;
	if (want && !qt_streq(want, qt_build_platform()))
		return qt_fail(e, QT_E_BUILD_UNSUPPORTED, "images are built for %s only", qt_build_platform());
	qt_df_show(st->from, b->shown, sizeof(b->shown));
	b->step++;
	qt_build_say(b, "step %u/%u, line %u: %s", b->step, b->total, st->from->line, b->shown);
	other = qt_build_stage(b, from, (size_t)(st - b->stages));
	if (other) {
		if (qt_build_run_stage(b, other, e) < 0)
			return -1;
		qt_build_from_stage(st, other);
		return 0;
	}
	if (qt_streq(from, "scratch"))
		return qt_build_from_scratch(b, st, e);
	if (!*from)
		return qt_fail(e, QT_E_DOCKERFILE_INVALID, "the image's name is empty: is a variable not set?");
	return qt_build_from_image(b, st, from, e);
}

int qt_build_run_stage(struct qt_build *b, struct qt_stage *st, struct qt_err *e)
{
	const struct qt_df_step *at = b->at;
	char shown[sizeof(b->shown)];
	int r = 0;

	if (st->done)
		return 0;
	if (st->begun)
		return qt_fail(e, QT_E_DOCKERFILE_INVALID, "a stage depends on itself");
	st->begun = true;
	(void)qt_copy(shown, sizeof(shown), b->shown);
	b->at = st->from;
	if (begin_stage(b, st, e) < 0 || do_onbuild(b, st, e) < 0)
		return -1;
	for (size_t i = st->first; r == 0 && i < st->end; i++)
		r = do_step(b, st, &b->file.v[i], e);
	if (r == 0)
		r = qt_build_dirs(b, st, e);
	if (r < 0)
		return -1;
	st->done = true;
	/* It may be copied from; then it is made anew. Until then it takes no part of the quota. */
	qt_build_drop_ctr(b, st);
	b->at = at;
	(void)qt_copy(b->shown, sizeof(b->shown), shown);
	return 0;
}

/* --- the whole ---------------------------------------------------------------------------------------------- */

static void platform_args(struct qt_build *b)
{
	const char *p = qt_build_platform(), *slash = strchr(p, '/');

	json_object_update_new(b->globals, json_pack("{s:s, s:s, s:s%, s:s, s:s, s:s%}", "BUILDPLATFORM", p, "TARGETPLATFORM", p, "BUILDOS", p, (size_t)(slash - p),
						     "BUILDARCH", slash + 1, "TARGETARCH", slash + 1, "TARGETOS", p, (size_t)(slash - p)));
}

static void warn_unused(struct qt_build *b)
{
	const char *name;
	json_t *v;

	json_object_foreach(b->given, name, v) {
		bool used = json_object_get(b->globals, name) != NULL;

		for (size_t i = 0; i < b->n_stages && !used; i++)
			used = json_object_get(b->stages[i].args, name) != NULL;
		if (!used && json_array_size(b->o->warnings) < QT_OP_WARNINGS_MAX)
			json_array_append_new(b->o->warnings, json_sprintf("no ARG takes the build argument %.80s", name));
	}
}

static int build(struct qt_build *b, struct qt_err *e)
{
	if (qt_op_go_on(b->l, b->o, e) < 0 || qt_store_img_room(b->l->store, &b->o->tenant, e) < 0)
		return -1;
	qt_op_progress(b->l, b->o, 0, "unpacking the context");
	if (qt_build_open_context(b, e) < 0)
		return e->code == QT_E_DOCKERFILE_INVALID || e->code == QT_E_BUILD_UNSUPPORTED ? qt_context(e, "Dockerfile") : -1;
	b->total = (unsigned)b->file.n;
	if (find_stages(b, e) < 0 || qt_build_sweep(b, e) < 0)
		return b->at ? qt_build_blame(b, e) : -1;
	if (qt_build_run_stage(b, &b->stages[b->target], e) < 0)
		return qt_build_blame(b, e);
	b->at = NULL;
	if (qt_op_go_on(b->l, b->o, e) < 0)
		return -1;
	qt_op_progress(b->l, b->o, LAST_PCT, "storing the image");
	if (qt_build_finish(b, &b->stages[b->target], e) < 0)
		return -1;
	warn_unused(b);
	json_object_set_new(b->o->result, "steps", json_integer(b->step));
	json_object_set_new(b->o->result, "cached_steps", json_integer(b->cached));
	return 0;
}

static void done(struct qt_build *b)
{
	for (size_t i = 0; i < b->n_stages; i++) {
		if (!b->l->op_lost)
			qt_build_drop_ctr(b, &b->stages[i]);
		qt_stage_done(&b->stages[i]);
	}
	if (!b->l->op_lost)
		qt_build_close_context(b);
	qt_df_done(&b->file);
	json_decref(b->globals);
	json_decref(b->steps);
	qt_buf_done(&b->log);
	free(b->ignore);
}

/* By an earlier try, which was cut off behind it. */
static int there_already(struct qt_life *l, struct qt_op *o, struct qt_err *e)
{
	const char *id = json_string_value(json_object_get(o->args, "image_id"));
	struct qt_img i;

	if (qt_store_img_get(l->store, &o->tenant, id ? id : "", &i, e) < 0) {
		if (e->code != QT_E_IMAGE_NOT_FOUND)
			return -1;
		qt_err_reset(e);
		return 0;
	}
	json_object_set_new(o->result, "image", qt_img_view(&i, true));
	qt_img_done(&i);
	return 1;
}

int qt_op_img_build(struct qt_life *l, struct qt_op *o, struct qt_err *e)
{
	struct qt_build *b = calloc(1, sizeof(*b));
	int r = b ? there_already(l, o, e) : qt_fail(e, QT_E_UNAVAILABLE, "out of memory");

	if (r == 0) {
		b->l = l;
		b->o = o;
		b->globals = json_object();
		b->given = json_object_get(o->args, "build_args");
		b->memory_mb = (uint32_t)json_integer_value(json_object_get(o->args, "memory_limit_mb"));
		b->cpu_centi = (uint32_t)json_integer_value(json_object_get(o->args, "cpu_limit_centi"));
		json_array_clear(o->warnings);
		platform_args(b);
		r = qt_imgref_parse("/image_reference", o->image, &b->ref, e);
		if (r == 0)
			r = build(b, e);
		if (r == 0)
			qt_build_say(b, "done");
		else
			qt_build_say(b, "failed: %s", qt_err_row(e->code)->show ? e->msg : qt_err_row(e->code)->name);
		qt_build_evict(b);
		done(b);
	}
	/* The context stays for the next try exactly when there will be one. */
	if (r >= 0 || !qt_op_leave(l, e))
		qt_spool_drop(l->conf, o);
	free(b);
	return r < 0 ? -1 : 0;
}
