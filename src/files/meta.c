#include "meta.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "cleanup.h"
#include "str.h"
#include "tree.h"

/* A date, then the name with its NUL; unaligned. */
int ft_dates_add(struct ft_dates *d, const char *name, const struct timespec *mtime, struct qt_err *e)
{
	size_t n = sizeof(*mtime) + strlen(name) + 1;

	if (n > FT_DATES_BYTES - d->len)
		return qt_fail(e, QT_E_ARCHIVE_REFUSED, "the layer holds too many directories");
	if (n > d->cap - d->len) {
		size_t cap = 2 * d->cap + n + 4096;
		char *more = realloc(d->v, cap);

		if (!more)
			return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
		d->v = more;
		d->cap = cap;
	}
	memcpy(d->v + d->len, mtime, sizeof(*mtime));
	memcpy(d->v + d->len + sizeof(*mtime), name, n - sizeof(*mtime));
	d->len += n;
	return 0;
}

void ft_dates_set(const struct ft_dates *d, int top_fd)
{
	for (size_t at = 0; at < d->len;) {
		struct timespec times[2] = {{.tv_nsec = UTIME_NOW}};
		const char *name = d->v + at + sizeof(times[1]);
		auto_close int fd = ft_open_name(top_fd, *name ? name : ".", O_RDONLY | O_DIRECTORY, 0);

		memcpy(&times[1], d->v + at, sizeof(times[1]));
		if (fd >= 0)
			(void)futimens(fd, times); /* as of files: one that the file system cannot hold is no reason to fail */
		at += sizeof(times[1]) + strlen(name) + 1;
	}
}

void ft_dates_done(struct ft_dates *d)
{
	free(d->v);
	*d = (struct ft_dates){0};
}

int ft_xattrs(int fd, struct archive_entry *en, const char *shown, uint64_t *bytes, struct qt_err *e)
{
	const char *name;
	const void *value;
	size_t size;

	(void)archive_entry_xattr_reset(en);
	while (archive_entry_xattr_next(en, &name, &value, &size) == ARCHIVE_OK) {
		if (!name || !qt_starts(name, "user.") || qt_starts(name, "user.overlay."))
			continue;
		if (size > FT_XATTR_MAX || strlen(name) > XATTR_NAME_MAX)
			return ft_refuse(e, shown, "has too large an attribute");
		*bytes += strlen(name) + size;
		if (fsetxattr(fd, name, value, size, 0) == 0 || errno == EOPNOTSUPP)
			continue;
		return errno == ENOSPC || errno == EDQUOT ? ft_fail(e, errno, "set an attribute") : ft_refuse(e, shown, "has an attribute that cannot be set");
	}
	return 0;
}
