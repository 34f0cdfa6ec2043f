#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "dirs.h"
#include "fdio.h"
#include "keep.h"
#include "log.h"
#include "msg.h"

struct head {
	uint32_t magic, version;
	uint64_t sum; /* of everything behind the head */
};

/* FNV-1a: against torn and rotten files, not against people. */
static uint64_t checksum(const char *p, size_t len)
{
	uint64_t h = 0xcbf29ce484222325U;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)p[i]) * 0x100000001b3U;
	return h;
}

int rt_keep_open(struct rt_keep *k, const struct rt_keep_kind *kind, int state_fd, struct qt_err *e)
{
	*k = (struct rt_keep){.kind = kind, .dir_fd = -1, .bad_fd = -1};
	k->dir_fd = rt_dir_make(state_fd, kind->dir, 0700, e);
	if (k->dir_fd < 0)
		return -1;
	k->bad_fd = rt_dir_make(state_fd, kind->bad, 0700, e);
	return k->bad_fd < 0 ? -1 : 0;
}

void rt_keep_close(struct rt_keep *k)
{
	qt_reset_fd(&k->dir_fd, -1);
	qt_reset_fd(&k->bad_fd, -1);
}

int rt_keep_put(struct rt_keep *k, const char *name, const void *en, bool sync, struct qt_err *e)
{
	const struct rt_keep_kind *kind = k->kind;
	char buf[sizeof(struct head) + 32768];
	struct head h = {.magic = kind->magic, .version = kind->version};
	struct rt_head msg = {.magic = RT_MAGIC};
	int len = rt_encode(buf + sizeof(h), sizeof(buf) - sizeof(h), &msg, kind->rows, kind->n_rows[kind->version - 1], en, e);

	if (len < 0)
		return qt_context(e, "%s", kind->dir);
	h.sum = checksum(buf + sizeof(h), (size_t)len);
	memcpy(buf, &h, sizeof(h));
	if (qt_replace_file(k->dir_fd, name, buf, sizeof(h) + (size_t)len, 0600, sync, e) < 0)
		return qt_context(e, "%s", kind->dir);
	return 0;
}

int rt_keep_drop(struct rt_keep *k, const char *name, struct qt_err *e)
{
	if (unlinkat(k->dir_fd, name, 0) < 0) {
		if (errno == ENOENT)
			return 0;
		return qt_fail_sys(e, errno, "%s: unlink", k->kind->dir);
	}
	if (fsync(k->dir_fd) < 0)
		return qt_fail_sys(e, errno, "%s: sync", k->kind->dir);
	return 0;
}

bool rt_keep_is_bad(const struct rt_keep *k, const char *name)
{
	struct stat st;

	return fstatat(k->bad_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* One that we may not read differs from one that makes no sense: the first is a reason to stop. */
enum verdict { GOOD, BAD, NEWER, UNREADABLE };

static enum verdict read_one(struct rt_keep *k, const char *name, char *buf, size_t size, void *ret, struct qt_err *e)
{
	const struct rt_keep_kind *kind = k->kind;
	ssize_t len = qt_read_file(k->dir_fd, name, buf, size, e);
	struct head h;

	if (len < 0)
		return e->sys == EFBIG ? BAD : UNREADABLE;
	if ((size_t)len < sizeof(h))
		return (void)qt_fail(e, QT_E_INTERNAL_ERROR, "cut short"), BAD;
	memcpy(&h, buf, sizeof(h));
	if (h.magic != kind->magic || h.version == 0)
		return (void)qt_fail(e, QT_E_INTERNAL_ERROR, "not of this kind"), BAD;
	if (h.version > kind->version)
		return (void)qt_fail(e, QT_E_INTERNAL_ERROR, "%s: an entry has version %u, this program knows %u", kind->dir,
				     h.version, kind->version),
		       NEWER;
	if (h.sum != checksum(buf + sizeof(h), (size_t)len - sizeof(h)))
		return (void)qt_fail(e, QT_E_INTERNAL_ERROR, "wrong checksum"), BAD;
	if (rt_decode(ret, kind->size, kind->rows, kind->n_rows[h.version - 1], buf + sizeof(h), (size_t)len - sizeof(h), e) < 0)
		return BAD;
	if (!kind->sane(ret, name))
		return (void)qt_fail(e, QT_E_INTERNAL_ERROR, "an entry of something else"), BAD;
	return GOOD;
}

static int set_aside(struct rt_keep *k, const char *name, const struct qt_err *why, struct qt_err *e)
{
	qt_log_err(QT_LOG_ERROR, why, "%s: the entry %.40s cannot be used and is set aside; %s", k->kind->dir, name, k->kind->lost);
	if (renameat(k->dir_fd, name, k->bad_fd, name) < 0)
		return qt_fail_sys(e, errno, "%s: set an entry aside", k->kind->dir);
	return 0;
}

static int each(struct rt_keep *k, DIR *d, int (*fn)(const void *en, void *arg, struct qt_err *e), void *arg,
		struct qt_err *e)
{
	char buf[40000];

	for (;;) {
		union {
			max_align_t align;
			char bytes[RT_KEEP_STRUCT_MAX];
		} en;
		struct qt_err why = {0};
		struct dirent *de;

		errno = 0;
		de = readdir(d);
		if (!de)
			return errno ? qt_fail_sys(e, errno, "%s: readdir", k->kind->dir) : 0;
		if (de->d_name[0] == '.') {
			/* A replacement that was never finished; "." and ".." do not go this way. */
			if (fn && strlen(de->d_name) > 2)
				(void)unlinkat(k->dir_fd, de->d_name, 0);
			continue;
		}
		switch (read_one(k, de->d_name, buf, sizeof(buf), &en, &why)) {
		case GOOD:
			if (fn && fn(&en, arg, e) < 0)
				return -1;
			break;
		case BAD:
			if (fn && set_aside(k, de->d_name, &why, e) < 0)
				return -1;
			break;
		case NEWER:
		case UNREADABLE:
			*e = why;
			return -1;
		}
	}
}

int rt_keep_load(struct rt_keep *k, int (*fn)(const void *en, void *arg, struct qt_err *e), void *arg,
		    struct qt_err *e)
{
	/* Twice: the first round only looks, so that a journal which is not ours to read stays as it is. */
	for (int round = 0; round < 2; round++) {
		int fd = openat(k->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *d = fd < 0 ? NULL : fdopendir(fd);
		int r;

		if (!d) {
			(void)qt_fail_sys(e, errno, "%s: open", k->kind->dir);
			qt_close(fd);
			return -1;
		}
		r = each(k, d, round == 0 ? NULL : fn, arg, e);
		(void)closedir(d);
		if (r < 0)
			return -1;
	}
	return 0;
}
