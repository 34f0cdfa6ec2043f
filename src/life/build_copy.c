/* COPY and ADD: what quilt-files packs in one tree, it unpacks in another; neither sees the other, and here nobody looks into what passes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build.h"
#include "cleanup.h"
#include "clock.h"
#include "fdio.h"
#include "files.h"
#include "files/files_client.h"
#include "num.h"
#include "str.h"

#define PASSWD_MAX   (1U << 20)
#define PATTERNS_MAX 16384

struct copy {
	struct qt_build *b;
	struct qt_stage *st, *from; /* from: NULL is the context */
	const struct qt_df_step *s;
	json_t *words; /* the last is where to */
	const char *dest;
	char chown[256];
	uint32_t mode; /* as in FT_EXTRACT */
	int fd;	       /* what passes */
	bool archive;  /* ADD: of one, unpacked */
	uint32_t files, dirs;
	char digest[FT_SHA256 + 1];
};

static bool heard(void *arg, unsigned percent)
{
	struct copy *c = arg;

	(void)percent;
	return !qt_op_cancelled(c->b->l, c->b->o);
}

static int left_ms(const struct copy *c)
{
	int64_t left = c->b->o->deadline_ms - qt_now_ms();

	return left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left;
}

/* --- what is asked for -------------------------------------------------------------------------------------- */

static int flags(struct copy *c, const json_t *vars, struct qt_err *e)
{
	const char *chmod = json_string_value(json_object_get(c->s->flags, "chmod")), *chown = json_string_value(json_object_get(c->s->flags, "chown"));
	auto_free char *who = chown ? qt_df_expand(chown, c->b->file.escape, vars, e) : NULL;
	auto_free char *mode = chmod ? qt_df_expand(chmod, c->b->file.escape, vars, e) : NULL;
	char *end;

	if ((chown && !who) || (chmod && !mode))
		return -1;
	if (who && (!*who || !qt_copy(c->chown, sizeof(c->chown), who)))
		return qt_fail(e, QT_E_DOCKERFILE_INVALID, "--chown takes USER or USER:GROUP");
	if (mode) {
		unsigned long n = strtoul(mode, &end, 8);

		if (!*mode || strspn(mode, "01234567") != strlen(mode) || n > 07777)
			return qt_fail(e, QT_E_BUILD_UNSUPPORTED, "--chmod takes octal digits");
		c->mode = (uint32_t)n + 1;
	}
	return 0;
}

static int words(struct copy *c, const json_t *vars, struct qt_err *e)
{
	size_t n, i;
	json_t *w;

	if (c->s->exec) {
		c->words = json_array();
		json_array_foreach(c->s->exec, i, w) {
			auto_free char *text = qt_df_expand(json_string_value(w), c->b->file.escape, vars, e);

			if (!text)
				return -1;
			json_array_append_new(c->words, json_string(text));
		}
	} else {
		c->words = qt_df_words(c->s->rest, c->b->file.escape, vars, e);
	}
	n = json_array_size(c->words);
	if (!c->words || n < 2)
		return c->words ? qt_fail(e, QT_E_DOCKERFILE_INVALID, "it takes what to copy, and where to") : -1;
	c->dest = json_string_value(json_array_get(c->words, n - 1));
	json_array_foreach(c->words, i, w) {
		const char *text = json_string_value(w);

		if (c->s->kind == QT_DF_ADD && i + 1 < n &&
		    (qt_starts(text, "http://") || qt_starts(text, "https://") || qt_starts(text, "git@") || qt_starts(text, "git://") || qt_starts(text, "ssh://")))
			return qt_fail(e, QT_E_BUILD_UNSUPPORTED, "ADD of a URL is not supported: put the file into the context, or fetch it by RUN");
		if (!*text)
			return qt_fail(e, QT_E_DOCKERFILE_INVALID, "a path is empty");
	}
	return 0;
}

