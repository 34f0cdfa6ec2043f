#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cleanup.h"
#include "fdio.h"
#include "parts.h"
#include "str.h"

/* The name of the directory FD in its parent PARENT_FD, checked: overlayfs wants upper and work below one mount, so they
 * have to be named from their common parent's clone. The pool is the runtime's own; nothing renames there meanwhile. */
static int name_in_parent(int fd, int parent_fd, char *name, size_t size, struct qt_err *e)
{
	char link[40], path[PATH_MAX];
	struct stat a, b;
	ssize_t n;

	if (!qt_fmt(link, sizeof(link), "/proc/self/fd/%d", fd))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "descriptor number too long");
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return qt_fail_sys(e, errno, "name a directory of the pool");
	path[n] = '\0';
	if (!strrchr(path, '/') || !qt_copy(name, size, strrchr(path, '/') + 1))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a directory of the pool has no usable name");
	if (fstat(fd, &a) < 0 || fstatat(parent_fd, name, &b, AT_SYMLINK_NOFOLLOW) < 0)
		return qt_fail_sys(e, errno, "look at a directory of the pool");
	if (a.st_dev != b.st_dev || a.st_ino != b.st_ino)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the upper and work directories do not lie beside each other");
	return 0;
}

/* What an overlay is told. Paths are descriptor numbers, relative to /proc/self/fd, so what the container reads in its mountinfo names nothing of the host. */
struct told {
	char lower[RT_LAYERS_MAX * 8], upper[NAME_MAX + 16], work[NAME_MAX + 16];
};

#define FSCONFIG_MAX 255 /* bytes of a value that fsconfig(2) takes */
#define FIXED(X)     X("redirect_dir", "nofollow") X("metacopy", "off") X("index", "off") X("xino", "off")

static int set(int fs, const char *key, const char *value, struct qt_err *e)
{
	return fsconfig(fs, FSCONFIG_SET_STRING, key, value, 0) < 0 ? qt_fail_sys(e, errno, "overlay: %s", key) : 0;
}

static int make_detached(const struct told *t, struct qt_err *e)
{
#define ROW(key, value) {key, value},
	static const char *const fixed[][2] = {{"source", "overlay"}, FIXED(ROW)};
#undef ROW
	auto_close int fs = fsopen("overlay", FSOPEN_CLOEXEC);
	int fd;

	if (fs < 0)
		return qt_fail_sys(e, errno, "open overlayfs");
	for (size_t i = 0; i < QT_LEN(fixed); i++)
		if (set(fs, fixed[i][0], fixed[i][1], e) < 0)
			return -1;
	if (set(fs, "lowerdir", t->lower, e) < 0 || set(fs, "upperdir", t->upper, e) < 0 || set(fs, "workdir", t->work, e) < 0)
		return -1;
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return qt_fail_sys(e, errno, "make the overlay");
	fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID);
	return fd >= 0 ? fd : qt_fail_sys(e, errno, "mount the overlay");
}

/* Many layers: mount(2) takes a page of options, on every kernel, but attaches what it makes. In the runtime's mount namespace, which is its own (harden.c),
 * over the root, which nobody meets: only ".." of the root leads there. */
static int make_attached(const struct told *t, struct qt_err *e)
{
#define ROW(key, value) "," key "=" value
	auto_close int top = -1;
	struct statfs st;
	char options[4096], path[40];
	int fd;

	if (!qt_fmt(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s" FIXED(ROW), t->lower, t->upper, t->work))
		return qt_fail(e, QT_E_UNAVAILABLE, "too many layers for the descriptors in use");
#undef ROW
	if (mount("overlay", "/", "overlay", MS_NODEV | MS_NOSUID, options) < 0)
		return qt_fail_sys(e, errno, "mount the overlay");
	top = open("/..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (top < 0 || fstatfs(top, &st) < 0 || st.f_type != OVERLAYFS_SUPER_MAGIC || !qt_fmt(path, sizeof(path), "/proc/self/fd/%d", top))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the overlay is not where it was mounted");
	fd = open_tree(top, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (fd < 0)
		(void)qt_fail_sys(e, errno, "take the overlay");
	(void)umount2(path, MNT_DETACH);
	return fd;
}

/* The kernel keeps the credentials of who makes an overlay, and acts in its upper directory with them. Host root is nobody in an
 * idmapped mount, and such an overlay would be read-only: so it is made as root of the container, in file system matters only, and
 * with the capabilities that setfsuid(2) takes away from whoever leaves 0. */
static int become(uint32_t id, struct __user_cap_data_struct *caps, struct qt_err *e)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};

	(void)setfsgid(id); /* both answer the old value, always: the second call asks */
	(void)setfsuid(id);
	if (setfsgid(-1U) != (int)id || setfsuid(-1U) != (int)id)
		return qt_fail_sys(e, EPERM, "take on the container's ids");
	if (syscall(SYS_capset, &head, caps) < 0)
		return qt_fail_sys(e, errno, "keep the capabilities");
	return 0;
}

static int make_in_fds(uint32_t uid_base, const struct told *t, struct qt_err *e)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct ours[2], its[2];
	struct qt_err worse = {0};
	auto_close int back = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_close int fds = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_close int made = -1;

	if (back < 0 || fds < 0 || fchdir(fds) < 0)
		return qt_fail_sys(e, errno, "go to the descriptors");
	if (syscall(SYS_capget, &head, ours) < 0)
		return qt_fail_sys(e, errno, "read the capabilities");
	memcpy(its, ours, sizeof(its));
	its[0].effective &= ~(1U << CAP_SYS_RESOURCE); /* it is above quotas, and takes what a disk keeps for root */
	if (become(uid_base, its, e) == 0)
		made = strlen(t->lower) <= FSCONFIG_MAX ? make_detached(t, e) : make_attached(t, e);
	/* A runtime that went on as somebody else would fail at everything: better to begin anew. */
	if (become(0, ours, &worse) < 0)
		abort();
	if (fchdir(back) < 0)
		return qt_fail_sys(e, errno, "go back");
	return qt_take_fd(&made);
}

