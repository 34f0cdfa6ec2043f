#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "img.h"
#include "num.h"
#include "str.h"

#define IMG(m, type, flags, max, prefix, name, doc) QT_MFIELD(qt_img, m, type, flags, max, prefix, name, doc)

/* clang-format off */
static const struct qt_mfield fields[] = {
	IMG(id,              QT_FT_ID,   QT_CF_REQUIRED, 0, "img", "id",              "img_…"),
	IMG(tenant,          QT_FT_ID,   QT_CF_REQUIRED, 0, "ten", "tenant_id",       "ten_…"),
	IMG(reference,       QT_FT_STR,  QT_CF_REQUIRED, 0, NULL,  "reference",       "registry/repository[:tag][@digest], whole"),
	IMG(registry,        QT_FT_STR,  0, 0, NULL,  "registry",        ""),
	IMG(repository,      QT_FT_STR,  0, 0, NULL,  "repository",      ""),
	IMG(tag,             QT_FT_STR,  0, 0, NULL,  "tag",             "empty: pulled by its digest"),
	IMG(manifest_digest, QT_FT_STR,  QT_CF_REQUIRED, 0, NULL,  "manifest_digest", ""),
	IMG(config_digest,   QT_FT_STR,  0, 0, NULL,  "config_digest",   ""),
	IMG(node,            QT_FT_STR,  0, 0, NULL,  "node",            "the machine that has it"),
	IMG(os,              QT_FT_STR,  0, 0, NULL,  "os",              ""),
	IMG(architecture,    QT_FT_STR,  0, 0, NULL,  "architecture",    ""),
	IMG(untagged,        QT_FT_BOOL, 0, 0, NULL,  "untagged",        "1: its reference means another one by now"),
	IMG(size_bytes,      QT_FT_U64,  0, 0, NULL,  "size_bytes",      "of its layers, as they were sent"),
	IMG(pulled_ms,       QT_FT_MS,   0, 0, NULL,  "pulled_ms",       ""),
	IMG(layers,          QT_FT_LIST, 0, QT_IMG_LAYERS_MAX, NULL, "layers", "JSON array of digests, the bottom first"),
	IMG(workdir,         QT_FT_STR,  0, 0, NULL,  "working_dir",     ""),
	IMG(user,            QT_FT_STR,  0, 0, NULL,  "user",            "name or number, with :group; empty: root"),
	IMG(stop_signal,     QT_FT_U32,  0, 0, NULL,  "stop_signal",     "0: SIGTERM"),
	IMG(env,             QT_FT_LIST, 0, QT_ENV_MAX,  NULL, "env",        "JSON array of NAME=value"),
	IMG(entrypoint,      QT_FT_LIST, 0, QT_ARGV_MAX, NULL, "entrypoint", "JSON array of strings"),
	IMG(cmd,             QT_FT_LIST, 0, QT_ARGV_MAX, NULL, "cmd",        "JSON array of strings"),
};
/* clang-format on */
const struct qt_mtable qt_img_table = {"image", fields, QT_LEN(fields)};

void qt_img_init(struct qt_img *i)
{
	memset(i, 0, sizeof(*i));
	i->layers = json_array();
	i->env = json_array();
	i->entrypoint = json_array();
	i->cmd = json_array();
}

void qt_img_done(struct qt_img *i)
{
	json_decref(i->layers);
	json_decref(i->env);
	json_decref(i->entrypoint);
	json_decref(i->cmd);
	memset(i, 0, sizeof(*i));
}

static json_t *text_or_null(const char *s, bool show)
{
	return show && *s ? json_string(s) : json_null();
}

