#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "fdio.h"
#include "rnd.h"
#include "rootpath.h"
#include "str.h"
#include "tree.h"

#define CHUNK 65536

/* What the tree's owner did to it, as opposed to what fails the host. */
static const struct {
	int sys;
	enum qt_code code;
	const char *text;
} known[] = {
	{ENOENT, QT_E_FILE_NOT_FOUND, "there is no such file or directory"},
	{ENOTDIR, QT_E_VALIDATION_ERROR, "a part of the path is not a directory"},
	{EISDIR, QT_E_VALIDATION_ERROR, "it is a directory"},
	{ELOOP, QT_E_VALIDATION_ERROR, "too many links, or one that is not followed"},
	{EXDEV, QT_E_VALIDATION_ERROR, "the path leaves the tree"},
	{ENAMETOOLONG, QT_E_VALIDATION_ERROR, "a name is too long"},
	{EINVAL, QT_E_VALIDATION_ERROR, "the file system does not take this"},
	{EILSEQ, QT_E_VALIDATION_ERROR, "the file system does not take this name"},
	{ENXIO, QT_E_VALIDATION_ERROR, "it is not a regular file"},
	{ENODEV, QT_E_VALIDATION_ERROR, "it is not a regular file"},
	{ENOTEMPTY, QT_E_CONFLICT, "the directory is not empty"},
	{EEXIST, QT_E_CONFLICT, "something else is in the way"},
	{EBUSY, QT_E_CONFLICT, "it is in use"},
	{ETXTBSY, QT_E_CONFLICT, "it is in use"},
	{EWOULDBLOCK, QT_E_CONFLICT, "one of the container's processes has a lease on it: try again"},
	{EROFS, QT_E_CONFLICT, "the file system is read-only"},
	{EACCES, QT_E_CONFLICT, "the file system does not permit it"},
	{EPERM, QT_E_CONFLICT, "the file system does not permit it"},
	{EMLINK, QT_E_CONFLICT, "too many links to it"},
	{EFBIG, QT_E_PAYLOAD_TOO_LARGE, "it is larger than this server takes"},
};

int ft_fail(struct qt_err *e, int sys, const char *what)
{
	for (size_t i = 0; i < QT_LEN(known); i++)
		if (known[i].sys == sys)
			return qt_fail(e, known[i].code, "cannot %s: %s", what, known[i].text);
	if (sys == ENOSPC || sys == EDQUOT)
		return qt_fail(e, QT_E_INSUFFICIENT_STORAGE, "cannot %s: the disk, or the quota, is full", what);
	return qt_fail_sys(e, sys, "%s", what);
}

int ft_open_name(int dir_fd, const char *name, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
		.mode = flags & O_CREAT ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	long fd;

	do
		fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
	while (fd < 0 && errno == EINTR);
	return (int)fd;
}

/* As the tree's processes would, from its root; -1 with errno. */
static int open_path(int root_fd, const char *path, int flags)
{
	struct qt_err e = {0};
	int fd = qt_open_in_root(root_fd, *path ? path : ".", flags, 0, &e);

	if (fd < 0)
		errno = e.sys;
	return fd;
}

/* Make the directory PATH, whose parents are there. It may appear meanwhile, by anybody's hand. */
static int make_dir(int root_fd, char *path)
{
	char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	auto_close int up = -1;

	if (slash)
		*slash = '\0';
	up = open_path(root_fd, slash ? path : "", O_PATH | O_DIRECTORY);
	if (slash)
		*slash = '/';
	if (up < 0)
		return -1;
	return mkdirat(up, name, 0755) < 0 && errno != EEXIST ? -1 : 0;
}

int ft_dir(int root_fd, const char *path, bool make, struct qt_err *e)
{
	int fd = open_path(root_fd, path, O_PATH | O_DIRECTORY);
	char part[FT_PATH_MAX];

	if (fd >= 0)
		return fd;
	if (errno != ENOENT || !make)
		return ft_fail(e, errno, "open the directory");
	(void)qt_copy(part, sizeof(part), path); /* ft_path() saw its length */
	for (char *end = part; end;) {
		end = strchr(end + 1, '/');
		if (end)
			*end = '\0';
		fd = open_path(root_fd, part, O_PATH | O_DIRECTORY);
		if (fd < 0 && (errno != ENOENT || make_dir(root_fd, part) < 0))
			return ft_fail(e, errno, "make a directory");
		qt_close(fd);
		if (end)
			*end = '/';
	}
	fd = open_path(root_fd, path, O_PATH | O_DIRECTORY);
	return fd >= 0 ? fd : ft_fail(e, errno, "make a directory");
}

int ft_parent(int root_fd, const char *path, bool make, const char **ret_name, struct qt_err *e)
{
	const char *slash = strrchr(path, '/');
	char up[FT_PATH_MAX];

	if (!*path)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "the path names no file");
	*ret_name = slash ? slash + 1 : path;
	(void)qt_copy(up, sizeof(up), path);
	up[slash ? slash - path : 0] = '\0';
	return ft_dir(root_fd, up, make, e);
}

