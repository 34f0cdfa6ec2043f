#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup_parts.h"
#include "cleanup.h"
#include "fdio.h"
#include "num.h"
#include "str.h"

#define PROCS_BYTES (1U << 20) /* of a cgroup.procs: 100,000 processes and more */

static const char *const names[RT_CG_COUNT] = {
	[RT_CG_MEMORY] = "memory",   [RT_CG_CPU] = "cpu",	  [RT_CG_PIDS] = "pids",   [RT_CG_DEVICES] = "devices",
	[RT_CG_FREEZER] = "freezer", [RT_CG_CPUACCT] = "cpuacct", [RT_CG_BLKIO] = "blkio",
};

/* ID "/" FILE, both ours. */
static bool join(char *out, size_t size, const char *id, const char *file)
{
	return qt_fmt(out, size, "%s/%s", id, file);
}

int rt_cgroup_write(int dir_fd, const char *id, const char *file, const char *text, struct qt_err *e)
{
	char path[128];

	if (!join(path, sizeof(path), id, file))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "name too long");
	return qt_write_ctl(dir_fd, path, text, e);
}

bool rt_cgroup_read(int dir_fd, const char *id, const char *file, char *buf, size_t size)
{
	struct qt_err e = {0};
	char path[128];

	return join(path, sizeof(path), id, file) && qt_read_file(dir_fd, path, buf, size, &e) >= 0;
}

uint64_t rt_cgroup_number(int dir_fd, const char *id, const char *file)
{
	char text[64];
	uint64_t v = 0;

	if (dir_fd < 0 || !rt_cgroup_read(dir_fd, id, file, text, sizeof(text)))
		return 0;
	text[strcspn(text, "\n")] = '\0';
	return qt_u64(&v, text, 0, UINT64_MAX) ? v : 0;
}

int rt_cgroup_set(int dir_fd, const char *id, const char *file, uint64_t value, struct qt_err *e)
{
	char text[24];

	if (!qt_fmt(text, sizeof(text), "%llu", (unsigned long long)value) || rt_cgroup_write(dir_fd, id, file, text, e) < 0)
		return -1;
	if (rt_cgroup_number(dir_fd, id, file) != value)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the kernel did not keep a limit (%s)", file);
	return 0;
}

static uint64_t number_at(const char *p)
{
	char text[24];
	size_t n = strspn(p, "0123456789");
	uint64_t v = 0;

	if (n == 0 || n >= sizeof(text))
		return 0;
	memcpy(text, p, n);
	text[n] = '\0';
	return qt_u64(&v, text, 0, UINT64_MAX) ? v : 0;
}