static int source(struct copy *c, struct qt_err *e)
{
	const char *from = json_string_value(json_object_get(c->s->flags, "from"));
	size_t at = (size_t)(c->st - c->b->stages);
	struct qt_stage *st;

	if (!from)
		return 0;
	st = qt_build_stage(c->b, from, at);
	if (st) {
		c->from = st;
		return qt_build_run_stage(c->b, st, e);
	}
	/* An image: a stage of nothing but it, of which the next COPY that names it has use, too. */
	for (size_t i = c->b->target + 1; i < c->b->n_stages; i++)
		if (!c->b->stages[i].from && qt_streq(c->b->stages[i].name, from))
			st = &c->b->stages[i];
	if (!st) {
		if (c->b->n_stages == QT_BUILD_STAGES_MAX)
			return qt_fail(e, QT_E_DOCKERFILE_INVALID, "there are more than %d stages and images to copy from", QT_BUILD_STAGES_MAX);
		st = &c->b->stages[c->b->n_stages];
		qt_stage_init(st);
		if (!qt_copy(st->name, sizeof(st->name), from) || qt_build_from_image(c->b, st, from, e) < 0) {
			qt_stage_done(st);
			*st = (struct qt_stage){0};
			return e->code ? -1 : qt_fail(e, QT_E_DOCKERFILE_INVALID, "the name of an image is too long");
		}
		st->begun = st->done = true;
		c->b->n_stages++;
	}
	c->from = st;
	return 0;
}

/* --- packing ------------------------------------------------------------------------------------------------- */

static int open_source(struct copy *c, struct qt_files *f, struct qt_err *e)
{
	if (!c->from)
		return qt_files_open_build(f, &c->b->l->rt, &c->b->context, e) < 0 ? qt_op_vanished(c->b->l, e) : 0;
	if (qt_build_up(c->b, c->from, e) < 0)
		return -1;
	return qt_files_open_build(f, &c->b->l->rt, &c->from->c.id, e);
}

/* The tree that was copied from stands still again. */
static int close_source(struct copy *c, struct qt_err *e)
{
	struct qt_err mine = {0};

	if (!c->from || !c->from->has_ctr || c->from->c.state != QT_ST_RUNNING || qt_life_kill(c->b->l, &c->from->c, &mine) == 0)
		return 0;
	if (e->code == QT_OK)
		*e = mine;
	return -1;
}

static int pack(struct copy *c, struct qt_err *e)
{
	struct ft_pack_req req = {.max_bytes = c->b->l->conf->archive_unpacked_bytes};
	auto_files struct qt_files f = {.sock = -1};
	struct ft_pack_rep rep;
	char patterns[PATTERNS_MAX];
	size_t n = json_array_size(c->words) - 1;
	int r;

	req.patterns = (struct rt_strv){patterns, 0, 0};
	req.ignore = c->from ? (struct rt_strv){"", 0, 0} : c->b->ignored;
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(c->words, i));
		char path[FT_PATH_MAX];

		/* "../x" is x at the top, as everywhere; nothing is above. */
		if (!qt_stage_path(&(struct qt_stage){0}, text, path, sizeof(path)) || !rt_strv_add(&req.patterns, patterns, sizeof(patterns), path))
			return qt_fail(e, QT_E_DOCKERFILE_INVALID, "the paths to copy are too long");
	}
	r = open_source(c, &f, e);
	if (r == 0)
		r = qt_files_call(&f, FT_PACK, &req, c->fd, &rep, sizeof(rep), heard, c, left_ms(c), e);
	if (r == 0) {
		c->files = rep.files;
		c->dirs = rep.dirs;
		(void)qt_copy(c->digest, sizeof(c->digest), rep.digest.s);
	}
	qt_files_done(&f);
	return close_source(c, e) < 0 ? -1 : r;
}

/* --- owners -------------------------------------------------------------------------------------------------- */

/* PATH of the stage's container, or "" if there is none. free(). */
static char *read_text(struct copy *c, const char *path, struct qt_err *e)
{
	struct qt_file f = {.fd = -1, .hold = -1};
	char *text;
	size_t len = 0;
	ssize_t n = 1;

	if (qt_life_file_open(c->b->l, &c->st->c.id, path, PASSWD_MAX, &f, e) < 0) {
		if (e->code != QT_E_FILE_NOT_FOUND)
			return NULL;
		qt_err_reset(e);
		return strdup("");
	}
	text = calloc(1, f.size + 1);
	while (text && len < f.size && n > 0) {
		n = qt_file_read(&f, text + len, f.size - len, e);
		len += n > 0 ? (size_t)n : 0;
	}
	qt_file_done(&f);
	return text;
}

/* The COLUMNth field (from 0) of the line whose first one is NAME. */
static bool look_up(const char *text, const char *name, unsigned column, uint32_t *ret)
{
	size_t n = strlen(name);

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *p = line;
		char number[16];

		if (strncmp(line, name, n) != 0 || line[n] != ':')
			continue;
		for (unsigned i = 0; i < column && *p != '\n' && *p; i++) {
			p += strcspn(p, ":\n");
			p += *p == ':';
		}
		return qt_fmt(number, sizeof(number), "%.*s", (int)strcspn(p, ":\n"), p) && qt_u32(ret, number, 0, 65535);
	}
	return false;
}

