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

/* Of bytes alone: btrfs does not count files. */
static int limit(int tree_fd, const struct rt_limit *l, struct qt_err *e)
{
	/* Of the subvolume that the descriptor is in. */
	struct btrfs_ioctl_qgroup_limit_args args = {.lim = {.flags = BTRFS_QGROUP_LIMIT_MAX_RFER, .max_rfer = l->bytes}};

	if (l->bytes == 0)
		return 0;
	return ioctl(tree_fd, BTRFS_IOC_QGROUP_LIMIT, &args) < 0 ? qt_fail_sys(e, errno, "limit a subvolume") : 0;
}

static int make(int dir_fd, const char *name, struct qt_err *e)
{
	struct btrfs_ioctl_vol_args args = {.fd = 0};

	(void)qt_copy(args.name, sizeof(args.name), name);
	return ioctl(dir_fd, BTRFS_IOC_SUBVOL_CREATE, &args) < 0 ? qt_fail_sys(e, errno, "make a subvolume") : 0;
}

/* What a mount of the overlay left: copies in flight, and the name that its kernel gave it, which two must not have. */
int rt_btrfs_freshen(int dir_fd, const char *name, struct qt_err *e)
{
	auto_close int tree = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_close int work = openat(tree, "work", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_close int upper = openat(tree, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (tree < 0)
		return qt_fail_sys(e, errno, "open a copy");
	if (work < 0 && errno == ENOENT)
		return 0; /* a volume */
	if (work < 0 || upper < 0 || rt_dir_empty(work) < 0)
		return qt_fail_sys(e, errno, "freshen a copy");
	if (fremovexattr(upper, "trusted.overlay.uuid") < 0 && errno != ENODATA)
		return qt_fail_sys(e, errno, "freshen a copy");
	return 0;
}

const struct rt_store_driver rt_store_btrfs = {
	.name = "btrfs",
	.at_once = true,
	.fits = fits,
	.limits = limits,
	.limit = limit,
	.make = make,
	.copy = rt_btrfs_copy,
	.flush = rt_btrfs_flush,
};
