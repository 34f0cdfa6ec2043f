#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cdi.h"
#include "cleanup.h"
#include "fdio.h"
#include "log.h"
#include "str.h"

#define DIRS_MAX    8
#define KINDS_MAX   8
#define FILES_MAX   64	/* of a directory */
#define DEVICES_MAX 512 /* of all that are used */

struct rt_cdi {
	char dirs_text[256], kinds_text[256];
	const char *dirs[DIRS_MAX], *kinds[KINDS_MAX];
	unsigned n_dirs, n_kinds;
	uint64_t seen; /* a sum of what lay in the directories when they were read */
	bool read;
	struct rt_cdi_spec *specs[DIRS_MAX * FILES_MAX];
	unsigned n_specs;
	struct rt_cdi_device *devices[DEVICES_MAX]; /* by name; they are the specs' */
	unsigned n_devices;
};

static unsigned split(char *text, const char **ret, unsigned max)
{
	char *save = NULL;
	unsigned n = 0;

	for (char *t = strtok_r(text, ", ", &save); t; t = strtok_r(NULL, ", ", &save)) {
		if (n == max)
			return max + 1;
		ret[n++] = t;
	}
	return n;
}

int rt_cdi_open(struct rt_cdi **ret, const char *dirs, const char *kinds, struct qt_err *e)
{
	struct rt_cdi *c = calloc(1, sizeof(*c));

	if (!c || !qt_copy(c->dirs_text, sizeof(c->dirs_text), dirs) || !qt_copy(c->kinds_text, sizeof(c->kinds_text), kinds)) {
		free(c);
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	}
	c->n_dirs = split(c->dirs_text, c->dirs, DIRS_MAX);
	c->n_kinds = split(c->kinds_text, c->kinds, KINDS_MAX);
	if (c->n_dirs > DIRS_MAX || c->n_kinds > KINDS_MAX)
		(void)qt_fail(e, QT_E_VALIDATION_ERROR, "cdi_dirs and gpu_kinds take %u entries each", DIRS_MAX);
	for (unsigned i = 0; i < c->n_dirs && e->code == QT_OK; i++)
		if (c->dirs[i][0] != '/')
			(void)qt_fail(e, QT_E_VALIDATION_ERROR, "cdi_dirs takes absolute paths");
	for (unsigned i = 0; i < c->n_kinds && e->code == QT_OK; i++)
		if (!rt_cdi_kind_ok(c->kinds[i]))
			(void)qt_fail(e, QT_E_VALIDATION_ERROR, "gpu_kinds takes kinds of the form vendor.com/class");
	if (e->code != QT_OK) {
		free(c);
		return -1;
	}
	*ret = c;
	return 0;
}

static void forget(struct rt_cdi *c)
{
	c->n_devices = 0;
	while (c->n_specs > 0) {
		struct rt_cdi_spec *s = c->specs[--c->n_specs];

		rt_cdi_spec_done(s);
		free(s);
	}
}

void rt_cdi_close(struct rt_cdi *c)
{
	if (!c)
		return;
	forget(c);
	free(c);
}

/* --- directories --------------------------------------------------------------------------------------- */

static bool is_spec_name(const char *name)
{
	static const char *const ends[] = {".json", ".yaml", ".yml"};
	size_t len = strlen(name);

	for (size_t i = 0; i < QT_LEN(ends); i++)
		if (name[0] != '.' && len > strlen(ends[i]) && qt_streq(name + len - strlen(ends[i]), ends[i]))
			return true;
	return false;
}

static bool is_roots(const struct stat *st)
{
	return st->st_uid == 0 && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static int is_file(const struct dirent *de)
{
	return is_spec_name(de->d_name);
}

/* The names of its specifications, in order, and a descriptor, -1 if there is none; *N of them are to be freed. */
static int open_dir(const char *path, struct dirent ***names, int *n, bool tell)
{
	auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	*n = 0;
	*names = NULL;
	if (fd < 0 || fstat(fd, &st) < 0)
		return -1;
	if (!is_roots(&st)) {
		if (tell)
			qt_log(QT_LOG_WARN, "cdi: %s is not used: others than root may write to it", path);
		return -1;
	}
	*n = scandirat(fd, ".", names, is_file, alphasort);
	if (*n < 0) {
		*n = 0;
		return -1;
	}
	if (*n > FILES_MAX && tell)
		qt_log(QT_LOG_WARN, "cdi: of the %d files in %s only the first %d are used", *n, path, FILES_MAX);
	return qt_take_fd(&fd);
}

static void free_names(struct dirent **names, int n)
{
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

static uint64_t mix(uint64_t sum, const void *data, size_t len)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++)
		sum = (sum ^ p[i]) * 1099511628211U; /* FNV-1a */
	return sum;
}

