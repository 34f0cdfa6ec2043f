#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdispec.h"
#include "cleanup.h"
#include "spawn.h"
#include "str.h"

#define LIST_MAX 1024 /* of anything, in one place */

/* --- names --------------------------------------------------------------------------------------------- */

static bool is_letter(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_word_end(char c)
{
	return is_letter(c) || (c >= '0' && c <= '9');
}

/* The LEN bytes at S: letters, digits and EXTRA, a letter or digit at both ends. */
static bool word_ok(const char *s, size_t len, const char *extra)
{
	if (len == 0 || !is_word_end(s[0]) || !is_word_end(s[len - 1]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_word_end(s[i]) && !strchr(extra, s[i]))
			return false;
	return true;
}

static bool kind_ok(const char *s, size_t len)
{
	const char *slash = memchr(s, '/', len);
	size_t vendor = slash ? (size_t)(slash - s) : 0;

	return slash && is_letter(s[0]) && is_letter(slash[1]) && word_ok(s, vendor, "_-.") &&
	       word_ok(slash + 1, len - vendor - 1, "_-.");
}

bool rt_cdi_kind_ok(const char *text)
{
	return strlen(text) <= RT_CDI_NAME_MAX && kind_ok(text, strlen(text));
}

bool rt_cdi_name_ok(const char *text)
{
	const char *is = strchr(text, '=');

	return is && strlen(text) <= RT_CDI_NAME_MAX && kind_ok(text, (size_t)(is - text)) && word_ok(is + 1, strlen(is + 1), "_-.:");
}

/* --- values -------------------------------------------------------------------------------------------- */

/* What YAML 1.1 and JSON call an integer: decimal, 0x…, 0o… or 0…. */
static bool number(uint32_t *ret, const struct rt_tree *t)
{
	const char *p = t->text;
	int base = 10;
	char *end;
	unsigned long long v;

	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X'))
		base = 16, p += 2;
	else if (p[0] == '0' && p[1])
		base = 8, p += p[1] == 'o' ? 2 : 1;
	if (!t->plain || !is_word_end(*p) || strlen(p) > 12)
		return false;
	v = strtoull(p, &end, base);
	*ret = (uint32_t)v;
	return *end == '\0' && v <= UINT32_MAX;
}

static bool path_ok(const char *p)
{
	if (p[0] != '/' || strlen(p) >= RT_CDI_PATH)
		return false;
	for (; *p; p++) {
		size_t n = strcspn(p + 1, "/");

		if (*p != '/' || n == 0 || (p[1] == '.' && (n == 1 || (n == 2 && p[2] == '.'))))
			return false;
		for (size_t i = 1; i <= n; i++)
			if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
				return false;
		p += n;
	}
	return true;
}

static bool text_ok(const char *p)
{
	for (; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
	return true;
}

/* Room for the N children of LIST (NULL: none). */
static int room(struct rt_arena *a, const struct rt_tree *list, size_t size, void *ret, struct qt_err *e)
{
	void **to = ret;

	if (!list)
		return 0;
	*to = list->n <= LIST_MAX ? rt_arena_get(a, (list->n + 1) * size) : NULL;
	return *to ? 0 : rt_tree_bad(list, e, "there is too much of it");
}

static int texts(const struct rt_tree *list, struct qt_err *e)
{
	for (const struct rt_tree *t = list ? list->first : NULL; t; t = t->next)
		if (t->kind != RT_TREE_TEXT)
			return rt_tree_bad(t, e, "not a text");
	return 0;
}

/* --- edits --------------------------------------------------------------------------------------------- */

/* Of every container: mounts.c makes them. */
static bool is_ours(const char *path)
{
	static const char *const taken[] = {"null", "zero",   "full",	"random", "urandom", "tty",    "console", "ptmx",
					    "fd",   "stdin", "stdout", "stderr", "pts",	    "shm",    "mqueue"};
	size_t n = strcspn(path + 5, "/");

	for (size_t i = 0; i < QT_LEN(taken); i++)
		if (strlen(taken[i]) == n && strncmp(path + 5, taken[i], n) == 0)
			return true;
	return false;
}

/* "rwm", or less; mknod is nobody's here. */
static bool access_ok(struct rt_cdi_node *n, const char *text)
{
	size_t k = 0;

	if (strlen(text) > 3 || text[strspn(text, "rwm")])
		return false;
	if (!*text || strchr(text, 'r'))
		n->access[k++] = 'r';
	if (!*text || strchr(text, 'w'))
		n->access[k++] = 'w';
	return k > 0;
}

static int read_node(struct rt_cdi_node *ret, const struct rt_tree *t, struct qt_err *e)
{
	const struct rt_tree *path, *host, *type, *major, *minor, *access;
	const struct rt_tree_row rows[] = {
		{"path", RT_TREE_TEXT, true, &path},	   {"hostPath", RT_TREE_TEXT, false, &host},
		{"type", RT_TREE_TEXT, false, &type},	   {"major", RT_TREE_TEXT, false, &major},
		{"minor", RT_TREE_TEXT, false, &minor},	   {"permissions", RT_TREE_TEXT, false, &access},
		/* The node is the host's own, and so are its mode and owner. */
		{"fileMode", RT_TREE_TEXT, false, NULL},   {"uid", RT_TREE_TEXT, false, NULL},
		{"gid", RT_TREE_TEXT, false, NULL},
	};

	if (rt_tree_members(t, rows, QT_LEN(rows), e) < 0)
		return -1;
	*ret = (struct rt_cdi_node){.path = path->text, .host = host && host->text[0] ? host->text : path->text};
	if (!path_ok(ret->path) || !path_ok(ret->host) || !qt_starts(ret->path, "/dev/") || is_ours(ret->path))
		return rt_tree_bad(t, e, "a device node may not be there");
	if (type && type->text[0] && !qt_streq(type->text, "c") && !qt_streq(type->text, "u"))
		return rt_tree_bad(type, e, "only character devices are taken");
	if (!major != !minor || (major && (!number(&ret->major, major) || !number(&ret->minor, minor))))
		return rt_tree_bad(t, e, "major and minor are two numbers, or not there");
	/* 0:0 is how some generators write "not known". */
	ret->numbered = ret->major != 0 || ret->minor != 0;
	return access_ok(ret, access ? access->text : "") ? 0 : rt_tree_bad(t, e, "permissions are of r, w and m, and r or w is one of them");
}

static int read_mount(struct rt_cdi_mount *ret, const struct rt_tree *t, struct qt_err *e)
{
	static const char *const known[] = {"ro", "bind", "rbind", "private", "rprivate", "nosuid", "nodev", "noexec", "exec", ""};
	const struct rt_tree *path, *host, *options, *type;
	const struct rt_tree_row rows[] = {{"containerPath", RT_TREE_TEXT, true, &path},
					   {"hostPath", RT_TREE_TEXT, true, &host},
					   {"options", RT_TREE_LIST, false, &options},
					   {"type", RT_TREE_TEXT, false, &type}};

	if (rt_tree_members(t, rows, QT_LEN(rows), e) < 0 || texts(options, e) < 0)
		return -1;
	*ret = (struct rt_cdi_mount){.path = path->text, .host = host->text};
	if (!path_ok(ret->path) || !path_ok(ret->host) || !rt_target_ok(ret->path))
		return rt_tree_bad(t, e, "a mount may not be there");
	if (type && type->text[0] && !qt_streq(type->text, "bind") && !qt_streq(type->text, "none"))
		return rt_tree_bad(type, e, "only bind mounts are taken");
	for (const struct rt_tree *o = options ? options->first : NULL; o; o = o->next) {
		size_t i = 0;

		while (i < QT_LEN(known) && !qt_streq(known[i], o->text))
			i++;
		/* "rw" is among the unknown: what is the host's is not for tenants to write. */
		if (i == QT_LEN(known))
			return rt_tree_bad(o, e, "the mount option \"%.20s\" is not taken: mounts are read-only binds", o->text);
		ret->noexec |= qt_streq(o->text, "noexec");
	}
	return 0;
}

/* "target::link" */
static int read_link(struct rt_cdi_link *ret, struct rt_arena *a, const struct rt_tree *t, const char *text, struct qt_err *e)
{
	const char *gap = strstr(text, "::");

	if (!gap || gap == text || gap - text >= RT_CDI_PATH || !text_ok(text) || !path_ok(gap + 2) || !rt_target_ok(gap + 2))
		return rt_tree_bad(t, e, "a link may not be so");
	ret->path = gap + 2;
	ret->to = rt_arena_text(a, text, (size_t)(gap - text));
	return ret->to ? 0 : rt_tree_bad(t, e, "there is too much of it");
}

/* The word that says what a hook of NVIDIA's does, "?" of one that is not known: [nvidia-ctk, hook, WORD, …] or [nvidia-cdi-hook, WORD, …]. */
static const struct rt_tree *hook_word(const struct rt_tree *args)
{
	const struct rt_tree *w = args && args->first ? args->first->next : NULL;

	return w && qt_streq(w->text, "hook") ? w->next : w;
}

static int read_links(struct rt_cdi_edits *ed, struct rt_arena *a, const struct rt_tree *w, struct qt_err *e)
{
	for (w = w->next; w; w = w->next) {
		const char *text = NULL;

		if (qt_starts(w->text, "--link="))
			text = w->text + 7;
		else if (qt_streq(w->text, "--link") && w->next)
			text = (w = w->next)->text;
		if (!text)
			return rt_tree_bad(w, e, "an argument of create-symlinks that is not known");
		if (read_link(&ed->links[ed->n_links], a, w, text, e) < 0)
			return -1;
		ed->n_links++;
	}
	return 0;
}

/* Nothing of the host is executed for a container. The one hook that is needed is done here; what the others are for is listed, and left out. */
static int read_hooks(struct rt_cdi_spec *s, struct rt_cdi_edits *ed, const struct rt_tree *list, struct qt_err *e)
{
	unsigned links = 0;

	for (const struct rt_tree *t = list ? list->first : NULL; t; t = t->next) {
		const struct rt_tree *args = NULL, *hook, *w;
		const struct rt_tree_row rows[] = {{"hookName", RT_TREE_TEXT, true, &hook}, {"path", RT_TREE_TEXT, true, &w},
						   {"args", RT_TREE_LIST, false, &args},    {"env", RT_TREE_LIST, false, NULL},
						   {"timeout", RT_TREE_TEXT, false, NULL}};
		size_t len = strlen(s->left_out);

		if (rt_tree_members(t, rows, QT_LEN(rows), e) < 0 || texts(args, e) < 0)
			return -1;
		w = hook_word(args);
		if (w && qt_streq(w->text, "create-symlinks")) {
			struct rt_cdi_link *more = args->n <= LIST_MAX ? rt_arena_get(&s->arena, (links + args->n) * sizeof(*more)) : NULL;

			if (!more)
				return rt_tree_bad(t, e, "there is too much of it");
			if (links > 0)
				memcpy(more, ed->links, ed->n_links * sizeof(*more));
			ed->links = more;
			links += args->n;
			if (read_links(ed, &s->arena, w, e) < 0)
				return -1;
		} else if (!w || !strstr(s->left_out, w->text)) {
			(void)qt_fmt(s->left_out + len, sizeof(s->left_out) - len, "%s%.40s", len ? ", " : "", w && text_ok(w->text) ? w->text : "?");
		}
	}
	return 0;
}

static bool env_ok(const char *text)
{
	size_t n = strcspn(text, "=");

	if (text[n] != '=' || n == 0 || !(is_letter(text[0]) || text[0] == '_') || !text_ok(text) || strlen(text) > 1024)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_word_end(text[i]) && text[i] != '_')
			return false;
	return true;
}

static int read_edits(struct rt_cdi_spec *s, struct rt_cdi_edits *ed, const struct rt_tree *map, struct qt_err *e)
{
	const struct rt_tree *env, *nodes, *mounts, *hooks;
	const struct rt_tree_row rows[] = {{"env", RT_TREE_LIST, false, &env},
					   {"deviceNodes", RT_TREE_LIST, false, &nodes},
					   {"mounts", RT_TREE_LIST, false, &mounts},
					   {"hooks", RT_TREE_LIST, false, &hooks}};

	if (!map)
		return 0;
	if (rt_tree_members(map, rows, QT_LEN(rows), e) < 0 || texts(env, e) < 0 ||
	    room(&s->arena, env, sizeof(*ed->env), &ed->env, e) < 0 || room(&s->arena, nodes, sizeof(*ed->nodes), &ed->nodes, e) < 0 ||
	    room(&s->arena, mounts, sizeof(*ed->mounts), &ed->mounts, e) < 0)
		return -1;
	for (const struct rt_tree *t = env ? env->first : NULL; t; t = t->next) {
		if (!env_ok(t->text))
			return rt_tree_bad(t, e, "not a variable: NAME=value");
		ed->env[ed->n_env++] = t->text;
	}
	for (const struct rt_tree *t = nodes ? nodes->first : NULL; t; t = t->next)
		if (read_node(&ed->nodes[ed->n_nodes++], t, e) < 0)
			return -1;
	for (const struct rt_tree *t = mounts ? mounts->first : NULL; t; t = t->next)
		if (read_mount(&ed->mounts[ed->n_mounts++], t, e) < 0)
			return -1;
	return read_hooks(s, ed, hooks, e);
}

/* --- the whole ----------------------------------------------------------------------------------------- */

static int read_device(struct rt_cdi_spec *s, const struct rt_tree *t, struct qt_err *e)
{
	struct rt_cdi_device *d = &s->devices[s->n_devices];
	const struct rt_tree *name, *edits;
	const struct rt_tree_row rows[] = {{"name", RT_TREE_TEXT, true, &name},
					   {"annotations", RT_TREE_MAP, false, NULL},
					   {"containerEdits", RT_TREE_MAP, false, &edits}};
	char full[RT_CDI_NAME_MAX + 1];

	if (rt_tree_members(t, rows, QT_LEN(rows), e) < 0)
		return -1;
	if (!qt_fmt(full, sizeof(full), "%s=%s", s->kind, name->text) || !rt_cdi_name_ok(full))
		return rt_tree_bad(name, e, "a device may not have such a name");
	for (unsigned i = 0; i < s->n_devices; i++)
		if (qt_streq(s->devices[i].name, full))
			return rt_tree_bad(name, e, "two devices of the same name");
	d->name = rt_arena_text(&s->arena, full, strlen(full));
	d->spec = s;
	if (!d->name)
		return rt_tree_bad(name, e, "there is too much of it");
	s->n_devices++;
	return read_edits(s, &d->own, edits, e);
}

static int read_spec(struct rt_cdi_spec *s, const struct rt_tree *root, struct qt_err *e)
{
	static const char *const versions[] = {"0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0"};
	const struct rt_tree *version, *kind, *devices, *edits;
	const struct rt_tree_row rows[] = {{"cdiVersion", RT_TREE_TEXT, true, &version}, {"kind", RT_TREE_TEXT, true, &kind},
					   {"annotations", RT_TREE_MAP, false, NULL},	 {"devices", RT_TREE_LIST, true, &devices},
					   {"containerEdits", RT_TREE_MAP, false, &edits}};
	size_t i = 0;

	if (rt_tree_members(root, rows, QT_LEN(rows), e) < 0)
		return -1;
	while (i < QT_LEN(versions) && !qt_streq(versions[i], version->text))
		i++;
	if (i == QT_LEN(versions))
		return rt_tree_bad(version, e, "version \"%.20s\" is not known", version->text);
	if (!rt_cdi_kind_ok(kind->text))
		return rt_tree_bad(kind, e, "the kind is not of the form vendor.com/class");
	s->kind = kind->text;
	if (devices->n > RT_CDI_DEVICES_MAX)
		return rt_tree_bad(devices, e, "there are more than %u devices", RT_CDI_DEVICES_MAX);
	if (room(&s->arena, devices, sizeof(*s->devices), &s->devices, e) < 0 || read_edits(s, &s->common, edits, e) < 0)
		return -1;
	for (const struct rt_tree *t = devices->first; t; t = t->next)
		if (read_device(s, t, e) < 0)
			return -1;
	return 0;
}

int rt_cdi_parse(struct rt_cdi_spec *ret, const char *text, size_t len, struct qt_err *e)
{
	struct rt_tree *root;

	memset(ret, 0, sizeof(*ret));
	if (len > RT_CDI_BYTES_MAX)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "it is longer than %u bytes", RT_CDI_BYTES_MAX);
	if (rt_tree_parse(&root, &ret->arena, text, len, e) == 0 && read_spec(ret, root, e) == 0)
		return 0;
	rt_cdi_spec_done(ret);
	return -1;
}

void rt_cdi_spec_done(struct rt_cdi_spec *s)
{
	rt_arena_done(&s->arena);
	memset(s, 0, sizeof(*s));
}