/* The clones that an overlay is made of: the layers, and behind them what holds the upper and work directories. */
struct trees {
	int fd[RT_LAYERS_MAX + 1];
	unsigned n, attached;
};

/* Kernels before 6.15 stack only what is attached in the caller's mount namespace. The runtime's is its own (harden.c), so that nobody meets them
 * there, and nothing outlives it. Found out at the first container. */
static bool must_attach;

static int trees_attach(struct trees *t, struct qt_err *e)
{
	for (; t->attached < t->n; t->attached++)
		if (move_mount(t->fd[t->attached], "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
			return qt_fail_sys(e, errno, "attach a tree");
	return 0;
}

/* The overlay has clones of its own. */
static void trees_done(struct trees *t)
{
	char path[40];

	while (t->attached > 0)
		if (qt_fmt(path, sizeof(path), "/proc/self/fd/%d", t->fd[--t->attached]))
			(void)umount2(path, MNT_DETACH);
	while (t->n > 0)
		qt_close(t->fd[--t->n]);
}

static int trees_add(struct trees *t, int dir_fd, int userns_fd, struct qt_err *e)
{
	int fd = rt_idmap_clone(dir_fd, "", userns_fd, 0, 0, e);

	if (fd >= 0)
		t->fd[t->n++] = fd;
	return fd;
}

int rt_overlay_make(const struct rt_spawn *what, int userns_fd, struct qt_err *e)
{
	QT_AUTO(trees_done) struct trees t = {.n = 0};
	struct told told = {.lower = ""};
	auto_close int parent = -1;
	char up_name[NAME_MAX + 1], work_name[NAME_MAX + 1];
	size_t at = 0;
	int fd;

	if (what->n_lower == 0 || what->n_lower > RT_LAYERS_MAX)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "%u layers", what->n_lower);
	for (unsigned i = 0; i < what->n_lower; i++) {
		fd = trees_add(&t, what->lower_fds[i], userns_fd, e);
		if (fd < 0)
			return qt_context(e, "layer");
		if (!qt_fmt(told.lower + at, sizeof(told.lower) - at, "%s%d", i ? ":" : "", fd))
			return qt_fail(e, QT_E_UNAVAILABLE, "too many layers for the descriptors in use");
		at += strlen(told.lower + at);
	}
	parent = openat(what->upper_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0)
		return qt_fail_sys(e, errno, "open the container's directory");
	if (name_in_parent(what->upper_fd, parent, up_name, sizeof(up_name), e) < 0 ||
	    name_in_parent(what->work_fd, parent, work_name, sizeof(work_name), e) < 0)
		return -1;
	fd = trees_add(&t, parent, userns_fd, e);
	if (fd < 0)
		return qt_context(e, "upper directory");
	if (!qt_fmt(told.upper, sizeof(told.upper), "%d/%s", fd, up_name) || !qt_fmt(told.work, sizeof(told.work), "%d/%s", fd, work_name))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the names of upper and work are too long");
	for (;;) {
		if (must_attach && trees_attach(&t, e) < 0)
			return -1;
		fd = make_in_fds(what->uid_base, &told, e);
		if (fd >= 0 || must_attach || e->sys != EINVAL)
			return fd;
		must_attach = true;
		*e = (struct qt_err){0};
	}
}
