#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "parts.h"
#include "rootpath.h"
#include "str.h"

/* The image is hostile: a link of that NAME is removed, not followed. Nobody else runs in this root yet, so there is no need for a
 * rename, which overlayfs makes dear; nor for fsync, since the file is made anew at every start. */
static int put(int dir_fd, const char *name, const char *text)
{
	auto_close int fd = -1;
	size_t len = strlen(text);

	if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
		return -1;
	fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -1;
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0)
			return -1;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

int rt_root_files(struct rt_child *c)
{
	struct qt_err e = {0};
	auto_close int etc = -1;
	char name[72], hosts[256];

	/* Links are resolved as the container will resolve them, inside. */
	if (mkdirat(c->root_fd, "etc", 0755) < 0 && errno != EEXIST)
		return -1;
	etc = qt_open_in_root(c->root_fd, "etc", O_PATH | O_DIRECTORY, 0, &e);
	if (etc < 0) {
		errno = e.sys;
		return -1;
	}
	if (!qt_fmt(name, sizeof(name), "%s\n", c->what->hostname) ||
	    !qt_fmt(hosts, sizeof(hosts), "127.0.0.1\tlocalhost\n127.0.1.1\t%s\n", c->what->hostname)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (put(etc, "hostname", name) < 0 || put(etc, "hosts", hosts) < 0)
		return -1;
	return put(etc, "resolv.conf", c->what->resolv_conf);
}

int rt_root_dir(int root_fd, const char *dir)
{
	struct qt_err e = {0};
	auto_close int at = qt_open_in_root(root_fd, dir, O_PATH | O_DIRECTORY, 0, &e);
	char path[PATH_MAX];

	if (at >= 0)
		return qt_take_fd(&at);
	if (e.sys != ENOENT || !qt_copy(path, sizeof(path), dir)) {
		errno = e.sys == ENOENT ? ENAMETOOLONG : e.sys;
		return -1;
	}
	qt_reset_fd(&at, fcntl(root_fd, F_DUPFD_CLOEXEC, 3));
	for (char *p = path; at >= 0 && *p; p += strcspn(p, "/")) {
		char *end, kept;

		p += strspn(p, "/");
		end = p + strcspn(p, "/");
		if (end == p)
			break;
		kept = *end;
		*end = '\0';
		if (mkdirat(at, p, 0755) < 0 && errno != EEXIST)
			return -1;
		/* The path from the root, not the one component from AT: ".." and absolute links are then resolved against the
		 * container's root. */
		qt_err_reset(&e);
		qt_reset_fd(&at, qt_open_in_root(root_fd, path, O_PATH | O_DIRECTORY, 0, &e));
		if (at < 0) {
			errno = e.sys;
			return -1;
		}
		*end = kept;
	}
	return qt_take_fd(&at);
}

/* Links count, as they will for chdir(2) inside; what is missing is made. */
int rt_root_workdir(struct rt_child *c)
{
	auto_close int at = rt_root_dir(c->root_fd, c->what->workdir);

	return at < 0 ? -1 : 0;
}
