#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "parts.h"
#include "str.h"

/* security.md 5.5: what tells about the host, or steers it. Below /proc and /sys; a kernel need not have all of them. */
static const char *const proc_hidden[] = {
	"acpi",	     "asound",	    "config.gz",  "interrupts",	 "kallsyms",	 "kcore",	 "keys",     "latency_stats",
	"sched_debug", "scsi",	    "timer_list", "timer_stats", "vmallocinfo", "pagetypeinfo", "slabinfo",
};
static const char *const sys_hidden[] = {
	"firmware",	"devices/virtual/powercap", "kernel/debug", "kernel/tracing", "kernel/security",
	"fs/bpf",	"fs/fuse",		    "fs/cgroup",
};
static const char *const proc_readonly[] = {"bus", "fs", "irq", "sys", "sysrq-trigger"};

struct cover {
	int empty_fd; /* the first attached mount of the one empty file system, -1 before; the others are its clones */
};

static int clone_here(int fd, uint64_t set)
{
	struct mount_attr attr = {.attr_set = set};
	auto_close int mnt = open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

	if (mnt < 0 || (set && mount_setattr(mnt, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0))
		return -1;
	return qt_take_fd(&mnt);
}

static int new_empty(void)
{
	static const char *const options[] = {"size=4k", "nr_inodes=1", "mode=0555", NULL};

	return rt_new_mount("tmpfs", options,
			    MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY);
}

static int hide(struct rt_child *c, struct cover *v, int dir_fd, const char *path)
{
	auto_close int at = rt_path(dir_fd, path);
	auto_close int mnt = -1;
	struct stat st;

	if (at < 0)
		return errno == ENOENT ? 0 : -1;
	if (fstat(at, &st) < 0)
		return -1;
	if (!S_ISDIR(st.st_mode))
		mnt = clone_here(c->null_fd, 0);
	else if (v->empty_fd >= 0)
		mnt = clone_here(v->empty_fd, 0);
	else
		mnt = new_empty();
	if (mnt < 0 || rt_attach(c, mnt, at) < 0)
		return -1;
	/* A clone can be made of an attached mount only (kernels before 6.15). */
	if (S_ISDIR(st.st_mode) && v->empty_fd < 0)
		v->empty_fd = qt_take_fd(&mnt);
	return 0;
}

static int freeze(struct rt_child *c, const char *path)
{
	auto_close int at = rt_path(c->proc_fd, path);
	auto_close int mnt = -1;

	if (at < 0)
		return errno == ENOENT ? 0 : -1;
	mnt = clone_here(at, MOUNT_ATTR_RDONLY);
	return mnt < 0 ? -1 : rt_attach(c, mnt, at);
}

static int hide_all(struct rt_child *c, struct cover *v)
{
	for (size_t i = 0; i < QT_LEN(proc_hidden); i++)
		if (hide(c, v, c->proc_fd, proc_hidden[i]) < 0)
			return -1;
	for (size_t i = 0; i < QT_LEN(sys_hidden); i++)
		if (hide(c, v, c->sys_fd, sys_hidden[i]) < 0)
			return -1;
	for (unsigned i = 0; i < c->sp->n_cpus; i++) {
		char path[64];

		if (!qt_fmt(path, sizeof(path), "devices/system/cpu/cpu%u/thermal_throttle", i) ||
		    hide(c, v, c->sys_fd, path) < 0)
			return -1;
	}
	return 0;
}

int rt_masks(struct rt_child *c)
{
	struct cover v = {-1};
	int rc = hide_all(c, &v);
	int sys = errno;

	qt_close(v.empty_fd);
	errno = sys;
	for (size_t i = 0; rc == 0 && i < QT_LEN(proc_readonly); i++)
		rc = freeze(c, proc_readonly[i]);
	return rc;
}