enum ft_type ft_type_of(const struct stat *st)
{
	if (S_ISREG(st->st_mode))
		return FT_T_FILE;
	if (S_ISDIR(st->st_mode))
		return FT_T_DIR;
	return S_ISLNK(st->st_mode) ? FT_T_LINK : FT_T_OTHER;
}

int ft_stat(int root_fd, const char *path, struct ft_stat_rep *rep, struct qt_err *e)
{
	auto_close int fd = open_path(root_fd, path, O_PATH);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return ft_fail(e, errno, "look at the path");
	*rep = (struct ft_stat_rep){.type = ft_type_of(&st),
				    .mode = st.st_mode & 07777,
				    .size = (uint64_t)st.st_size,
				    .mtime = st.st_mtime > 0 ? (uint64_t)st.st_mtime : 0};
	return 0;
}

/* --- reading ------------------------------------------------------------------------------------------- */

int ft_read_open(int root_fd, const char *path, uint64_t max_bytes, struct ft_read_rep *rep, struct qt_err *e)
{
	/* Not to wait for the other end of a fifo, nor to wake a device. */
	auto_close int fd = open_path(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return ft_fail(e, errno, "read the file");
	if (!S_ISREG(st.st_mode))
		return ft_fail(e, S_ISDIR(st.st_mode) ? EISDIR : ENXIO, "read the file");
	if ((uint64_t)st.st_size > max_bytes)
		return qt_fail(e, QT_E_PAYLOAD_TOO_LARGE, "the file has %lld bytes, and at most %llu are sent this way",
			       (long long)st.st_size, (unsigned long long)max_bytes);
	*rep = (struct ft_read_rep){.size = (uint64_t)st.st_size,
				    .mode = st.st_mode & 07777,
				    .mtime = st.st_mtime > 0 ? (uint64_t)st.st_mtime : 0};
	return qt_take_fd(&fd);
}

static bool send_all(int out, const char *p, size_t len)
{
	while (len > 0) {
		struct pollfd w = {.fd = out, .events = POLLOUT};
		ssize_t n;

		if (poll(&w, 1, FT_IDLE_MS) <= 0)
			return false;
		n = write(out, p, len);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

void ft_read_send(int fd, int out, uint64_t size)
{
	static char chunk[CHUNK];
	struct qt_err e = {0};

	if (qt_set_nonblock(out, true, &e) < 0)
		return;
	while (size > 0) {
		ssize_t n = read(fd, chunk, size < sizeof(chunk) ? (size_t)size : sizeof(chunk));

		if (n <= 0 || !send_all(out, chunk, (size_t)n))
			return;
		size -= (uint64_t)n;
	}
}

/* --- writing ------------------------------------------------------------------------------------------- */

static int copy(int to, int from, uint64_t *ret_size)
{
	static char chunk[CHUNK];

	for (*ret_size = 0;;) {
		ssize_t n = read(from, chunk, sizeof(chunk));
		struct qt_err e = {0};

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return (int)n;
		if (qt_write_full(to, chunk, (size_t)n, &e) < 0) {
			errno = e.sys;
			return -1;
		}
		*ret_size += (uint64_t)n;
	}
}

int ft_write(int root_fd, const char *path, uint32_t mode, int from, struct ft_write_rep *rep, struct qt_err *e)
{
	const char *name;
	auto_close int dir = ft_parent(root_fd, path, true, &name, e), fd = -1;
	unsigned char r[8];
	char hex[17], tmp[32];

	if (dir < 0)
		return -1;
	qt_rnd(r, sizeof(r));
	qt_hex(hex, r, sizeof(r));
	(void)qt_fmt(tmp, sizeof(tmp), ".quilt.%s", hex);
	fd = ft_open_name(dir, tmp, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return ft_fail(e, errno, "write the file");
	/* Whoever looks sees the old file or the new; a link of this name is replaced, not followed. */
	if (copy(fd, from, &rep->size) == 0 && fchmod(fd, mode & 01777) == 0 && renameat(dir, tmp, dir, name) == 0)
		return 0;
	(void)ft_fail(e, errno, "write the file");
	(void)unlinkat(dir, tmp, 0);
	return -1;
}

int ft_delete(int root_fd, const char *path, struct qt_err *e)
{
	const char *name;
	auto_close int dir = ft_parent(root_fd, path, false, &name, e);

	if (dir < 0)
		return -1;
	if (unlinkat(dir, name, 0) == 0)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return ft_fail(e, errno, "delete the file");
	if (unlinkat(dir, name, AT_REMOVEDIR) == 0)
		return 0;
	return ft_fail(e, errno == ENOTDIR ? EPERM : errno, "delete it");
}
