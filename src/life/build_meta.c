/* Instructions that change the configuration alone. They are done anew by each build: the cache has files only. */
#include <ctype.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>

#include "build.h"
#include "cleanup.h"
#include "clock.h"
#include "num.h"
#include "str.h"

const char *qt_build_platform(void)
{
	struct utsname u;

	return uname(&u) == 0 && qt_streq(u.machine, "aarch64") ? "linux/arm64" : "linux/amd64";
}

json_t *qt_build_vars(const struct qt_stage *st)
{
	json_t *vars = json_copy(st->args);

	json_object_update(vars, st->env);
	return vars;
}

const char *qt_stage_workdir(const struct qt_stage *st)
{
	const char *dir = json_string_value(json_object_get(json_object_get(st->config, "config"), "WorkingDir"));

	return dir && *dir == '/' ? dir : "/";
}

bool qt_stage_path(const struct qt_stage *st, const char *path, char *out, size_t size)
{
	char text[2 * QT_WORKDIR_MAX + 4096];
	size_t n = strlen(path), at = 0;
	char *save = NULL;
	bool slash = n > 0 && path[n - 1] == '/';

	if (!qt_fmt(text, sizeof(text), "%s/%s", *path == '/' ? "" : qt_stage_workdir(st), path))
		return false;
	slash = slash || qt_streq(path, ".") || qt_streq(path, "..") || (n > 1 && qt_streq(path + n - 2, "/."));
	for (char *p = strtok_r(text, "/", &save); p; p = strtok_r(NULL, "/", &save)) {
		n = strlen(p);
		if (qt_streq(p, "."))
			continue;
		if (qt_streq(p, "..")) {
			while (at > 0 && out[--at] != '/')
				;
			continue;
		}
		if (at + n + 3 > size)
			return false;
		out[at++] = '/';
		memcpy(out + at, p, n);
		at += n;
	}
	if (at == 0 || slash)
		out[at++] = '/';
	out[at] = '\0';
	return true;
}

void qt_build_history(struct qt_build *b, struct qt_stage *st, bool layer)
{
	json_t *history = json_object_get(st->config, "history");
	char when[32];

	qt_iso8601(when, sizeof(when), qt_now_ms());
	json_array_append_new(history, json_pack("{s:s, s:s, s:b}", "created", when, "created_by", b->shown, "empty_layer", !layer));
}

/* --- each ------------------------------------------------------------------------------------------------- */

struct meta {
	struct qt_build *b;
	struct qt_stage *st;
	const struct qt_df_step *s;
	json_t *config; /* its member "config" */
	json_t *vars;
};

static char *expand(const struct meta *m, struct qt_err *e)
{
	return qt_df_expand(m->s->rest, m->b->file.escape, m->vars, e);
}

static int store_env(struct meta *m)
{
	json_t *list = json_array(), *v;
	const char *name;

	json_object_foreach(m->st->env, name, v)
		json_array_append_new(list, json_sprintf("%s=%s", name, json_string_value(v)));
	json_object_set_new(m->config, "Env", list);
	return 0;
}

static int do_env(struct meta *m, struct qt_err *e)
{
	json_t *pairs = qt_df_pairs(m->s->rest, m->b->file.escape, m->vars, e), *v;
	const char *name;
	int r = pairs ? 0 : -1;

	json_object_foreach(pairs, name, v)
		if (r == 0)
			r = qt_check_env("", name, json_string_value(v), false, e);
	if (r == 0)
		json_object_update(m->st->env, pairs);
	json_decref(pairs);
	return r < 0 ? -1 : store_env(m);
}

static int do_label(struct meta *m, struct qt_err *e)
{
	json_t *pairs = qt_df_pairs(m->s->rest, m->b->file.escape, m->vars, e), *labels = json_object_get(m->config, "Labels");

	if (!pairs)
		return -1;
	if (!json_is_object(labels))
		json_object_set_new(m->config, "Labels", labels = json_object());
	json_object_update(labels, pairs);
	json_decref(pairs);
	return 0;
}