static int find_owner(struct copy *c, struct ft_extract_req *req, struct qt_err *e)
{
	char user[256], *group;
	auto_free char *passwd = NULL, *groups = NULL;
	bool numeric;

	(void)qt_copy(user, sizeof(user), c->chown);
	group = strchr(user, ':');
	if (group)
		*group++ = '\0';
	numeric = qt_u32(&req->uid, user, 0, 65535);
	if (!numeric || (group && !qt_u32(&req->gid, group, 0, 65535))) {
		passwd = read_text(c, "etc/passwd", e);
		groups = passwd ? read_text(c, "etc/group", e) : NULL;
		if (!groups)
			return -1;
	}
	if (!numeric && !look_up(passwd, user, 2, &req->uid))
		return qt_fail(e, QT_E_BUILD_FAILED, "--chown: the image has no user %.64s", user);
	if (!group)
		req->gid = numeric ? req->uid : 0;
	if (!group && !numeric)
		(void)look_up(passwd, user, 3, &req->gid);
	if (group && !qt_u32(&req->gid, group, 0, 65535) && !look_up(groups, group, 2, &req->gid))
		return qt_fail(e, QT_E_BUILD_FAILED, "--chown: the image has no group %.64s", group);
	return 0;
}

/* --- unpacking ----------------------------------------------------------------------------------------------- */

/* Where to: a directory, or, for one file that goes to what is no directory, the directory above it, and its name there. */
static int aim(struct copy *c, struct qt_files *f, char *path, const char **ret_name, struct qt_err *e)
{
	bool several = json_array_size(c->words) > 2 || c->dirs > 0 || c->files != 1 || c->archive;
	struct ft_stat_rep st;
	struct ft_stat_req req;
	size_t n;
	char *slash;

	*ret_name = "";
	if (!qt_stage_path(c->st, c->dest, path, FT_PATH_MAX))
		return qt_fail(e, QT_E_DOCKERFILE_INVALID, "the path to copy to is too long");
	n = strlen(path);
	if (json_array_size(c->words) > 2 && path[n - 1] != '/')
		return qt_fail(e, QT_E_DOCKERFILE_INVALID, "several things go into a directory: the last path must end with a slash");
	if (several || path[n - 1] == '/')
		return 0;
	req = (struct ft_stat_req){.path = rt_str(path)};
	if (qt_files_call(f, FT_STAT, &req, -1, &st, sizeof(st), NULL, NULL, QT_BUILD_BUDGET_MS, e) == 0) {
		if (st.type == FT_T_DIR)
			return 0;
	} else if (e->code == QT_E_FILE_NOT_FOUND) {
		qt_err_reset(e);
	} else {
		return -1;
	}
	slash = strrchr(path, '/');
	*slash = '\0';
	*ret_name = slash + 1;
	return 0;
}

static int unpack(struct copy *c, struct qt_err *e)
{
	struct ft_extract_req req = {.owners = c->archive || c->from ? FT_O_ARCHIVE : FT_O_GIVEN, .mode = c->mode};
	auto_files struct qt_files f = {.sock = -1};
	struct ft_extract_rep rep;
	char path[FT_PATH_MAX];
	const char *name;

	if (c->chown[0]) {
		if (find_owner(c, &req, e) < 0)
			return -1;
		req.owners = FT_O_GIVEN;
	}
	if (qt_files_open_build(&f, &c->b->l->rt, &c->st->c.id, e) < 0 || aim(c, &f, path, &name, e) < 0)
		return -1;
	req.path = rt_str(path);
	req.name = rt_str(name);
	return qt_files_call(&f, FT_EXTRACT, &req, c->fd, &rep, sizeof(rep), heard, c, left_ms(c), e);
}

/* --- ADD of an archive --------------------------------------------------------------------------------------- */

/* 1: tar, or what is in gzip; 0: no archive; -1: one that is not unpacked here. By its first bytes, which come out of the packed file. */
static int kind_of(const unsigned char *p, ssize_t n)
{
	if (n >= 263 && memcmp(p + 257, "ustar", 5) == 0)
		return 1;
	if (n >= 2 && p[0] == 0x1f && p[1] == 0x8b)
		return 1;
	if ((n >= 3 && memcmp(p, "BZh", 3) == 0) || (n >= 6 && memcmp(p, "\xfd" "7zXZ\0", 6) == 0))
		return -1;
	return 0;
}