/* Names, places, sizes and times of all files that count. */
static uint64_t look_around(const struct rt_cdi *c)
{
	uint64_t sum = 14695981039346656037U;

	for (unsigned i = 0; i < c->n_dirs; i++) {
		struct dirent **names;
		int n;
		auto_close int fd = open_dir(c->dirs[i], &names, &n, false);

		sum = mix(sum, &i, sizeof(i));
		for (int k = 0; k < n && fd >= 0; k++) {
			struct stat st;
			int64_t v[6] = {0};

			if (fstatat(fd, names[k]->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
				v[0] = (int64_t)st.st_ino;
				v[1] = st.st_size;
				v[2] = st.st_mtim.tv_sec;
				v[3] = st.st_mtim.tv_nsec;
				v[4] = st.st_ctim.tv_sec;
				v[5] = st.st_ctim.tv_nsec;
			}
			sum = mix(sum, names[k]->d_name, strlen(names[k]->d_name) + 1);
			sum = mix(sum, v, sizeof(v));
		}
		free_names(names, n);
	}
	return sum;
}

/* --- reading ------------------------------------------------------------------------------------------- */

static int read_file(struct rt_cdi_spec *ret, int dir_fd, const char *name, struct qt_err *e)
{
	auto_close int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	auto_free char *text = NULL;
	struct stat st;
	ssize_t len;

	if (fd < 0 || fstat(fd, &st) < 0)
		return qt_fail_sys(e, errno, "open");
	if (!S_ISREG(st.st_mode) || !is_roots(&st))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "it is not a file that only root may write to");
	if (st.st_size > (off_t)RT_CDI_BYTES_MAX)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "it is longer than %u bytes", RT_CDI_BYTES_MAX);
	text = malloc(RT_CDI_BYTES_MAX);
	if (!text)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	len = qt_read_all(fd, text, RT_CDI_BYTES_MAX, e);
	return len < 0 ? -1 : rt_cdi_parse(ret, text, (size_t)len, e);
}

static bool is_offered(const struct rt_cdi *c, const char *kind)
{
	for (unsigned i = 0; i < c->n_kinds; i++)
		if (qt_streq(c->kinds[i], kind))
			return true;
	return false;
}

static unsigned place(const struct rt_cdi *c, const char *name, bool *found)
{
	unsigned i = 0;

	while (i < c->n_devices && strcmp(c->devices[i]->name, name) < 0)
		i++;
	*found = i < c->n_devices && qt_streq(c->devices[i]->name, name);
	return i;
}

/* A later directory wins; two files of one directory that say different things of one device make it unusable: CDI's own rules. */
static void add_device(struct rt_cdi *c, struct rt_cdi_device *d)
{
	bool found;
	unsigned i = place(c, d->name, &found);

	if (found && c->devices[i]->spec->priority == d->spec->priority) {
		c->devices[i]->twice = true;
		qt_log(QT_LOG_WARN, "cdi: %s is not used: two files of one directory have it", d->name);
		return;
	}
	if (!found) {
		if (c->n_devices == DEVICES_MAX) {
			qt_log(QT_LOG_WARN, "cdi: %s is not used: there are too many devices", d->name);
			return;
		}
		memmove(&c->devices[i + 1], &c->devices[i], (c->n_devices - i) * sizeof(struct rt_cdi_device *));
		c->n_devices++;
	}
	c->devices[i] = d;
}

