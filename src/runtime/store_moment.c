/* Subvolumes' snapshots, several of one moment, while their users run on.
 *
 * What a snapshot's ioctl asks for is done as its transaction commits, when nobody changes anything: so those of one transaction are of one
 * moment, and no process has to stand still. But the ioctl also waits for that commit, which takes as long as the disk does, and meanwhile has
 * the directory locked: so each is taken in a directory of its own and moved from there, and several are taken by a thread each. To have them
 * meet in one transaction, another one is sent on its way just before: while that is written, the next one stays open. Which transaction each
 * snapshot became part of the kernel tells afterwards. If it was not one, it still is the same when those trees that were earlier did not
 * change since; else all of them are thrown away, and taken once more. */
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "dirs.h"
#include "failpoint.h"
#include "store_parts.h"
#include "str.h"

#define TRIES	    12 /* each one works in more than half of the cases, also when all trees are written to as fast as can be */
#define STACK_BYTES 65536

struct part {
	const struct rt_store_tree *tree;
	struct group *group;
	char dir[QT_ID_MAX + 8];
	int dir_fd;
	pthread_t thread;
	uint64_t transaction; /* that the snapshot became part of */
	int r;
	struct qt_err e;
};

struct group {
	pthread_mutex_t gate; /* held until all threads are there */
	bool off;
	int new_fd;
	unsigned n;
	struct part *parts;
};

static int look(int fd, struct btrfs_ioctl_get_subvol_info_args *ret, struct qt_err *e)
{
	*ret = (struct btrfs_ioctl_get_subvol_info_args){0};
	return ioctl(fd, BTRFS_IOC_GET_SUBVOL_INFO, ret) < 0 ? qt_fail_sys(e, errno, "look at a subvolume") : 0;
}

