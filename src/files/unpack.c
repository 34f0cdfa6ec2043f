#include "unpack.h"

#include <archive.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "str.h"
#include "tree.h"

bool ft_join(char *out, const char *path, const char *name)
{
	return qt_fmt(out, FT_PATH_MAX, "%s%s%s", path, *path && *name ? "/" : "", name);
}

int ft_unpack_parent(struct ft_place *place, int root_fd, const char *path, const struct ft_member *m, const char **name, struct qt_err *e)
{
	const char *slash = strrchr(m->name, '/');
	char up[FT_PATH_MAX], whole[FT_PATH_MAX];

	*name = slash ? slash + 1 : m->name;
	(void)qt_copy(up, sizeof(up), m->name);
	up[slash ? slash - m->name : 0] = '\0';
	if (!ft_join(whole, path, up))
		return ft_refuse(e, m->shown, "has too long a path");
	if (place->fd >= 0 && qt_streq(place->path, whole))
		return place->fd;
	qt_reset_fd(&place->fd, ft_dir(root_fd, whole, true, e));
	(void)qt_copy(place->path, sizeof(place->path), whole);
	return place->fd;
}

int ft_unpack_broken(struct archive *a, struct qt_err *e)
{
	return archive_errno(a) == ENOMEM ? qt_fail(e, QT_E_ARCHIVE_REFUSED, "the archive takes too much memory to read")
					  : qt_fail(e, QT_E_ARCHIVE_REFUSED, "the archive is damaged, or not a tar or tar.gz");
}

int ft_unpack_data(struct archive *a, const struct ft_member *m, int out, int (*check)(void *arg, struct archive *a, struct qt_err *e), void *arg,
		   struct qt_err *e)
{
	uint64_t end = 0;

	for (;;) {
		const void *block;
		size_t len;
		int64_t at;
		int r = archive_read_data_block(a, &block, &len, &at);

		if (r == ARCHIVE_EOF)
			break;
		if (r < ARCHIVE_WARN)
			return ft_unpack_broken(a, e);
		if (at < 0 || (uint64_t)at + len > m->size)
			return ft_refuse(e, m->shown, "holds more than it says");
		for (size_t n = 0; out >= 0 && n < len;) {
			ssize_t put = pwrite(out, (const char *)block + n, len - n, at + (int64_t)n);

			if (put < 0)
				return ft_fail(e, errno, "write a file");
			n += (size_t)put;
		}
		end = (uint64_t)at + len > end ? (uint64_t)at + len : end;
		if (check(arg, a, e) < 0)
			return -1;
	}
	if (out >= 0 && end < m->size && ftruncate(out, (off_t)m->size) < 0) /* ends with a hole */
		return ft_fail(e, errno, "write a file");
	return 0;
}

int ft_unpack_clear(int dir, const char *name, struct qt_err *e)
{
	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	return ft_fail(e, errno == EISDIR ? EEXIST : errno, "replace a file");
}
