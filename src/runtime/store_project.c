/* Limits of trees that are plain directories: project quotas, of XFS and ext4, where the pool is mounted with prjquota. A tree is a project, by a number
 * that the file system keeps with each of its files: what is made in a directory of a project is of that project, and nobody in a user namespace can change
 * it. Blocks that several share count for each of them. */
#include <errno.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "store_parts.h"

#define NUMBERS \
	(1U     \
	 << 20) /* more trees than a node has; they are used again, since the kernel keeps a record of each for good */
#define BLOCK 512 /* what the kernel counts in here */

static int ask(int fd, int cmd, uint32_t number, void *arg)
{
	return (int)syscall(SYS_quotactl_fd, fd, QCMD(cmd, PRJQUOTA), number, arg);
}

bool rt_project_limits(int pool_fd)
{
	struct fs_quota_statv st = {.qs_version = FS_QSTATV_VERSION1};

	return ask(pool_fd, Q_XGETQSTATV, 0, &st) == 0 && (st.qs_flags & FS_QUOTA_PDQ_ENFD);
}

/* Nothing is counted for it: neither a tree nor what is left of one in the trash. */
static bool is_free(int fd, uint32_t number)
{
	struct fs_disk_quota d = {0};

	return ask(fd, Q_XGETQUOTA, number, &d) == 0 ? d.d_icount == 0 && d.d_bcount == 0
						     : errno == ENOENT;
}

int rt_project_next(int pool_fd, uint32_t *last, struct qt_err *e)
{
	for (uint32_t tries = 0; tries < NUMBERS; tries++) {
		*last = *last % NUMBERS + 1;
		if (is_free(pool_fd, *last))
			return 0;
	}
	return qt_fail(e, QT_E_INTERNAL_ERROR, "the pool has no number left for a tree");
}

static int set(int fd, uint32_t number, const struct rt_limit *l, struct qt_err *e)
{
	struct fs_disk_quota d = {.d_version = FS_DQUOT_VERSION,
				  .d_flags = FS_PROJ_QUOTA,
				  .d_id = number,
				  .d_fieldmask = FS_DQ_BHARD | FS_DQ_IHARD,
				  .d_blk_hardlimit = (l->bytes + BLOCK - 1) / BLOCK,
				  .d_ino_hardlimit = l->files};

	return ask(fd, Q_XSETQLIM, number, &d) < 0 ? qt_fail_sys(e, errno, "limit a tree") : 0;
}

int rt_project_number(int tree_fd, uint32_t number, struct qt_err *e)
{
	struct fsxattr x;

	/* What an earlier tree of this number was held to. */
	if (set(tree_fd, number, &(struct rt_limit){0, 0}, e) < 0)
		return -1;
	if (ioctl(tree_fd, FS_IOC_FSGETXATTR, &x) < 0)
		return qt_fail_sys(e, errno, "number a tree");
	x.fsx_projid = number;
	x.fsx_xflags |= FS_XFLAG_PROJINHERIT;
	return ioctl(tree_fd, FS_IOC_FSSETXATTR, &x) < 0 ? qt_fail_sys(e, errno, "number a tree")
							 : 0;
}

int rt_project_limit(int tree_fd, const struct rt_limit *l, struct qt_err *e)
{
	struct fsxattr x;

	if (ioctl(tree_fd, FS_IOC_FSGETXATTR, &x) < 0)
		return qt_fail_sys(e, errno, "limit a tree");
	if (x.fsx_projid == 0)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a tree without a number cannot be limited");
	return set(tree_fd, x.fsx_projid, l, e);
}