uint64_t rt_cgroup_key(const char *text, const char *key)
{
	size_t n = strlen(key);

	for (const char *p = text; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
		if (strncmp(p, key, n) == 0 && p[n] == ' ')
			return number_at(p + n + 1);
	return 0;
}

uint64_t rt_cgroup_sum(const char *text, const char *word)
{
	uint64_t sum = 0;

	for (const char *p = strstr(text, word); p; p = strstr(p + 1, word))
		if (p == text || p[-1] == ' ')
			sum += number_at(p + strlen(word));
	return sum;
}

bool rt_cgroup_is_there(int dir_fd, const char *id, const char *file)
{
	char path[128];

	return join(path, sizeof(path), id, file) && faccessat(dir_fd, path, F_OK, 0) == 0;
}

struct rt_quota rt_quota(uint32_t cpu_centi)
{
	/* The kernel takes no quota below 1 ms: less than 1 % gets a longer period. */
	struct rt_quota q = {.quota_us = (uint64_t)cpu_centi * 10, .period_us = 100000};

	if (q.quota_us < 1000) {
		q.quota_us *= 10;
		q.period_us *= 10;
	}
	if (q.quota_us < 1000)
		q.quota_us = 1000;
	return q;
}

/* One line of mountinfo: "… mount point options … - type source super-options". */
static void plan_line(struct rt_cgroup_plan *p, char *line)
{
	char *save = NULL, *fields[5], *rest = strstr(line, " - "), *type, *opts;

	if (!rest)
		return;
	*rest = '\0';
	type = strtok_r(rest + 3, " ", &save);
	(void)strtok_r(NULL, " ", &save);
	opts = strtok_r(NULL, " ", &save);
	if (!type || !opts || !qt_starts(type, "cgroup"))
		return;
	for (int i = 0; i < 5; i++) {
		fields[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!fields[i])
			return;
	}
	/* A mount of a part of the hierarchy is somebody's view, not the root. */
	if (!qt_streq(fields[3], "/"))
		return;
	if (qt_streq(type, "cgroup2")) {
		if (!p->v2[0])
			(void)qt_copy(p->v2, sizeof(p->v2), fields[4]);
		return;
	}
	for (char *o = strtok_r(opts, ",", &save); o; o = strtok_r(NULL, ",", &save))
		for (int i = 0; i < RT_CG_COUNT; i++)
			if (qt_streq(o, names[i]) && !p->v1[i][0])
				(void)qt_copy(p->v1[i], sizeof(p->v1[i]), fields[4]);
}

bool rt_cgroup_plan(struct rt_cgroup_plan *ret, const char *mountinfo)
{
	auto_free char *text = strdup(mountinfo);
	unsigned needed = 0;
	char *next;

	memset(ret, 0, sizeof(*ret));
	if (!text)
		return false;
	for (char *line = text; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		plan_line(ret, line);
	}
	for (int i = 0; i < RT_CG_COUNT; i++) {
		ret->same[i] = (enum rt_ctl)i;
		for (int j = 0; j < i; j++)
			if (ret->v1[i][0] && qt_streq(ret->v1[i], ret->v1[j])) {
				ret->same[i] = (enum rt_ctl)j;
				break;
			}
		if (i < RT_CG_NEEDED && ret->v1[i][0])
			needed++;
	}
	ret->version = needed == RT_CG_NEEDED ? 1 : needed == 0 && ret->v2[0] ? 2 : 0;
	return ret->version != 0;
}

int rt_cgroup_dir(const struct rt_cgroups *c, enum rt_ctl ctl)
{
	return c->dir[c->plan.version == 1 ? c->plan.same[ctl] : 0];
}

static int open_dir(struct rt_cgroups *c, int i, const char *mount_point, struct qt_err *e)
{
	c->root[i] = open(mount_point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->root[i] < 0)
		return qt_fail_sys(e, errno, "open a control group hierarchy");
	if (mkdirat(c->root[i], c->instance, 0755) < 0 && errno != EEXIST)
		return qt_fail_sys(e, errno, "make a control group");
	c->dir[i] = openat(c->root[i], c->instance, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return c->dir[i] >= 0 ? 0 : qt_fail_sys(e, errno, "open a control group");
}

static int open_all(struct rt_cgroups *c, struct qt_err *e)
{
	if (c->plan.version == 2)
		return open_dir(c, 0, c->plan.v2, e);
	for (int i = 0; i < RT_CG_COUNT; i++)
		if (c->plan.v1[i][0] && c->plan.same[i] == (enum rt_ctl)i && open_dir(c, i, c->plan.v1[i], e) < 0)
			return -1;
	return 0;
}

int rt_cgroups_open(struct rt_cgroups **ret, const char *instance, struct qt_err *e)
{
	struct rt_cgroups *c = calloc(1, sizeof(*c));
	const size_t size = 1 << 20;
	auto_free char *text = malloc(size);

	if (!c || !text) {
		free(c);
		return qt_fail_sys(e, ENOMEM, "control groups");
	}
	memset(c->root, -1, sizeof(c->root));
	memset(c->dir, -1, sizeof(c->dir));
	if (!instance[0] || strchr(instance, '/') || instance[0] == '.' || !qt_copy(c->instance, sizeof(c->instance), instance)) {
		(void)qt_fail(e, QT_E_INTERNAL_ERROR, "the instance's name cannot name a control group");
		goto undo;
	}
	if (qt_read_file(AT_FDCWD, "/proc/self/mountinfo", text, size, e) < 0)
		goto undo;
	if (!rt_cgroup_plan(&c->plan, text)) {
		(void)qt_fail(e, QT_E_INTERNAL_ERROR,
			      "memory, cpu, pids, devices and freezer are not all controlled by one version of cgroups here");
		goto undo;
	}
	c->ops = c->plan.version == 1 ? &rt_cgroup_v1 : &rt_cgroup_v2;
	if (open_all(c, e) < 0 || c->ops->setup(c, e) < 0)
		goto undo;
	*ret = c;
	return 0;
undo:
	rt_cgroups_close(c);
	return -1;
}

void rt_cgroups_close(struct rt_cgroups *c)
{
	if (!c)
		return;
	for (int i = 0; i < RT_CG_COUNT; i++) {
		/* Refused while a container is in it. */
		if (c->dir[i] >= 0)
			(void)unlinkat(c->root[i], c->instance, AT_REMOVEDIR);
		qt_close(c->dir[i]);
		qt_close(c->root[i]);
	}
	free(c);
}

unsigned rt_cgroups_version(const struct rt_cgroups *c)
{
	return c->plan.version;
}

int rt_cgroup_make(struct rt_cgroups *c, const struct qt_id *id, const struct rt_limits *l, struct qt_err *e)
{
	for (int i = 0; i < RT_CG_COUNT; i++)
		if (c->dir[i] >= 0 && mkdirat(c->dir[i], id->s, 0755) < 0) {
			(void)qt_fail_sys(e, errno, "make the container's control group");
			/* Of another maker: not ours to undo, save what was made here. */
			while (i-- > 0)
				if (c->dir[i] >= 0)
					(void)unlinkat(c->dir[i], id->s, AT_REMOVEDIR);
			return -1;
		}
	if (c->ops->limit(c, id->s, l, true, e) == 0)
		return 0;
	(void)rt_cgroup_remove(c, id);
	return -1;
}

int rt_cgroup_limit(struct rt_cgroups *c, const struct qt_id *id, const struct rt_limits *l, struct qt_err *e)
{
	return c->ops->limit(c, id->s, l, false, e);
}

int rt_cgroup_rename(struct rt_cgroups *c, const struct qt_id *id, const struct qt_id *to, struct qt_err *e)
{
	if (c->plan.version != 1)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "control groups keep their names here");
	for (int i = 0; i < RT_CG_COUNT; i++)
		if (c->dir[i] >= 0 && renameat(c->dir[i], id->s, c->dir[i], to->s) < 0) {
			(void)qt_fail_sys(e, errno, "name the container's control group");
			while (i-- > 0)
				if (c->dir[i] >= 0)
					(void)renameat(c->dir[i], to->s, c->dir[i], id->s);
			return -1;
		}
	return 0;
}

int rt_cgroup_fd(struct rt_cgroups *c, const struct qt_id *id)
{
	return c->plan.version == 2 ? openat(c->dir[0], id->s, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

int rt_cgroup_doors(struct rt_cgroups *c, const struct qt_id *id, int fds[RT_DOORS_MAX], struct qt_err *e)
{
	int n = 0;

	_Static_assert(RT_CG_COUNT <= RT_DOORS_MAX, "a door for each hierarchy");
	for (int i = 0; c->plan.version == 1 && i < RT_CG_COUNT; i++) {
		char path[128];

		if (c->dir[i] < 0)
			continue;
		fds[n] = join(path, sizeof(path), id->s, c->ops->enter) ? openat(c->dir[i], path, O_WRONLY | O_CLOEXEC) : -1;
		if (fds[n++] < 0) {
			(void)qt_fail_sys(e, errno, "open the container's control group");
			while (n > 0)
				qt_close(fds[--n]);
			return -1;
		}
	}
	return n;
}

int rt_cgroup_enter(struct rt_cgroups *c, const struct qt_id *id, struct qt_err *e)
{
	for (int i = 0; i < RT_CG_COUNT; i++)
		if (c->dir[i] >= 0 && rt_cgroup_write(c->dir[i], id->s, c->ops->enter, "0", e) < 0)
			return -1;
	return 0;
}

int rt_cgroup_kill(struct rt_cgroups *c, const struct qt_id *id, struct qt_err *e)
{
	return c->ops->kill(c, id->s, e);
}

bool rt_cgroup_empty(struct rt_cgroups *c, const struct qt_id *id)
{
	return c->ops->empty(c, id->s);
}

char *rt_cgroup_procs(struct rt_cgroups *c, const struct qt_id *id)
{
	int dir = c->plan.version == 2 ? c->dir[0] : rt_cgroup_dir(c, RT_CG_PIDS);
	auto_free char *text = malloc(PROCS_BYTES);

	if (!text || !rt_cgroup_read(dir, id->s, "cgroup.procs", text, PROCS_BYTES))
		return NULL;
	return qt_take(&text);
}

bool rt_cgroup_remove(struct rt_cgroups *c, const struct qt_id *id)
{
	bool gone = true;

	for (int i = 0; i < RT_CG_COUNT; i++)
		if (c->dir[i] >= 0 && unlinkat(c->dir[i], id->s, AT_REMOVEDIR) < 0 && errno != ENOENT)
			gone = false;
	return gone;
}

int rt_cgroup_freeze(struct rt_cgroups *c, const struct qt_id *id, bool on, int budget_ms, struct qt_err *e)
{
	return c->ops->freeze(c, id->s, on, budget_ms, e);
}

int rt_cgroup_freeze_fd(const struct rt_cgroups *c)
{
	return c->plan.version == 1 ? rt_cgroup_dir(c, RT_CG_FREEZER) : c->dir[0];
}

uint64_t rt_cgroup_dirty(struct rt_cgroups *c, const struct qt_id *id)
{
	return c->ops->dirty(c, id->s);
}

void rt_cgroup_stats(struct rt_cgroups *c, const struct qt_id *id, struct rt_cgroup_stats *ret)
{
	memset(ret, 0, sizeof(*ret));
	c->ops->stats(c, id->s, ret);
}

static void dirs_close(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

void rt_cgroup_each(struct rt_cgroups *c, void (*fn)(const struct qt_id *id, void *arg), void *arg)
{
	for (int i = 0; i < RT_CG_COUNT; i++) {
		int fd = c->dir[i] < 0 ? -1 : openat(c->dir[i], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		QT_AUTO(dirs_close) DIR *d = fd < 0 ? NULL : fdopendir(fd);
		const struct dirent *de;

		if (fd >= 0 && !d)
			qt_close(fd);
		while (d && (de = readdir(d))) {
			struct qt_id id;
			bool seen = false;

			/* A half-made or half-removed group may be in some hierarchies only: each id once, from the first that has
			 * it. */
			if (!qt_id_parse(&id, NULL, de->d_name))
				continue;
			for (int j = 0; j < i && !seen; j++)
				seen = c->dir[j] >= 0 && faccessat(c->dir[j], id.s, F_OK, 0) == 0;
			if (!seen)
				fn(&id, arg);
		}
	}
}

int rt_cgroup_oom_fd(struct rt_cgroups *c, const struct qt_id *id)
{
	return c->ops->oom_fd(c, id->s);
}
