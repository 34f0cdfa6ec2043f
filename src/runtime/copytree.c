/* Copying a tree whose owner may be hostile and at work on it: nothing is opened through a link, every name is one component below a
 * directory that is held open, and what is opened is looked at again. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "store_parts.h"
#include "str.h"

/* Two descriptors a level. No path is longer; who climbs down further by hand is told. */
#define DEPTH_MAX  2048
#define NAMES_MAX  65536 /* what the kernel gives at most: a file's names of xattrs, and the value of one */
#define CHUNK	   (1U << 20)
#define LOOK_EVERY 256

struct copy {
	int links_fd;
	bool share;
	char *names, *value; /* NAMES_MAX each */
	unsigned depth;
	struct qt_err *e;
};

static int fail(struct copy *c, const char *what)
{
	return qt_fail_sys(c->e, errno, "copy a tree: %s", what);
}

/* --- attributes ---------------------------------------------------------------------------------------- */

/* They name the lower file by a handle and this overlay by a number: another overlay makes its own. */
static bool is_own(const char *name)
{
	return qt_streq(name, "trusted.overlay.origin") || qt_streq(name, "trusted.overlay.uuid") ||
	       qt_streq(name, "user.overlay.origin") || qt_streq(name, "user.overlay.uuid");
}

/* Both by /proc/self/fd: a descriptor that only names something (O_PATH) has no calls of its own for this. */
static int copy_xattrs(struct copy *c, int from_fd, int to_fd)
{
	char from[40], to[40];
	ssize_t len;

	if (!qt_fmt(from, sizeof(from), "/proc/self/fd/%d", from_fd) || !qt_fmt(to, sizeof(to), "/proc/self/fd/%d", to_fd))
		return qt_fail(c->e, QT_E_INTERNAL_ERROR, "descriptor number too long");
	len = listxattr(from, c->names, NAMES_MAX);
	if (len < 0)
		return errno == ENOTSUP ? 0 : fail(c, "list attributes");
	for (const char *name = c->names; name < c->names + len; name += strlen(name) + 1) {
		ssize_t size = is_own(name) ? -1 : getxattr(from, name, c->value, NAMES_MAX);

		if (is_own(name) || (size < 0 && errno == ENODATA))
			continue;
		if (size < 0 || setxattr(to, name, c->value, (size_t)size, 0) < 0)
			return fail(c, "an attribute");
	}
	return 0;
}

/* The owner first: it takes setuid bits away. */
static int copy_attributes(struct copy *c, int from_fd, int to_fd, const struct stat *st)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};
	char to[40];

	if (!qt_fmt(to, sizeof(to), "/proc/self/fd/%d", to_fd))
		return qt_fail(c->e, QT_E_INTERNAL_ERROR, "descriptor number too long");
	if (fchownat(to_fd, "", st->st_uid, st->st_gid, AT_EMPTY_PATH) < 0)
		return fail(c, "an owner");
	if (!S_ISLNK(st->st_mode) && chmod(to, st->st_mode & 07777) < 0)
		return fail(c, "a mode");
	if (copy_xattrs(c, from_fd, to_fd) < 0)
		return -1;
	return utimensat(AT_FDCWD, to, times, 0) < 0 ? fail(c, "times") : 0;
}

/* --- contents ------------------------------------------------------------------------------------------ */

static int read_and_write(struct copy *c, int from, int to, off_t at, off_t end)
{
	auto_free char *buf = malloc(CHUNK);

	if (!buf)
		return qt_fail(c->e, QT_E_UNAVAILABLE, "out of memory");
	while (at < end) {
		ssize_t n = pread(from, buf, end - at < (off_t)CHUNK ? (size_t)(end - at) : CHUNK, at), put = 0;

		if (n < 0)
			return fail(c, "read");
		if (n == 0)
			return 0; /* it became shorter */
		while (put < n) {
			ssize_t w = pwrite(to, buf + put, (size_t)(n - put), at + put);

			if (w < 0)
				return fail(c, "write");
			put += w;
		}
		at += n;
	}
	return 0;
}