/* Writable: a read-only one could not be moved to its place. */
static int take(struct part *p)
{
	struct btrfs_ioctl_get_subvol_info_args info;
	struct btrfs_ioctl_vol_args_v2 args = {.fd = p->tree->from_fd};
	auto_close int fd = -1;

	(void)qt_copy(args.name, sizeof(args.name), p->tree->name);
	if (ioctl(p->dir_fd, BTRFS_IOC_SNAP_CREATE_V2, &args) < 0)
		return qt_fail_sys(&p->e, errno, "make a subvolume's snapshot");
	fd = openat(p->dir_fd, p->tree->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return qt_fail_sys(&p->e, errno, "open a copy");
	if (look(fd, &info, &p->e) < 0)
		return -1;
	p->transaction = info.otransid;
	return 0;
}

static void *run(void *arg)
{
	struct part *p = arg;
	bool off;

	(void)pthread_mutex_lock(&p->group->gate);
	off = p->group->off;
	(void)pthread_mutex_unlock(&p->group->gate);
	p->r = off ? 0 : take(p);
	return NULL;
}

/* One snapshot of each. MEET: in one transaction, if that can be. */
static int take_all(struct group *g, bool meet, struct qt_err *e)
{
	pthread_attr_t attr;
	unsigned begun = 0;
	__u64 transaction;
	int r;

	if (g->n == 1)
		return take(g->parts) < 0 ? (*e = g->parts->e, -1) : 0;
	r = pthread_attr_init(&attr);
	if (r == 0)
		r = pthread_attr_setstacksize(&attr, STACK_BYTES);
	(void)pthread_mutex_lock(&g->gate);
	g->off = false;
	while (r == 0 && begun < g->n) {
		r = pthread_create(&g->parts[begun].thread, &attr, run, &g->parts[begun]);
		begun += r == 0;
	}
	g->off = r != 0;
	/* An error of it is theirs as well. */
	if (meet && r == 0)
		(void)ioctl(g->parts[0].dir_fd, BTRFS_IOC_START_SYNC, &transaction);
	(void)pthread_mutex_unlock(&g->gate);
	for (unsigned i = 0; i < begun; i++)
		(void)pthread_join(g->parts[i].thread, NULL);
	(void)pthread_attr_destroy(&attr);
	if (r != 0)
		return qt_fail_sys(e, r, "begin a thread");
	for (unsigned i = 0; i < g->n; i++)
		if (g->parts[i].r < 0)
			return *e = g->parts[i].e, -1;
	return 0;
}

/* 1: they are; 0: they are not; or -1. */
static int is_one_moment(const struct group *g, struct qt_err *e)
{
	uint64_t last = 0;

	for (unsigned i = 0; i < g->n; i++)
		last = g->parts[i].transaction > last ? g->parts[i].transaction : last;
	for (unsigned i = 0; i < g->n; i++) {
		struct btrfs_ioctl_get_subvol_info_args now;

		if (g->parts[i].transaction == last)
			continue;
		if (look(g->parts[i].tree->from_fd, &now, e) < 0)
			return -1;
		if (now.generation > g->parts[i].transaction)
			return 0;
	}
	return 1;
}

static int throw_away(struct group *g, struct qt_err *e)
{
	for (unsigned i = 0; i < g->n; i++)
		if (rt_dir_empty(g->parts[i].dir_fd) < 0)
			return qt_fail_sys(e, errno, "take a copy away");
	return 0;
}

static int put_in_place(struct group *g, struct qt_err *e)
{
	for (unsigned i = 0; i < g->n; i++) {
		const struct rt_store_tree *t = g->parts[i].tree;

		if (renameat(g->parts[i].dir_fd, t->name, t->to_dir_fd, t->name) < 0)
			return qt_fail_sys(e, errno, "put a copy in its place");
		if (rt_btrfs_freshen(t->to_dir_fd, t->name, e) < 0)
			return -1;
	}
	return 0;
}

static int open_group(struct group *g, const struct rt_store_tree *t, unsigned n, const struct rt_store_taking *where, struct qt_err *e)
{
	g->new_fd = where->new_fd;
	g->parts = calloc(n, sizeof(*g->parts));
	if (!g->parts)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	(void)pthread_mutex_init(&g->gate, NULL);
	for (unsigned i = 0; i < n; i++) {
		struct part *p = &g->parts[i];

		*p = (struct part){.tree = &t[i], .group = g, .dir_fd = -1};
		if (!rt_store_taking_name(p->dir, sizeof(p->dir), where->id, i))
			return qt_fail(e, QT_E_INTERNAL_ERROR, "a name too long");
		p->dir_fd = rt_dir_make(g->new_fd, p->dir, 0700, e);
		if (p->dir_fd < 0)
			return -1;
		g->n = i + 1;
	}
	return 0;
}

/* What is left of them after a failure is the runtime's to take away. */
static void close_group(struct group *g)
{
	for (unsigned i = 0; i < g->n; i++) {
		(void)unlinkat(g->new_fd, g->parts[i].dir, AT_REMOVEDIR);
		qt_close(g->parts[i].dir_fd);
	}
	free(g->parts);
}

static int try(struct group *g, bool still, struct qt_err *e)
{
	bool any = still || g->n == 1;

	/* A test that wants it not to work out. */
	if (!any && rt_failpoint(RT_FP_copy_moment, e) < 0)
		return qt_err_reset(e), 1;
	for (int i = 0; i < TRIES; i++) {
		int one;

		if (take_all(g, !any, e) < 0)
			return -1;
		one = any ? 1 : is_one_moment(g, e);
		if (one != 0)
			return one < 0 ? -1 : put_in_place(g, e);
		if (throw_away(g, e) < 0)
			return -1;
	}
	return 1;
}

int rt_btrfs_copy(const struct rt_store_tree *t, unsigned n, const struct rt_store_taking *where, bool still, struct qt_err *e)
{
	struct group g = {0};
	int r = open_group(&g, t, n, where, e);

	if (r == 0)
		r = try(&g, still, e);
	close_group(&g);
	return r;
}

/* A snapshot begins with writing out what is dirty in its source, while the source runs on. syncfs(2) would do the same for every
 * tenant of the pool. What fails here fails again where it matters. */
void rt_btrfs_flush(const struct rt_store_tree *t, unsigned n, const struct rt_store_taking *where)
{
	struct qt_err why = {0};
	struct group g = {0};

	if (open_group(&g, t, n, where, &why) == 0 && take_all(&g, false, &why) == 0)
		(void)throw_away(&g, &why);
	close_group(&g);
}
