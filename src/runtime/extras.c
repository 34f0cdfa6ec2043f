/* What a container gets of the host besides: the nodes and files of its GPUs (struct rt_extras). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "parts.h"
#include "str.h"

/* /dev is ours, and new: each directory on the way is made here, or was by the node before. */
static int make_node(struct rt_child *c, int host_fd, const struct rt_extra_node *n)
{
	auto_close int dir = fcntl(c->dev_fd, F_DUPFD_CLOEXEC, 3);
	const char *p = n->path + strlen("/dev/");
	char name[NAME_MAX + 1];

	for (const char *slash; dir >= 0 && (slash = strchr(p, '/')); p = slash + 1) {
		if (!qt_fmt(name, sizeof(name), "%.*s", (int)(slash - p), p)) {
			errno = ENAMETOOLONG;
			return -1;
		}
		qt_reset_fd(&dir, rt_have_dir(dir, name, 0755));
	}
	if (dir < 0)
		return -1;
	if (rt_bind_node(c, host_fd, n->host + 1, dir, p, n->major, n->minor) < 0) {
		errno = errno == ENOENT ? ENODEV : errno;
		return -1;
	}
	return 0;
}

/* The directory that PATH lies in, made if it is not there; its last component into NAME. */
static int parent(int root_fd, const char *path, char name[NAME_MAX + 1])
{
	const char *last = strrchr(path, '/') + 1;
	char dir[PATH_MAX];

	if (strlen(last) > NAME_MAX || !qt_fmt(dir, sizeof(dir), "/%.*s", (int)(last - path), path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	(void)strcpy(name, last);
	return rt_root_dir(root_fd, dir);
}

/* A link in the place of what we put there is removed, not followed, wherever it leads. */
static int make_place(int dir_fd, const char *name, bool dir)
{
	auto_close int fd = -1;
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode) && unlinkat(dir_fd, name, 0) < 0)
		return -1;
	if (dir)
		return rt_have_dir(dir_fd, name, 0755);
	qt_close(openat(dir_fd, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644));
	fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -1;
	if (S_ISREG(st.st_mode))
		return qt_take_fd(&fd);
	errno = EEXIST;
	return -1;
}

static int make_file(struct rt_child *c, int host_fd, const struct rt_extra_file *f)
{
	auto_close int mnt = open_tree(host_fd, f->host + 1, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (f->noexec ? MOUNT_ATTR_NOEXEC : 0U)};
	auto_close int dir = -1, at = -1;
	char name[NAME_MAX + 1];
	struct stat st;

	if (mnt < 0 && errno == ENOENT)
		errno = ENODEV; /* of the host's, not of the container's */
	if (mnt < 0 || fstat(mnt, &st) < 0 || mount_setattr(mnt, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return -1;
	dir = parent(c->root_fd, f->path, name);
	at = dir < 0 ? -1 : make_place(dir, name, S_ISDIR(st.st_mode));
	return at < 0 ? -1 : rt_attach(c, mnt, at);
}

static int make_link(struct rt_child *c, const struct rt_extra_link *l)
{
	char name[NAME_MAX + 1];
	auto_close int dir = parent(c->root_fd, l->path, name);
	struct stat st;

	if (dir < 0)
		return -1;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (l->keep || !S_ISLNK(st.st_mode))
			return 0;
		if (unlinkat(dir, name, 0) < 0)
			return -1;
	}
	return symlinkat(l->to, dir, name);
}

int rt_mount_extras(struct rt_child *c)
{
	const struct rt_extras *x = &c->what->extras;
	auto_close int host = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC); /* as in rt_mount_dev() */

	if (host < 0)
		return -1;
	for (unsigned i = 0; i < x->n_nodes; i++)
		if (make_node(c, host, &x->nodes[i]) < 0)
			return -1;
	for (unsigned i = 0; i < x->n_files; i++)
		if (make_file(c, host, &x->files[i]) < 0)
			return -1;
	for (unsigned i = 0; i < x->n_links; i++)
		if (make_link(c, &x->links[i]) < 0)
			return -1;
	return 0;
}