json_t *qt_img_view(const struct qt_img *i, bool digests)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:I, s:s, s:s, s:O, s:O, s:O, s:o, s:I}", "id", i->id.s, "reference", i->reference,
			 "registry", i->registry, "repository", i->repository, "tag", text_or_null(i->tag, true), "manifest_digest",
			 text_or_null(i->manifest_digest, digests), "config_digest", text_or_null(i->config_digest, digests), "size_bytes",
			 (json_int_t)i->size_bytes, "architecture", i->architecture, "os", i->os, "default_cmd", i->cmd, "entrypoint", i->entrypoint,
			 "env", i->env, "working_dir", text_or_null(i->workdir, true), "pulled_at", (json_int_t)(i->pulled_ms / 1000));
}

char *qt_img_dump(const struct qt_img *i, struct qt_err *e)
{
	return qt_record_dump(&qt_img_table, i, QT_RECORD_MAX, e);
}

int qt_img_load(struct qt_img *ret, const char *text, size_t len, struct qt_err *e)
{
	qt_img_init(ret);
	if (qt_record_load(&qt_img_table, ret, text, len, QT_RECORD_MAX, e) == 0)
		return 0;
	qt_img_done(ret);
	return -1;
}

/* --- out of a registry ----------------------------------------------------------------------------------- */

static int bad(const char *what, struct qt_err *e)
{
	return qt_fail(e, QT_E_IMAGE_REFUSED, "the image's configuration is not acceptable: %s", what);
}

/* Null and absent are nothing. */
static int take_list(json_t **to, const json_t *from, size_t max, const char *what, struct qt_err *e)
{
	size_t bytes = 0, i;
	json_t *v;

	if (!from || json_is_null(from))
		return 0;
	if (!qt_strings_ok(from, false, max))
		return bad(what, e);
	json_array_foreach(from, i, v)
		bytes += json_string_length(v) + 1;
	if (bytes > QT_ARGV_BYTES)
		return bad(what, e);
	json_decref(*to);
	*to = json_incref((json_t *)(uintptr_t)from);
	return 0;
}

static int take_text(char *to, size_t size, const json_t *from, const char *what, struct qt_err *e)
{
	if (!from || json_is_null(from))
		return 0;
	if (!json_is_string(from) || json_string_length(from) != strlen(json_string_value(from)) || !qt_copy(to, size, json_string_value(from)))
		return bad(what, e);
	return 0;
}

