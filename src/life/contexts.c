#include "contexts.h"

#include <dirent.h>
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

struct found {
	unsigned all, of_tenant;
	char oldest[128]; /* of the tenant's */
	struct timespec when;
};

static void look_at(int dir, const char *name, const struct qt_id *tenant, struct found *f)
{
	size_t len = strlen(tenant->s);
	const char *dot = strchr(name, '.');
	struct stat st;

	if (!dot || !qt_context_id_ok(dot + 1))
		return;
	f->all++;
	if (strncmp(name, tenant->s, len) != 0 || name[len] != '.' || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (f->of_tenant++ > 0 && (st.st_mtim.tv_sec > f->when.tv_sec || (st.st_mtim.tv_sec == f->when.tv_sec && st.st_mtim.tv_nsec >= f->when.tv_nsec)))
		return;
	f->when = st.st_mtim;
	(void)qt_copy(f->oldest, sizeof(f->oldest), name);
}

/* Room for one more of TENANT's. */
static int make_room(const struct qt_conf *conf, const struct qt_id *tenant, struct qt_err *e)
{
	struct found f = {0};
	const struct dirent *de;
	char path[300];
	DIR *d;

	(void)qt_fmt(path, sizeof(path), "%s/spool", conf->state_dir);
	d = opendir(path);
	if (!d)
		return qt_fail_sys(e, errno, "list the spool");
	while ((de = readdir(d)))
		look_at(dirfd(d), de->d_name, tenant, &f);
	if (f.of_tenant >= QT_CONTEXTS_TENANT_MAX)
		(void)unlinkat(dirfd(d), f.oldest, 0);
	(void)closedir(d);
	return f.all < QT_CONTEXTS_MAX || f.of_tenant >= QT_CONTEXTS_TENANT_MAX ? 0 : qt_fail(e, QT_E_UNAVAILABLE, "too many build contexts are kept just now");
}

int qt_context_keep(const struct qt_conf *conf, int fd, const struct qt_id *tenant, char *ret_id, struct qt_err *e)
{
	char path[400], self[40], id[QT_CONTEXT_ID + 1];

	if (make_room(conf, tenant, e) < 0)
		return -1;
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
