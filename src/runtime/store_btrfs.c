/* Trees as subvolumes: a copy is one ioctl whatever its size, and all of it is of one moment. */
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cleanup.h"
#include "dirs.h"
#include "store_parts.h"
#include "str.h"

#ifndef BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA
#define BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA 4 /* Linux 6.7 */
#endif

static bool fits(int pool_fd)
{
	struct statfs st;

	return fstatfs(pool_fd, &st) == 0 && (uint32_t)st.f_type == BTRFS_SUPER_MAGIC;
}

/* Simple quotas: who writes an extent is charged for it until it is freed. The other kind follows back references at every
 * commit, and gets slower with every snapshot, so a kernel without simple ones has no limits. Again is well. */
static bool limits(int pool_fd)
{
	struct btrfs_ioctl_quota_ctl_args args = {.cmd = BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA};

	return ioctl(pool_fd, BTRFS_IOC_QUOTA_CTL, &args) == 0;
}

static int limit(int tree_fd, uint64_t bytes, struct qt_err *e)
{
	/* Of the subvolume that the descriptor is in. */
	struct btrfs_ioctl_qgroup_limit_args args = {.lim = {.flags = BTRFS_QGROUP_LIMIT_MAX_RFER, .max_rfer = bytes}};

	return ioctl(tree_fd, BTRFS_IOC_QGROUP_LIMIT, &args) < 0 ? qt_fail_sys(e, errno, "limit a subvolume") : 0;
}

static int make(int dir_fd, const char *name, struct qt_err *e)
{
	struct btrfs_ioctl_vol_args args = {.fd = 0};

	(void)qt_copy(args.name, sizeof(args.name), name);
	return ioctl(dir_fd, BTRFS_IOC_SUBVOL_CREATE, &args) < 0 ? qt_fail_sys(e, errno, "make a subvolume") : 0;
}

static int snapshot(int from_fd, int to_dir_fd, const char *name, bool read_only, struct qt_err *e)
{
	struct btrfs_ioctl_vol_args_v2 args = {.fd = from_fd, .flags = read_only ? BTRFS_SUBVOL_RDONLY : 0};

	(void)qt_copy(args.name, sizeof(args.name), name);
	return ioctl(to_dir_fd, BTRFS_IOC_SNAP_CREATE_V2, &args) < 0 ? qt_fail_sys(e, errno, "make a subvolume's snapshot") : 0;
}

/* What a mount of the overlay left: copies in flight, and the name that its kernel gave it, which two must not have. */
static int freshen(int tree_fd, struct qt_err *e)
{
	auto_close int work = openat(tree_fd, "work", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_close int upper = openat(tree_fd, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (work < 0 && errno == ENOENT)
		return 0; /* a volume */
	if (work < 0 || upper < 0 || rt_dir_empty(work) < 0)
		return qt_fail_sys(e, errno, "freshen a copy");
	if (fremovexattr(upper, "trusted.overlay.uuid") < 0 && errno != ENODATA)
		return qt_fail_sys(e, errno, "freshen a copy");
	return 0;
}

static int copy(int from_fd, int to_dir_fd, const char *name, bool read_only, struct qt_err *e)
{
	auto_close int fd = -1;

	if (snapshot(from_fd, to_dir_fd, name, read_only, e) < 0)
		return -1;
	if (read_only)
		return 0; /* freshened when it is used */
	fd = openat(to_dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? qt_fail_sys(e, errno, "open a copy") : freshen(fd, e);
}

/* A snapshot begins with writing out what is dirty in its source, while the source runs on. syncfs(2) would do the same for every
 * tenant of the pool. */
static int flush(int tree_fd, int trash_fd, struct qt_err *e)
{
	struct btrfs_ioctl_vol_args args = {.fd = 0};

	if (!qt_fmt(args.name, sizeof(args.name), "flush.%d", (int)getpid()))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a name too long");
	if (snapshot(tree_fd, trash_fd, args.name, true, e) < 0)
		return -1;
	(void)ioctl(trash_fd, BTRFS_IOC_SNAP_DESTROY, &args); /* else with the trash */
	return 0;
}

const struct rt_store_driver rt_store_btrfs = {
	.name = "btrfs",
	.at_once = true,
	.fits = fits,
	.limits = limits,
	.limit = limit,
	.make = make,
	.copy = copy,
	.flush = flush,
};