static bool plain(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

/* "SIGTERM", "TERM", "15", "SIGRTMIN+3". */
static bool signal_parse(uint32_t *ret, const char *text)
{
	static const struct {
		const char *name;
		int number;
	} names[] = {{"HUP", SIGHUP}, {"INT", SIGINT}, {"QUIT", SIGQUIT}, {"ABRT", SIGABRT}, {"KILL", SIGKILL}, {"USR1", SIGUSR1},
		     {"USR2", SIGUSR2}, {"PIPE", SIGPIPE}, {"ALRM", SIGALRM}, {"TERM", SIGTERM}, {"CONT", SIGCONT}, {"STOP", SIGSTOP},
		     {"TSTP", SIGTSTP}, {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU}, {"WINCH", SIGWINCH}, {"PWR", SIGPWR}};
	const char *name = qt_starts(text, "SIG") ? text + 3 : text;
	uint32_t n;

	if (qt_u32(ret, text, 1, 64))
		return true;
	if (qt_starts(name, "RTMIN+") && qt_u32(&n, name + 6, 0, 30)) {
		*ret = 34 + n;
		return true;
	}
	for (size_t i = 0; i < QT_LEN(names); i++)
		if (qt_streq(names[i].name, name)) {
			*ret = (uint32_t)names[i].number;
			return true;
		}
	return false;
}

static int take_run(struct qt_img *i, const json_t *config, struct qt_err *e)
{
	const json_t *run = json_object_get(config, "config");
	char sig[32] = "";
	json_t *v;
	size_t n;

	if (take_list(&i->env, json_object_get(run, "Env"), QT_ENV_MAX, "Env", e) < 0 ||
	    take_list(&i->entrypoint, json_object_get(run, "Entrypoint"), QT_ARGV_MAX, "Entrypoint", e) < 0 ||
	    take_list(&i->cmd, json_object_get(run, "Cmd"), QT_ARGV_MAX, "Cmd", e) < 0 ||
	    take_text(i->workdir, sizeof(i->workdir), json_object_get(run, "WorkingDir"), "WorkingDir", e) < 0 ||
	    take_text(i->user, sizeof(i->user), json_object_get(run, "User"), "User", e) < 0 ||
	    take_text(sig, sizeof(sig), json_object_get(run, "StopSignal"), "StopSignal", e) < 0)
		return -1;
	json_array_foreach(i->env, n, v)
		if (!strchr(json_string_value(v), '=') || json_string_value(v)[0] == '=')
			return bad("Env", e);
	if ((i->workdir[0] && i->workdir[0] != '/') || !plain(i->workdir))
		return bad("WorkingDir", e);
	if (strspn(i->user, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:") != strlen(i->user))
		return bad("User", e);
	if (sig[0] && !signal_parse(&i->stop_signal, sig))
		return bad("StopSignal", e);
	return 0;
}

int qt_img_configure(struct qt_img *i, const json_t *config, size_t n_layers, struct qt_err *e)
{
	const json_t *rootfs = json_object_get(config, "rootfs"), *ids = json_object_get(rootfs, "diff_ids");
	json_t *v;
	size_t n;

	if (!json_is_object(config) || !json_is_array(ids) || json_array_size(ids) != n_layers)
		return bad("rootfs.diff_ids does not fit the manifest", e);
	json_array_foreach(ids, n, v)
		if (!json_is_string(v) || !qt_digest_ok(json_string_value(v)))
			return bad("rootfs.diff_ids", e);
	if (take_text(i->os, sizeof(i->os), json_object_get(config, "os"), "os", e) < 0 ||
	    take_text(i->architecture, sizeof(i->architecture), json_object_get(config, "architecture"), "architecture", e) < 0)
		return -1;
	if (!plain(i->os) || !plain(i->architecture))
		return bad("os, architecture", e);
	return take_run(i, config, e);
}

static json_t *copy_text(const json_t *from)
{
	return json_is_string(from) ? json_incref((json_t *)(uintptr_t)from) : json_string("");
}

json_t *qt_img_history(const json_t *config)
{
	json_t *out = json_array(), *h;
	size_t n;

	json_array_foreach(json_object_get(config, "history"), n, h)
		if (json_is_object(h))
			json_array_append_new(out, json_pack("{s:o, s:o, s:b, s:o}", "created", copy_text(json_object_get(h, "created")),
							     "created_by", copy_text(json_object_get(h, "created_by")), "empty_layer",
							     json_is_true(json_object_get(h, "empty_layer")), "comment",
							     copy_text(json_object_get(h, "comment"))));
	return out;
}

/* --- into a container -------------------------------------------------------------------------------------- */

static void take_env(struct qt_ctr *c, const struct qt_img *i)
{
	json_t *v;
	size_t n;

	json_object_clear(c->image_env);
	json_array_foreach(i->env, n, v) {
		const char *s = json_string_value(v), *eq = strchr(s, '=');

		if (eq)
			json_object_setn_new(c->image_env, s, (size_t)(eq - s), json_string(eq + 1));
	}
}

void qt_ctr_take_image(struct qt_ctr *c, const struct qt_img *i)
{
	c->oci = true;
	c->image_id = i->id;
	(void)qt_copy(c->image, sizeof(c->image), i->reference);
	(void)qt_copy(c->user, sizeof(c->user), i->user);
	c->stop_signal = i->stop_signal;
	take_env(c, i);
	if (!c->workdir[0])
		(void)qt_copy(c->workdir, sizeof(c->workdir), i->workdir);
	if (json_array_size(c->command) > 0)
		return;
	json_decref(c->command);
	c->command = json_array();
	json_array_extend(c->command, i->entrypoint);
	json_array_extend(c->command, i->cmd);
}
