#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"
#include "parts.h"
#include "str.h"

#define PLAIN (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

static int open2(int dir_fd, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
	long fd = -1;

	for (int i = 0; i < 8; i++) {
		fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return (int)fd;
}

int rt_path(int dir_fd, const char *path)
{
	return open2(dir_fd, path, O_PATH, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
}

int rt_have_dir(int dir_fd, const char *name, mode_t mode)
{
	if (mkdirat(dir_fd, name, mode) < 0 && errno != EEXIST)
		return -1;
	return open2(dir_fd, name, O_PATH | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

int rt_attach(struct rt_child *c, int mnt_fd, int at_fd)
{
	if (move_mount(mnt_fd, "", at_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return -1;
	c->n_attached++;
	return 0;
}

int rt_new_mount(const char *type, const char *const *options, unsigned attrs)
{
	auto_close int fs = fsopen(type, FSOPEN_CLOEXEC);

	if (fs < 0)
		return -1;
	for (; options && *options; options++) {
		char key[32];
		const char *value = strchr(*options, '=');
		int rc;

		if (value) {
			size_t n = (size_t)(value - *options);

			if (n >= sizeof(key)) {
				errno = EINVAL;
				return -1;
			}
			memcpy(key, *options, n);
			key[n] = '\0';
			rc = fsconfig(fs, FSCONFIG_SET_STRING, key, value + 1, 0);
		} else {
			rc = fsconfig(fs, FSCONFIG_SET_FLAG, *options, NULL, 0);
		}
		if (rc < 0)
			return -1;
	}
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return fsmount(fs, FSMOUNT_CLOEXEC, attrs);
}

int rt_mount_private(struct rt_child *c)
{
	(void)c;
	/* Private, not slave: nothing that the host mounts later comes in. */
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

/* Where the mounts wait for a root: over the host's /proc, a directory that is sure to be there and that nobody here has a use for. It goes with the host's root. */
int rt_mount_stage(struct rt_child *c)
{
	static const char *const options[] = {"size=4k", "nr_inodes=8", "mode=0755", NULL};

	c->stage_fd = rt_new_mount("tmpfs", options, PLAIN);
	return c->stage_fd < 0 ? -1 : move_mount(c->stage_fd, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH);
}

/* Onto "/", over the host's root, since that directory is sure to exist. What was opened before still leads below. */
int rt_mount_root(struct rt_child *c)
{
	if (move_mount(c->root_fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -1;
	c->n_attached++;
	return 0;
}

static int mount_at(struct rt_child *c, int dir_fd, const char *name, const char *type, const char *const *options,
		    unsigned attrs)
{
	auto_close int at = rt_have_dir(dir_fd, name, 0755);
	auto_close int mnt = -1;

	if (at < 0)
		return -1;
	mnt = rt_new_mount(type, options, attrs);
	if (mnt < 0 || rt_attach(c, mnt, at) < 0)
		return -1;
	return qt_take_fd(&mnt);
}

int rt_mount_proc(struct rt_child *c)
{
	c->proc_fd = mount_at(c, c->stage_fd, "proc", "proc", NULL, PLAIN);
	if (c->proc_fd < 0)
		return -1;
	c->sysctl_fd = rt_path(c->proc_fd, "sys"); /* as long as nothing read-only lies over it */
	return c->sysctl_fd < 0 ? -1 : 0;
}

int rt_mount_sys(struct rt_child *c)
{
	c->sys_fd = mount_at(c, c->stage_fd, "sys", "sysfs", NULL, PLAIN | MOUNT_ATTR_RDONLY);
	return c->sys_fd < 0 ? -1 : 0;
}

static const struct {
	const char *name, *host;
	unsigned major, minor;
} nodes[] = {
	{"null", "/dev/null", 1, 3},   {"zero", "/dev/zero", 1, 5},	  {"full", "/dev/full", 1, 7},
	{"random", "/dev/random", 1, 8}, {"urandom", "/dev/urandom", 1, 9}, {"tty", "/dev/tty", 5, 0},
};

static const struct {
	const char *name, *to;
} links[] = {
	{"fd", "/proc/self/fd"},	{"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
	{"stderr", "/proc/self/fd/2"}, {"ptmx", "pts/ptmx"},
};

static bool is_device(int fd, unsigned major, unsigned minor)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(major, minor);
}

/* The host's own node by way of a bind mount, taken from the host's tree, which is still below: made by mknod it would be dead in
 * a user namespace. Looked at through the descriptor that is then attached. */
int rt_bind_node(struct rt_child *c, int host_fd, const char *host, int dir_fd, const char *name, unsigned major, unsigned minor)
{
	auto_close int at = openat(dir_fd, name, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0666);
	auto_close int mnt = open_tree(host_fd, host, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC};

	if (at < 0 || mnt < 0)
		return -1;
	if (!is_device(mnt, major, minor)) {
		errno = ENODEV;
		return -1;
	}
	if (mount_setattr(mnt, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return -1;
	return rt_attach(c, mnt, at);
}

static int mount_optional(struct rt_child *c, const char *name, const char *type, const char *const *options)
{
	int fd = mount_at(c, c->dev_fd, name, type, options, PLAIN);

	qt_close(fd);
	return fd < 0 && errno != ENODEV ? -1 : 0; /* a kernel without it */
}

int rt_mount_dev(struct rt_child *c)
{
	static const char *const dev[] = {"size=64k", "nr_inodes=256", "mode=0755", NULL};
	static const char *const pts[] = {"newinstance", "ptmxmode=0666", "mode=0620", "gid=5", "max=64", NULL};
	static const char *const shm[] = {"size=64m", "mode=1777", NULL};
	auto_close int host = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC); /* the process's root is the host's until pivot_root */
	auto_close int pts_fd = -1, shm_fd = -1;

	if (host < 0)
		return -1;
	c->dev_fd = mount_at(c, c->stage_fd, "dev", "tmpfs", dev, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	if (c->dev_fd < 0)
		return -1;
	for (size_t i = 0; i < QT_LEN(nodes); i++)
		if (rt_bind_node(c, host, nodes[i].host + 1, c->dev_fd, nodes[i].name, nodes[i].major, nodes[i].minor) < 0)
			return -1;
	for (size_t i = 0; i < QT_LEN(links); i++)
		if (symlinkat(links[i].to, c->dev_fd, links[i].name) < 0)
			return -1;
	pts_fd = mount_at(c, c->dev_fd, "pts", "devpts", pts, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	shm_fd = mount_at(c, c->dev_fd, "shm", "tmpfs", shm, PLAIN);
	if (pts_fd < 0 || shm_fd < 0 || mount_optional(c, "mqueue", "mqueue", NULL) < 0)
		return -1;
	c->null_fd = openat(c->dev_fd, "null", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	return c->null_fd < 0 ? -1 : 0;
}

/* With all that lies on them. */
int rt_mount_places(struct rt_child *c)
{
	const struct {
		const char *name;
		int fd;
	} places[] = {{"proc", c->proc_fd}, {"sys", c->sys_fd}, {"dev", c->dev_fd}};

	for (size_t i = 0; i < QT_LEN(places); i++) {
		auto_close int at = rt_have_dir(c->root_fd, places[i].name, 0755);

		if (at < 0 || move_mount(places[i].fd, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
			return -1;
	}
	return 0;
}

int rt_mount_tmp(struct rt_child *c)
{
	static const char *const tmp[] = {"size=64m", "mode=1777", NULL};
	static const char *const run[] = {"size=64m", "mode=0755", NULL};
	auto_close int tmp_fd = -1, run_fd = -1;

	if (!c->what->strict)
		return 0;
	tmp_fd = mount_at(c, c->root_fd, "tmp", "tmpfs", tmp, PLAIN);
	run_fd = tmp_fd < 0 ? -1 : mount_at(c, c->root_fd, "run", "tmpfs", run, PLAIN);
	return run_fd < 0 ? -1 : 0;
}

bool rt_target_ok(const char *target)
{
	static const char *const taken[] = {"/proc", "/sys", "/dev"};
	size_t len = strlen(target);

	if (target[0] != '/' || len < 2 || len >= PATH_MAX || target[len - 1] == '/' || strstr(target, "//"))
		return false;
	for (const char *p = target; p; p = strchr(p + 1, '/')) {
		size_t n = strcspn(p + 1, "/");

		if (n > NAME_MAX || (n == 1 && p[1] == '.') || (n == 2 && p[1] == '.' && p[2] == '.'))
			return false;
	}
	for (size_t i = 0; i < QT_LEN(taken); i++) {
		size_t n = strlen(taken[i]);

		if (strncmp(target, taken[i], n) == 0 && (target[n] == '\0' || target[n] == '/'))
			return false;
	}
	return true;
}

/* Each component on its own, without links: no name is used twice, so there is nothing to swap between a check and a use. */
static int make_target(struct rt_child *c, const char *target)
{
	auto_close int at = fcntl(c->root_fd, F_DUPFD_CLOEXEC, 3);
	char name[NAME_MAX + 1];

	while (*target && at >= 0) {
		size_t n = strcspn(++target, "/");

		memcpy(name, target, n); /* rt_target_ok() saw its length */
		name[n] = '\0';
		target += n;
		qt_reset_fd(&at, rt_have_dir(at, name, 0755));
	}
	return qt_take_fd(&at);
}

int rt_mount_volumes(struct rt_child *c)
{
	for (unsigned i = 0; i < c->what->n_mounts; i++) {
		auto_close int at = make_target(c, c->what->mounts[i].target);

		if (at < 0 || rt_attach(c, c->volume_fd[i], at) < 0)
			return -1;
	}
	return 0;
}

int rt_mount_pivot(struct rt_child *c)
{
	/* The old root ends up on top of the new one, and goes from there. */
	if (fchdir(c->root_fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
		return -1;
	return chdir("/");
}

int rt_mount_readonly(struct rt_child *c)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};

	if (!c->what->strict)
		return 0;
	return mount_setattr(c->root_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr));
}

/* Exactly the mounts that were made here, and none that gets or gives news of mounts elsewhere. */
int rt_mount_check(struct rt_child *c)
{
	const size_t size = 4 << 20; /* a machine of thousands of cpus has as many masks; untouched pages cost nothing */
	auto_close int fd = openat(c->proc_fd, "self/mountinfo", O_RDONLY | O_CLOEXEC);
	auto_free char *buf = malloc(size);
	size_t len = 0;
	unsigned lines = 0;
	ssize_t n = 0;

	if (fd < 0 || !buf)
		return -1;
	while (len < size - 1 && (n = read(fd, buf + len, size - 1 - len)) > 0)
		len += (size_t)n;
	if (n < 0)
		return -1;
	buf[len] = '\0';
	for (const char *p = buf; (p = strchr(p, '\n')); p++)
		lines++;
	if (lines == c->n_attached && !strstr(buf, " shared:") && !strstr(buf, " master:"))
		return 0;
	errno = EXDEV;
	return -1;
}
