#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/btrfs.h>

#include "cleanup.h"
#include "dirs.h"
#include "str.h"

#define DEPTH_MAX 32

int rt_dir_make(int parent_fd, const char *name, mode_t mode, struct qt_err *e)
{
	auto_close int fd = -1;
	struct stat st;

	if (mkdirat(parent_fd, name, mode ? mode : 0700) < 0 && errno != EEXIST)
		return qt_fail_sys(e, errno, "make the directory %s", strrchr(name, '/') ? strrchr(name, '/') + 1 : name);
	fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return qt_fail_sys(e, errno, "open the directory %s", strrchr(name, '/') ? strrchr(name, '/') + 1 : name);
	if (st.st_uid != geteuid())
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the directory %s belongs to somebody else", name);
	if (mode && (st.st_mode & 07777) != mode && fchmod(fd, mode) < 0)
		return qt_fail_sys(e, errno, "chmod");
	return qt_take_fd(&fd);
}

int rt_dir_make_path(const char *path, mode_t mode, struct qt_err *e)
{
	char part[512];

	if (path[0] != '/' || !qt_copy(part, sizeof(part), path))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "\"%s\" is not an absolute path", path);
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0755) == 0 ? chmod(part, 0755) < 0 : errno != EEXIST) /* the umask is 077 */
			return qt_fail_sys(e, errno, "make %s", part);
		*slash = '/';
	}
	if (mode == 0) {
		if (mkdir(path, 0755) == 0 && chmod(path, 0755) < 0)
			return qt_fail_sys(e, errno, "chmod %s", path);
	}
	return rt_dir_make(AT_FDCWD, path, mode, e);
}

static DIR *open_list(int dir_fd)
{
	/* A description of its own: the position in a list is shared by duplicates. */
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		qt_close(fd);
	return d;
}

static bool is_dot(const char *name)
{
	return qt_streq(name, ".") || qt_streq(name, "..");
}

int rt_dir_each(int dir_fd, int (*fn)(const char *name, void *arg, struct qt_err *e), void *arg, struct qt_err *e)
{
	DIR *d = open_list(dir_fd);
	int r = 0;

	if (!d)
		return qt_fail_sys(e, errno, "list a directory");
	while (r == 0) {
		struct dirent *de;

		errno = 0;
		de = readdir(d);
		if (!de) {
			if (errno)
				r = qt_fail_sys(e, errno, "list a directory");
			break;
		}
		if (!is_dot(de->d_name))
			r = fn(de->d_name, arg, e);
	}
	(void)closedir(d);
	return r;
}

static int empty(int top_fd, int dir_fd, unsigned depth, unsigned *moved);

static int remove_dir(int top_fd, int dir_fd, const char *name, unsigned depth, unsigned *moved)
{
	struct btrfs_ioctl_vol_args sub = {.fd = 0};
	auto_close int fd = -1;

	if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0)
		return 0;
	/* A subvolume goes as one; what is not a subvolume, or not on btrfs, says so. */
	if (qt_copy(sub.name, sizeof(sub.name), name) && ioctl(dir_fd, BTRFS_IOC_SNAP_DESTROY, &sub) == 0)
		return 0;
	if (depth >= DEPTH_MAX) {
		char up[32];

		(void)snprintf(up, sizeof(up), ".deep.%d.%u", (int)getpid(), (*moved)++);
		return renameat(dir_fd, name, top_fd, up);
	}
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || empty(top_fd, fd, depth + 1, moved) < 0)
		return -1;
	return unlinkat(dir_fd, name, AT_REMOVEDIR);
}

static int empty(int top_fd, int dir_fd, unsigned depth, unsigned *moved)
{
	DIR *d = open_list(dir_fd);
	int failed = 0;

	if (!d)
		return -1;
	for (;;) {
		struct dirent *de;

		errno = 0;
		de = readdir(d);
		if (!de) {
			failed = failed ? failed : errno;
			break;
		}
		if (is_dot(de->d_name) || unlinkat(dir_fd, de->d_name, 0) == 0 || errno == ENOENT)
			continue;
		if ((errno == EISDIR || errno == EPERM) && remove_dir(top_fd, dir_fd, de->d_name, depth, moved) == 0)
			continue;
		failed = failed ? failed : errno; /* and go on: take away what can be */
	}
	(void)closedir(d);
	errno = failed;
	return failed ? -1 : 0;
}

int rt_dir_empty(int dir_fd)
{
	unsigned moved = 0, before;

	/* Each turn moves what lies deep to the top, where the next one finds it. */
	do {
		before = moved;
		if (empty(dir_fd, dir_fd, 0, &moved) < 0)
			return -1;
	} while (moved != before);
	return 0;
}