/* NAME, NAME=DEFAULT, several; what was given for it counts. GLOBALS: values that a name without default gets. */
static int take_args(struct qt_build *b, const struct qt_df_step *s, json_t *into, const json_t *vars, const json_t *globals, struct qt_err *e)
{
	auto_json json_t *words = qt_df_words(s->rest, b->file.escape, vars, e);
	json_t *w;
	size_t i;

	if (!words)
		return -1;
	json_array_foreach(words, i, w) {
		const char *text = json_string_value(w), *eq = strchr(text, '=');
		json_t *given;
		char name[256];

		if (!qt_fmt(name, sizeof(name), "%.*s", eq ? (int)(eq - text) : (int)strlen(text), text) || qt_check_env("", name, "", false, e) < 0)
			return e->code ? -1 : qt_fail(e, QT_E_DOCKERFILE_INVALID, "a name is too long");
		given = json_object_get(b->given, name);
		if (given)
			json_object_set(into, name, given);
		else if (eq)
			json_object_set_new(into, name, json_string(eq + 1));
		else if (json_object_get(globals, name))
			json_object_set(into, name, json_object_get(globals, name));
	}
	return 0;
}

int qt_build_global_arg(struct qt_build *b, const struct qt_df_step *s, struct qt_err *e)
{
	return take_args(b, s, b->globals, b->globals, NULL, e);
}

static int do_arg(struct meta *m, struct qt_err *e)
{
	return take_args(m->b, m->s, m->st->args, m->vars, m->b->globals, e);
}

static int do_workdir(struct meta *m, struct qt_err *e)
{
	auto_free char *text = expand(m, e);
	char path[QT_WORKDIR_MAX + 1];
	size_t n;

	if (!text)
		return -1;
	if (!qt_stage_path(m->st, text, path, sizeof(path)))
		return qt_fail(e, QT_E_DOCKERFILE_INVALID, "the path is too long");
	n = strlen(path);
	if (n > 1 && path[n - 1] == '/')
		path[n - 1] = '\0';
	if (qt_check_workdir("", path, e) < 0)
		return -1;
	json_object_set_new(m->config, "WorkingDir", json_string(path));
	json_array_append_new(m->st->dirs, json_string(path));
	qt_build_key(m->st->key, m->st->key, "workdir", path, NULL);
	return 0;
}

