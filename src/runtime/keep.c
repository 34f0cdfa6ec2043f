#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "dirs.h"
#include "fdio.h"
#include "journal.h"
#include "log.h"
#include "msg.h"

#define MAGIC	0x314a5451U /* "QTJ1" */
#define VERSION 1U

struct head {
	uint32_t magic, version;
	uint64_t sum; /* of everything behind the head */
};

static const struct rt_field rows[] = {
#define R(type, name, max) {#name, RT_F_##type, offsetof(struct rt_entry, name), max}
	R(U32, phase, 0),      R(U32, state, 0),      R(ID, id, 0),	     R(ID, tenant, 0),	  R(STR, hostname, 64),
	R(STR, image, 128),    R(STR, workdir, 512),  R(STR, link, 16),	     R(STR, boot_id, 40), R(U32, memory_mb, 0),
	R(U32, cpu_centi, 0),  R(U32, strict, 0),     R(U32, range, 0),	     R(U32, ip, 0),	  R(U32, pid, 0),
	R(U32, exit_code, 0),  R(U64, start_time, 0), R(U64, created_ms, 0), R(U64, started_ms, 0),
	R(U64, exited_ms, 0),  R(BLOB, record, 16384),
#undef R
};

/* FNV-1a: against torn and rotten files, not against people. */
static uint64_t checksum(const char *p, size_t len)
{
	uint64_t h = 0xcbf29ce484222325U;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)p[i]) * 0x100000001b3U;
	return h;
}

int rt_journal_open(struct rt_journal *j, int state_fd, struct qt_err *e)
{
	j->dir_fd = j->bad_fd = -1;
	j->dir_fd = rt_dir_make(state_fd, "journal", 0700, e);
	if (j->dir_fd < 0)
		return -1;
	j->bad_fd = rt_dir_make(state_fd, "journal.bad", 0700, e);
	return j->bad_fd < 0 ? -1 : 0;
}

void rt_journal_close(struct rt_journal *j)
{
	qt_reset_fd(&j->dir_fd, -1);
	qt_reset_fd(&j->bad_fd, -1);
}

int rt_journal_put(struct rt_journal *j, const struct rt_entry *en, bool sync, struct qt_err *e)
{
	char buf[sizeof(struct head) + 32768];
	struct head h = {.magic = MAGIC, .version = VERSION};
	struct rt_head msg = {.magic = RT_MAGIC};
	int len = rt_encode(buf + sizeof(h), sizeof(buf) - sizeof(h), &msg, rows, QT_LEN(rows), en, e);

	if (len < 0)
		return qt_context(e, "journal");
	h.sum = checksum(buf + sizeof(h), (size_t)len);
	memcpy(buf, &h, sizeof(h));
	if (qt_replace_file(j->dir_fd, en->id.s, buf, sizeof(h) + (size_t)len, 0600, sync, e) < 0)
		return qt_context(e, "journal");
	return 0;
}

int rt_journal_drop(struct rt_journal *j, const struct qt_id *id, struct qt_err *e)
{
	if (unlinkat(j->dir_fd, id->s, 0) < 0) {
		if (errno == ENOENT)
			return 0;
		return qt_fail_sys(e, errno, "journal: unlink");
	}
	if (fsync(j->dir_fd) < 0)
		return qt_fail_sys(e, errno, "journal: sync");
	return 0;
}

bool rt_journal_is_bad(struct rt_journal *j, const char *id)
{
	struct stat st;

	return fstatat(j->bad_fd, id, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* One that we may not read differs from one that makes no sense: the first is a reason to stop. */
enum verdict { GOOD, BAD, NEWER, UNREADABLE };

static enum verdict read_one(struct rt_journal *j, const char *name, char *buf, size_t size, struct rt_entry *ret,
			     struct qt_err *e)
{
	ssize_t len = qt_read_file(j->dir_fd, name, buf, size, e);
	struct qt_id id;
	struct head h;

	if (len < 0)
		return e->sys == EFBIG ? BAD : UNREADABLE;
	if ((size_t)len < sizeof(h))
		return (void)qt_fail(e, QT_E_INTERNAL_ERROR, "cut short"), BAD;
	memcpy(&h, buf, sizeof(h));
	if (h.magic != MAGIC)
		return (void)qt_fail(e, QT_E_INTERNAL_ERROR, "not of the journal"), BAD;
	if (h.version != VERSION)
		return (void)qt_fail(e, QT_E_INTERNAL_ERROR, "journal: an entry has version %u, this program knows %u",
				     h.version, VERSION),
		       NEWER;
	if (h.sum != checksum(buf + sizeof(h), (size_t)len - sizeof(h)))
		return (void)qt_fail(e, QT_E_INTERNAL_ERROR, "wrong checksum"), BAD;
	if (rt_decode(ret, sizeof(*ret), rows, QT_LEN(rows), buf + sizeof(h), (size_t)len - sizeof(h), e) < 0)
		return BAD;
	if (!qt_id_parse(&id, "ctr", name) || strcmp(id.s, ret->id.s) != 0 || ret->phase >= RT_PH_COUNT ||
	    ret->state == RT_ST_NONE || ret->state >= RT_ST_COUNT)
		return (void)qt_fail(e, QT_E_INTERNAL_ERROR, "an entry of something else"), BAD;
	return GOOD;
}

static int set_aside(struct rt_journal *j, const char *name, const struct qt_err *why, struct qt_err *e)
{
	qt_log_err(QT_LOG_ERROR, why, "journal: the entry %.40s cannot be used and is set aside; its container is lost, its files are kept",
		   name);
	if (renameat(j->dir_fd, name, j->bad_fd, name) < 0)
		return qt_fail_sys(e, errno, "journal: set an entry aside");
	return 0;
}

static int each(struct rt_journal *j, DIR *d, int (*fn)(const struct rt_entry *en, void *arg, struct qt_err *e), void *arg,
		struct qt_err *e)
{
	char buf[40000];

	for (;;) {
		struct rt_entry en;
		struct qt_err why = {0};
		struct dirent *de;

		errno = 0;
		de = readdir(d);
		if (!de)
			return errno ? qt_fail_sys(e, errno, "journal: readdir") : 0;
		if (de->d_name[0] == '.') {
			/* A replacement that was never finished; "." and ".." do not go this way. */
			if (fn && strlen(de->d_name) > 2)
				(void)unlinkat(j->dir_fd, de->d_name, 0);
			continue;
		}
		switch (read_one(j, de->d_name, buf, sizeof(buf), &en, &why)) {
		case GOOD:
			if (fn && fn(&en, arg, e) < 0)
				return -1;
			break;
		case BAD:
			if (fn && set_aside(j, de->d_name, &why, e) < 0)
				return -1;
			break;
		case NEWER:
		case UNREADABLE:
			*e = why;
			return -1;
		}
	}
}

int rt_journal_load(struct rt_journal *j, int (*fn)(const struct rt_entry *en, void *arg, struct qt_err *e), void *arg,
		    struct qt_err *e)
{
	/* Twice: the first round only looks, so that a journal which is not ours to read stays as it is. */
	for (int round = 0; round < 2; round++) {
		int fd = openat(j->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *d = fd < 0 ? NULL : fdopendir(fd);
		int r;

		if (!d) {
			(void)qt_fail_sys(e, errno, "journal: open");
			qt_close(fd);
			return -1;
		}
		r = each(j, d, round == 0 ? NULL : fn, arg, e);
		(void)closedir(d);
		if (r < 0)
			return -1;
	}
	return 0;
}