/* The one file SOURCE of the context, as it is, into the file that passes. */
static int fetch(struct copy *c, const char *path, struct qt_err *e)
{
	struct qt_file f = {.fd = -1, .hold = -1};
	static _Thread_local char chunk[65536];
	uint64_t got = 0;
	int r = 0;

	if (ftruncate(c->fd, 0) < 0 || lseek(c->fd, 0, SEEK_SET) < 0)
		return qt_fail_sys(e, errno, "a file of a build");
	if (qt_life_file_open(c->b->l, &c->b->context, path, c->b->l->conf->archive_unpacked_bytes, &f, e) < 0)
		return qt_op_vanished(c->b->l, e);
	while (r == 0 && got < f.size) {
		ssize_t n = qt_file_read(&f, chunk, sizeof(chunk), e);

		r = n <= 0 ? (n < 0 ? -1 : qt_fail(e, QT_E_UNAVAILABLE, "a file of the context was cut")) : qt_write_full(c->fd, chunk, (size_t)n, e);
		got += n > 0 ? (uint64_t)n : 0;
	}
	qt_file_done(&f);
	return r;
}

static int look_for_archive(struct copy *c, struct qt_err *e)
{
	const char *text = json_string_value(json_array_get(c->words, 0));
	unsigned char head[512 + 512];
	char path[FT_PATH_MAX];
	ssize_t n;

	/* What was packed is one file: its header, and then its bytes. A long name has headers before it; then it is looked at as it is. */
	if (c->files == 0)
		return 0;
	if (c->files != 1 || c->dirs != 0) {
		json_array_append_new(c->b->o->warnings, json_sprintf("line %u: of several files that are added, archives are not unpacked", c->s->line));
		return 0;
	}
	if (strpbrk(text, "*?[\\") || !qt_stage_path(&(struct qt_stage){0}, text, path, sizeof(path)))
		return 0;
	n = pread(c->fd, head, sizeof(head), 512);
	if (n < 0)
		return qt_fail_sys(e, errno, "read a file of a build");
	switch (kind_of(head, n)) {
	case -1:
		return qt_fail(e, QT_E_BUILD_UNSUPPORTED, "ADD unpacks tar and tar.gz only: use COPY, and unpack it by RUN");
	case 1:
		c->archive = true;
		return fetch(c, path, e);
	default:
		return 0;
	}
}

/* --- the whole ------------------------------------------------------------------------------------------------ */

static int copy(struct copy *c, struct qt_err *e)
{
	auto_json json_t *vars = qt_build_vars(c->st);
	char key[QT_KEY_HEX + 1], mode[16];
	int there;

	if (flags(c, vars, e) < 0 || words(c, vars, e) < 0 || source(c, e) < 0)
		return -1;
	c->fd = qt_build_file(c->b, e);
	if (c->fd < 0 || pack(c, e) < 0)
		return -1;
	(void)qt_fmt(mode, sizeof(mode), "%u", c->mode);
	qt_build_key(key, c->st->key, qt_df_name(c->s->kind), c->digest, c->dest, json_array_size(c->words) > 2 ? "several" : "one", c->chown, mode,
		     qt_stage_workdir(c->st), c->from ? "from" : "context", c->s->kind == QT_DF_ADD ? c->s->rest : "", NULL);
	there = qt_build_cached(c->b, c->st, key, e);
	if (there != 0)
		return there < 0 ? -1 : 1;
	if (c->s->kind == QT_DF_ADD && look_for_archive(c, e) < 0)
		return -1;
	if (qt_build_up(c->b, c->st, e) < 0 || unpack(c, e) < 0)
		return -1;
	return qt_build_take(c->b, c->st, key, e);
}

int qt_build_copy(struct qt_build *b, struct qt_stage *st, const struct qt_df_step *s, struct qt_err *e)
{
	struct copy c = {.b = b, .st = st, .s = s, .fd = -1};
	int r = copy(&c, e);

	json_decref(c.words);
	qt_close(c.fd);
	return r;
}

int qt_build_dirs(struct qt_build *b, struct qt_stage *st, struct qt_err *e)
{
	char key[QT_KEY_HEX + 1];
	int there;

	if (json_array_size(st->dirs) == 0)
		return 0;
	qt_build_key(key, st->key, "dirs", NULL);
	there = qt_build_cached(b, st, key, e);
	if (there != 0)
		return there < 0 ? -1 : 0;
	return qt_build_up(b, st, e) < 0 ? -1 : qt_build_take(b, st, key, e);
}