static int do_user(struct meta *m, struct qt_err *e)
{
	auto_free char *text = expand(m, e);

	if (!text)
		return -1;
	if (!*text || strlen(text) > QT_USER_MAX || strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:") != strlen(text))
		return qt_fail(e, QT_E_DOCKERFILE_INVALID, "a user is name or number, with :group");
	json_object_set_new(m->config, "User", json_string(text));
	return 0;
}

/* As it is, or for the shell. */
static json_t *command_of(const struct meta *m)
{
	json_t *argv;

	if (m->s->exec)
		return json_incref(m->s->exec);
	argv = json_copy(m->st->shell);
	json_array_append_new(argv, json_string(m->s->rest));
	return argv;
}

static int do_cmd(struct meta *m, struct qt_err *e)
{
	(void)e;
	m->st->cmd_set = true;
	json_object_set_new(m->config, "Cmd", command_of(m));
	return 0;
}

static int do_entrypoint(struct meta *m, struct qt_err *e)
{
	(void)e;
	/* The base's command was for the base's entry point. */
	if (!m->st->cmd_set)
		json_object_del(m->config, "Cmd");
	json_object_set_new(m->config, "Entrypoint", command_of(m));
	return 0;
}

static int do_shell(struct meta *m, struct qt_err *e)
{
	if (json_array_size(m->s->exec) == 0)
		return qt_fail(e, QT_E_DOCKERFILE_INVALID, "SHELL takes a JSON array");
	json_decref(m->st->shell);
	m->st->shell = json_incref(m->s->exec);
	json_object_set(m->config, "Shell", m->s->exec);
	return 0;
}

/* Each word a member of the object NAME. */
static int into_set(struct meta *m, const char *name, bool ports, struct qt_err *e)
{
	json_t *words = m->s->exec ? json_incref(m->s->exec) : qt_df_words(m->s->rest, m->b->file.escape, m->vars, e), *set = json_object_get(m->config, name), *w;
	size_t i;

	if (!words)
		return -1;
	if (!json_is_object(set))
		json_object_set_new(m->config, name, set = json_object());
	json_array_foreach(words, i, w) {
		const char *text = json_string_value(w);
		char port[64];

		if (ports && (!qt_fmt(port, sizeof(port), "%s%s", text, strchr(text, '/') ? "" : "/tcp") || !isdigit((unsigned char)*text))) {
			json_decref(words);
			return qt_fail(e, QT_E_DOCKERFILE_INVALID, "a port is a number, with /tcp or /udp");
		}
		json_object_set_new(set, ports ? port : text, json_object());
	}
	json_decref(words);
	return 0;
}

static int do_expose(struct meta *m, struct qt_err *e)
{
	return into_set(m, "ExposedPorts", true, e);
}

static int do_volume(struct meta *m, struct qt_err *e)
{
	json_array_append_new(m->b->o->warnings, json_sprintf("line %u: VOLUME is kept in the image; containers here get no volume by it", m->s->line));
	return into_set(m, "Volumes", false, e);
}

static int do_stopsignal(struct meta *m, struct qt_err *e)
{
	auto_free char *text = expand(m, e);

	if (!text)
		return -1;
	json_object_set_new(m->config, "StopSignal", json_string(text));
	return 0;
}

static int do_healthcheck(struct meta *m, struct qt_err *e)
{
	const char *rest = m->s->rest;
	json_t *test;

	if (strcasecmp(rest, "NONE") == 0) {
		json_object_set_new(m->config, "Healthcheck", json_pack("{s:[s]}", "Test", "NONE"));
		return 0;
	}
	if (strncasecmp(rest, "CMD", 3) != 0 || !strchr(" \t[", rest[3]))
		return qt_fail(e, QT_E_DOCKERFILE_INVALID, "HEALTHCHECK takes CMD or NONE");
	rest += 3 + strspn(rest + 3, " \t");
	test = *rest == '[' ? json_loads(rest, 0, NULL) : NULL;
	if (json_is_array(test))
		json_array_insert_new(test, 0, json_string("CMD"));
	else
		test = json_pack("[s, s]", "CMD-SHELL", rest);
	json_object_set_new(m->config, "Healthcheck", json_pack("{s:o}", "Test", test));
	json_array_append_new(m->b->o->warnings, json_sprintf("line %u: HEALTHCHECK is kept in the image; this server does not run it", m->s->line));
	return 0;
}

static int do_onbuild(struct meta *m, struct qt_err *e)
{
	json_t *list = json_object_get(m->config, "OnBuild");

	if (strncasecmp(m->s->rest, "ONBUILD", 7) == 0 || strncasecmp(m->s->rest, "FROM", 4) == 0)
		return qt_fail(e, QT_E_DOCKERFILE_INVALID, "ONBUILD takes neither ONBUILD nor FROM");
	if (!json_is_array(list))
		json_object_set_new(m->config, "OnBuild", list = json_array());
	json_array_append_new(list, json_string(m->s->rest));
	return 0;
}

static int do_maintainer(struct meta *m, struct qt_err *e)
{
	(void)e;
	json_object_set_new(m->st->config, "author", json_string(m->s->rest));
	return 0;
}

static int (*const doers[QT_DF_COUNT])(struct meta *m, struct qt_err *e) = {
	[QT_DF_ENV] = do_env,	      [QT_DF_LABEL] = do_label,		  [QT_DF_ARG] = do_arg,
	[QT_DF_WORKDIR] = do_workdir, [QT_DF_USER] = do_user,		  [QT_DF_CMD] = do_cmd,
	[QT_DF_SHELL] = do_shell,     [QT_DF_ENTRYPOINT] = do_entrypoint, [QT_DF_EXPOSE] = do_expose,
	[QT_DF_VOLUME] = do_volume,   [QT_DF_STOPSIGNAL] = do_stopsignal, [QT_DF_HEALTHCHECK] = do_healthcheck,
	[QT_DF_ONBUILD] = do_onbuild, [QT_DF_MAINTAINER] = do_maintainer,
};

int qt_build_meta(struct qt_build *b, struct qt_stage *st, const struct qt_df_step *s, struct qt_err *e)
{
	struct meta m = {b, st, s, json_object_get(st->config, "config"), qt_build_vars(st)};
	int r = doers[s->kind] ? doers[s->kind](&m, e) : qt_fail(e, QT_E_DOCKERFILE_INVALID, "not here");

	json_decref(m.vars);
	if (r == 0)
		qt_build_history(b, st, false);
	return r;
}
