#include "contexts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "rnd.h"
#include "str.h"

bool qt_context_id_ok(const char *text)
{
	for (size_t i = 0; i < QT_CONTEXT_ID; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text[i] != '-' : !text[i] || !strchr("0123456789abcdef", text[i]))
			return false;
	}
	return text[QT_CONTEXT_ID] == '\0';
}

static void new_id(char *out)
{
	unsigned char r[16];
	char hex[33];

	qt_rnd(r, sizeof(r));
	r[6] = (unsigned char)((r[6] & 0x0f) | 0x40); /* RFC 9562: version 4 */
	r[8] = (unsigned char)((r[8] & 0x3f) | 0x80);
	qt_hex(hex, r, sizeof(r));
	(void)qt_fmt(out, QT_CONTEXT_ID + 1, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

/* The whole path: a tenant's id and a UUID are plain names. */
static bool path_of(char *out, size_t size, const struct qt_conf *conf, const struct qt_id *tenant, const char *id)
{
	return qt_fmt(out, size, "%s/spool/%s.%s", conf->state_dir, tenant->s, id);
}

int qt_context_keep(const struct qt_conf *conf, int fd, const struct qt_id *tenant, char *ret_id, struct qt_err *e)
{
	char path[400], self[40], id[QT_CONTEXT_ID + 1];

	new_id(id);
	(void)qt_fmt(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (!path_of(path, sizeof(path), conf, tenant, id) || linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0)
		return qt_fail_sys(e, errno, "name a build context");
	(void)qt_copy(ret_id, QT_CONTEXT_ID + 1, id);
	return 0;
}

int qt_context_open(const struct qt_conf *conf, const struct qt_id *tenant, const char *id, struct qt_err *e)
{
	char path[400];
	struct stat st;
	int fd = -1;

	if (qt_context_id_ok(id) && path_of(path, sizeof(path), conf, tenant, id))
		fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	else
		errno = ENOENT;
	if (fd < 0 && errno != ENOENT)
		return qt_fail_sys(e, errno, "open a build context");
	if (fd >= 0 && (fstat(fd, &st) < 0 || time(NULL) - st.st_mtime > (time_t)conf->build_context_ttl_s)) {
		(void)close(fd);
		fd = -1;
	}
	return fd >= 0 ? fd : qt_fail_field(e, QT_E_BUILD_CONTEXT_NOT_FOUND, "/context_id", "", "there is no such build context");
}