static void read_spec(struct rt_cdi *c, int dir_fd, const char *dir, const char *name, unsigned priority)
{
	struct rt_cdi_spec *s = calloc(1, sizeof(*s));
	struct qt_err e = {0};

	if (!s || read_file(s, dir_fd, name, &e) < 0) {
		qt_log(QT_LOG_WARN, "cdi: %s/%s is not used: %s", dir, name, s ? e.msg : "out of memory");
		free(s);
		return;
	}
	if (!is_offered(c, s->kind)) {
		rt_cdi_spec_done(s);
		free(s);
		return;
	}
	s->priority = priority;
	c->specs[c->n_specs++] = s;
	qt_log(QT_LOG_INFO, "cdi: %s/%s: %u devices of kind %s%s%s", dir, name, s->n_devices, s->kind,
	       s->left_out[0] ? "; hooks that are left out: " : "", s->left_out);
	for (unsigned i = 0; i < s->n_devices; i++)
		add_device(c, &s->devices[i]);
}

/* "all" is every device at once, which nobody can be assigned. */
static bool is_unusable(const struct rt_cdi_device *d)
{
	return d->twice || qt_streq(strchr(d->name, '=') + 1, "all");
}

static bool has_node(const struct rt_cdi_edits *ed, const char *host)
{
	for (unsigned i = 0; i < ed->n_nodes; i++)
		if (qt_streq(ed->nodes[i].host, host))
			return true;
	return false;
}

static bool same_nodes(const struct rt_cdi_edits *a, const struct rt_cdi_edits *b)
{
	if (a->n_nodes == 0 || a->n_nodes != b->n_nodes)
		return false;
	for (unsigned i = 0; i < a->n_nodes; i++)
		if (!has_node(b, a->nodes[i].host) || !has_node(a, b->nodes[i].host))
			return false;
	return true;
}

static bool is_number(const char *name)
{
	const char *p = strchr(name, '=') + 1;

	return p[strspn(p, "0123456789")] == '\0';
}

/* Which of two names counts: an index, else the first. */
static bool is_better(const struct rt_cdi_device *a, const struct rt_cdi_device *b)
{
	bool x = is_number(a->name), y = is_number(b->name);

	return x != y ? x : strcmp(a->name, b->name) < 0;
}

static void find_same(struct rt_cdi *c)
{
	for (unsigned i = 0; i < c->n_devices; i++) {
		struct rt_cdi_device *d = c->devices[i];
		const struct rt_cdi_device *best = d;

		for (unsigned k = 0; k < c->n_devices; k++)
			if (same_nodes(&d->own, &c->devices[k]->own) && is_better(c->devices[k], best))
				best = c->devices[k];
		d->same = best == d ? NULL : best;
	}
}

void rt_cdi_look(struct rt_cdi *c)
{
	uint64_t sum = look_around(c);
	unsigned kept = 0;

	if (c->read && sum == c->seen)
		return;
	c->seen = sum; /* from before reading: what changes meanwhile is read the next time */
	c->read = true;
	forget(c);
	for (unsigned i = 0; i < c->n_dirs; i++) {
		struct dirent **names;
		int n;
		auto_close int fd = open_dir(c->dirs[i], &names, &n, true);

		for (int k = 0; k < n && k < FILES_MAX && fd >= 0; k++)
			read_spec(c, fd, c->dirs[i], names[k]->d_name, i);
		free_names(names, n);
	}
	for (unsigned i = 0; i < c->n_devices; i++)
		if (!is_unusable(c->devices[i]))
			c->devices[kept++] = c->devices[i];
	c->n_devices = kept;
	find_same(c);
}

/* --- asking -------------------------------------------------------------------------------------------- */

const struct rt_cdi_device *rt_cdi_find(const struct rt_cdi *c, const char *name)
{
	bool found;
	unsigned i = place(c, name, &found);

	return found ? c->devices[i] : NULL;
}

const struct rt_cdi_device *rt_cdi_after(const struct rt_cdi *c, const char *after)
{
	bool found;
	unsigned i = place(c, after, &found) + found;

	return i < c->n_devices ? c->devices[i] : NULL;
}

unsigned rt_cdi_count(const struct rt_cdi *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->n_devices; i++)
		n += !c->devices[i]->same;
	return n;
}

const struct rt_cdi_device *rt_cdi_real(const struct rt_cdi_device *d)
{
	return d->same ? d->same : d;
}
