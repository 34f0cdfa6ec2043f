/* Trees as plain directories, copied file by file: with blocks shared where the file system can (XFS), else with all their bytes. Such a
 * copy is not of one moment by itself: who takes one of a running container freezes it meanwhile (copy.c). */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "dirs.h"
#include "store_parts.h"

static const char *const parts[] = {"upper", "data"}; /* of a tree; `work` is made anew */

static int make(int dir_fd, const char *name, struct qt_err *e)
{
	return mkdirat(dir_fd, name, 0700) < 0 ? qt_fail_sys(e, errno, "make a directory") : 0;
}

static int copy_part(int from_fd, int to_fd, const char *part, bool share, struct qt_err *e)
{
	auto_close int from = openat(from_fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), to = -1, links = -1;

	if (from < 0)
		return errno == ENOENT ? 0 : qt_fail_sys(e, errno, "open a tree");
	to = rt_dir_make(to_fd, part, 0700, e);
	links = to < 0 ? -1 : rt_dir_make(to_fd, "links", 0700, e);
	if (links < 0 || rt_copy_tree(from, to, links, share, e) < 0)
		return -1;
	if (rt_dir_empty(links) < 0 || unlinkat(to_fd, "links", AT_REMOVEDIR) < 0)
		return qt_fail_sys(e, errno, "end a copy");
	return 0;
}

static int copy_one(const struct rt_store_tree *t, bool share, struct qt_err *e)
{
	auto_close int fd = rt_dir_make(t->to_dir_fd, t->name, 0700, e);

	if (fd < 0 || (t->number && rt_project_number(fd, t->number, e) < 0))
		return -1;
	for (size_t i = 0; i < QT_LEN(parts); i++)
		if (copy_part(t->from_fd, fd, parts[i], share, e) < 0)
			return -1;
	if (faccessat(t->from_fd, "work", F_OK, AT_SYMLINK_NOFOLLOW) == 0 && mkdirat(fd, "work", 0700) < 0)
		return qt_fail_sys(e, errno, "make a layer");
	/* On disk before anybody writes down that it is there. */
	return syncfs(fd) < 0 ? qt_fail_sys(e, errno, "sync a copy") : 0;
}

static int copy(const struct rt_store_tree *t, unsigned n, bool share, struct qt_err *e)
{
	for (unsigned i = 0; i < n; i++)
		if (copy_one(&t[i], share, e) < 0)
			return -1;
	return 0;
}

static int copy_bytes(const struct rt_store_tree *t, unsigned n, const struct rt_store_taking *where, bool still, struct qt_err *e)
{
	(void)where;
	(void)still;
	return copy(t, n, false, e);
}

static int copy_shared(const struct rt_store_tree *t, unsigned n, const struct rt_store_taking *where, bool still, struct qt_err *e)
{
	(void)where;
	(void)still;
	return copy(t, n, true, e);
}

static bool any(int pool_fd)
{
	(void)pool_fd;
	return true;
}

/* By trying. */
static bool can_share(int pool_fd)
{
	auto_close int a = openat(pool_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	auto_close int b = openat(pool_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return a >= 0 && b >= 0 && write(a, "x", 1) == 1 && ioctl(b, FICLONE, a) == 0;
}

#define BY_PROJECT .limits = rt_project_limits, .next = rt_project_next, .number = rt_project_number, .limit = rt_project_limit

const struct rt_store_driver rt_store_reflink = {.name = "reflink", .fits = can_share, BY_PROJECT, .make = make, .copy = copy_shared};
const struct rt_store_driver rt_store_copy = {.name = "copy", .fits = any, BY_PROJECT, .make = make, .copy = copy_bytes};
