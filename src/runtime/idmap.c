#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>

#include "cleanup.h"
#include "fdio.h"
#include "parts.h"
#include "str.h"

int rt_idmap_write(int proc_fd, uint32_t uid_base, struct qt_err *e)
{
	char map[40];

	if (!qt_fmt(map, sizeof(map), "0 %u 65536\n", uid_base))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "id map too long");
	if (qt_write_ctl(proc_fd, "uid_map", map, e) < 0)
		return -1;
	/* Written by root of the host, so that setgroups(2) stays allowed inside: daemons need it to step down. */
	return qt_write_ctl(proc_fd, "gid_map", map, e);
}

int rt_idmap_clone(int dir_fd, const char *name, int userns_fd, uint64_t set, uint64_t clear, struct qt_err *e)
{
	struct mount_attr attr = {
		.attr_set = set | MOUNT_ATTR_IDMAP,
		.attr_clr = clear,
		.propagation = MS_PRIVATE,
		.userns_fd = (uint64_t)userns_fd,
	};
	auto_close int fd = open_tree(dir_fd, name,
				      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);

	if (fd < 0)
		return qt_fail_sys(e, errno, "clone a tree");
	if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return qt_fail_sys(e, errno, "map the ids of a tree");
	return qt_take_fd(&fd);
}