static int copy_range(struct copy *c, int from, int to, off_t at, off_t end)
{
	while (at < end) {
		off_t in = at, out = at;
		ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - at), 0);

		if (n < 0 && (errno == EXDEV || errno == EOPNOTSUPP || errno == EINVAL || errno == ENOSYS))
			return read_and_write(c, from, to, at, end);
		if (n < 0)
			return fail(c, "write");
		if (n == 0)
			return read_and_write(c, from, to, at, end); /* it became shorter, or this file system says so */
		at += n;
	}
	return 0;
}

/* Not more than the size that was seen: a file that grows as fast as it is copied would never end. Holes stay holes. */
static int copy_content(struct copy *c, int from, int to, off_t size)
{
	off_t at = 0;

	if (c->share && ioctl(to, FICLONE, from) == 0)
		return 0;
	if (ftruncate(to, size) < 0)
		return fail(c, "a size");
	while (at < size) {
		off_t data = lseek(from, at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			return 0;
		if (data < 0)
			data = at; /* a file system that knows of no holes */
		hole = lseek(from, data, SEEK_HOLE);
		if (hole < 0 || hole > size)
			hole = size;
		if (data >= size)
			return 0;
		if (copy_range(c, from, to, data, hole) < 0)
			return -1;
		at = hole > data ? hole : size;
	}
	return 0;
}

/* --- entries ------------------------------------------------------------------------------------------- */

static int copy_dir(struct copy *c, int from, int to);

static int copy_file(struct copy *c, int from_dir, int to_dir, const char *name, const struct stat *seen)
{
	auto_close int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_NOATIME | O_CLOEXEC);
	auto_close int to = -1;
	struct stat st;

	if (from < 0)
		return errno == ENOENT || errno == ELOOP ? 0 : fail(c, "open a file");
	if (fstat(from, &st) < 0)
		return fail(c, "look at a file");
	if (!S_ISREG(st.st_mode) || st.st_ino != seen->st_ino)
		return 0; /* replaced just now */
	to = openat(to_dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return fail(c, "make a file");
	if (copy_content(c, from, to, st.st_size) < 0)
		return -1;
	return copy_attributes(c, from, to, &st);
}

static int copy_subdir(struct copy *c, int from_dir, int to_dir, const char *name)
{
	auto_close int from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
	auto_close int to = -1;
	int r;

	if (from < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : fail(c, "open a directory");
	if (c->depth >= DEPTH_MAX)
		return qt_fail(c->e, QT_E_CONFLICT, "directories lie more than %u deep: this storage driver does not copy them", DEPTH_MAX);
	if (mkdirat(to_dir, name, 0700) < 0)
		return fail(c, "make a directory");
	to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0)
		return fail(c, "open a directory");
	c->depth++;
	r = copy_dir(c, from, to);
	c->depth--;
	return r;
}

static int copy_special(struct copy *c, int from_dir, int to_dir, const char *name, const struct stat *st)
{
	auto_close int from = openat(from_dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	auto_close int to = -1;
	struct stat now;
	ssize_t n;

	if (from < 0 || fstat(from, &now) < 0)
		return errno == ENOENT ? 0 : fail(c, "open something");
	if (now.st_ino != st->st_ino || (now.st_mode & S_IFMT) != (st->st_mode & S_IFMT))
		return 0;
	if (S_ISLNK(st->st_mode)) {
		n = readlinkat(from, "", c->value, NAMES_MAX - 1);
		if (n < 0)
			return fail(c, "read a link");
		c->value[n] = '\0';
		if (symlinkat(c->value, to_dir, name) < 0)
			return fail(c, "make a link");
	} else if (S_ISFIFO(st->st_mode) || S_ISSOCK(st->st_mode) || (S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0))) {
		/* The last is how overlayfs says that a file of the image was deleted, and needs no privilege. */
		if (mknodat(to_dir, name, st->st_mode & (S_IFMT | 07777), st->st_rdev) < 0)
			return fail(c, "make a special file");
	} else {
		return 0; /* a device: no container can make one, and this program neither */
	}
	to = openat(to_dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return to < 0 ? fail(c, "open a copy") : copy_attributes(c, from, to, st);
}

/* A second name of what was copied already. The first one was given another name in LINKS_FD, by its number: no table in memory, which
 * a tenant could fill. 1: done. */
static int link_again(struct copy *c, int to_dir, const char *name, const char *key)
{
	if (linkat(c->links_fd, key, to_dir, name, 0) == 0)
		return 1;
	return errno == ENOENT ? 0 : fail(c, "make a hard link");
}

static int copy_entry(struct copy *c, int from, int to, const char *name)
{
	struct stat st;
	char key[40];
	int r;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(c, "look at an entry");
	if (S_ISDIR(st.st_mode))
		return copy_subdir(c, from, to, name);
	(void)snprintf(key, sizeof(key), "%llx", (unsigned long long)st.st_ino);
	if (st.st_nlink > 1) {
		r = link_again(c, to, name, key);
		if (r != 0)
			return r < 0 ? -1 : 0;
	}
	r = S_ISREG(st.st_mode) ? copy_file(c, from, to, name, &st) : copy_special(c, from, to, name, &st);
	if (r < 0)
		return -1;
	if (st.st_nlink > 1 && linkat(to, name, c->links_fd, key, 0) < 0 && errno != ENOENT)
		return fail(c, "make a hard link");
	return 0;
}

static int copy_dir(struct copy *c, int from, int to)
{
	int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct stat st;
	int r = 0;

	if (!d) {
		(void)fail(c, "list a directory");
		qt_close(fd);
		return -1;
	}
	while (r == 0) {
		const struct dirent *de;

		errno = 0;
		de = readdir(d);
		if (!de) {
			if (errno)
				r = fail(c, "list a directory");
			break;
		}
		if (!qt_streq(de->d_name, ".") && !qt_streq(de->d_name, ".."))
			r = copy_entry(c, from, to, de->d_name);
	}
	(void)closedir(d);
	if (r < 0)
		return -1;
	if (fstat(from, &st) < 0)
		return fail(c, "look at a directory");
	return copy_attributes(c, from, to, &st); /* last: entries change its times */
}

int rt_copy_tree(int from_fd, int to_fd, int links_fd, bool share, struct qt_err *e)
{
	auto_free char *names = malloc(NAMES_MAX), *value = malloc(NAMES_MAX);
	struct copy c = {.links_fd = links_fd, .share = share, .names = names, .value = value, .e = e};

	if (!names || !value)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	return copy_dir(&c, from_fd, to_fd);
}

/* --- counting ------------------------------------------------------------------------------------------ */

struct count {
	uint64_t *bytes, *files;
	int64_t until;
	unsigned depth, looked;
	bool over;
};

static void count_dir(struct count *c, int dir_fd)
{
	DIR *d = fdopendir(dir_fd);

	if (!d) {
		qt_close(dir_fd);
		return;
	}
	for (const struct dirent *de; !c->over && (de = readdir(d));) {
		struct stat st;
		int fd;

		if (qt_streq(de->d_name, ".") || qt_streq(de->d_name, "..") ||
		    fstatat(dir_fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		c->over = c->looked++ % LOOK_EVERY == 0 && qt_mono_ms() > c->until;
		(*c->files)++;
		/* The parts of all names of a file are its whole. */
		*c->bytes += (uint64_t)st.st_blocks * 512 / (S_ISDIR(st.st_mode) || st.st_nlink == 0 ? 1 : st.st_nlink);
		if (!S_ISDIR(st.st_mode) || c->depth >= DEPTH_MAX)
			continue;
		fd = openat(dir_fd, de->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
		c->depth++;
		if (fd >= 0)
			count_dir(c, fd);
		c->depth--;
	}
	(void)closedir(d);
}

void rt_count_tree(int fd, int64_t until, uint64_t *bytes, uint64_t *files)
{
	struct count c = {.bytes = bytes, .files = files, .until = until};
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (own >= 0)
		count_dir(&c, own);
}
