#include "spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "contexts.h"
#include "str.h"

static int open_dir(const struct qt_conf *conf, struct qt_err *e)
{
	char path[300];
	int fd;

	(void)qt_fmt(path, sizeof(path), "%s/spool", conf->state_dir);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 ? fd : qt_fail_sys(e, errno, "open the spool");
}

bool qt_op_file_name(char *out, size_t size, const struct qt_op *o)
{
	return qt_fmt(out, size, "%s.%s", o->tenant.s, o->id.s);
}

int qt_op_file_over(struct qt_life *l, const char *name, struct qt_err *e)
{
	const char *dot = strchr(name, '.');
	char first[QT_ID_MAX + 1];
	struct qt_id tenant;
	struct qt_op op;
	int r;

	if (!dot || !qt_fmt(first, sizeof(first), "%.*s", (int)(dot - name), name) || !qt_id_parse(&tenant, NULL, first))
		return qt_fail(e, QT_E_OPERATION_NOT_FOUND, "this is not the name of an operation's file");
	if (qt_store_op_get(l->store, &tenant, dot + 1, &op, e) < 0)
		return -1;
	r = qt_op_final(op.status);
	qt_op_done(&op);
	return r;
}

static void close_list(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

/* Calls FN for each file's name. FN may remove it. */
static int each(int dir, int (*fn)(int dir, const char *name, void *arg), void *arg, struct qt_err *e)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	QT_AUTO(close_list) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *de;

	if (!d) {
		(void)qt_fail_sys(e, errno, "list the spool");
		qt_close(fd);
		return -1;
	}
	while ((de = readdir(d)))
		if (de->d_name[0] != '.' && fn(dir, de->d_name, arg) < 0)
			return -1;
	return 0;
}

struct census {
	const struct qt_id *tenant;
	unsigned all, of_tenant;
};

static int count(int dir, const char *name, void *arg)
{
	struct census *n = arg;
	size_t len = strlen(n->tenant->s);

	(void)dir;
	if (strchr(name, '.') && qt_context_id_ok(strchr(name, '.') + 1))
		return 0; /* they have their own bounds */
	n->all++;
	n->of_tenant += strncmp(name, n->tenant->s, len) == 0 && name[len] == '.';
	return 0;
}

int qt_spool_new(const struct qt_conf *conf, const struct qt_id *tenant, struct qt_err *e)
{
	auto_close int dir = open_dir(conf, e), fd = -1;
	struct census n = {.tenant = tenant};

	if (dir < 0 || each(dir, count, &n, e) < 0)
		return -1;
	if (n.all >= QT_SPOOL_MAX || n.of_tenant >= QT_SPOOL_TENANT_MAX)
		return qt_fail(e, QT_E_UNAVAILABLE, "too many archives wait to be unpacked");
	fd = openat(dir, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0640);
	/* Held until FD is closed, or its worker is dead: so the sweep knows that nobody will submit the operation any more. */
	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 ? qt_take_fd(&fd) : qt_fail_sys(e, errno, "make a file in the spool");
}

int qt_spool_keep(const struct qt_conf *conf, int fd, const struct qt_op *o, struct qt_err *e)
{
	auto_close int dir = open_dir(conf, e);
	char name[96], self[40];

	if (dir < 0)
		return -1;
	(void)qt_fmt(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (!qt_op_file_name(name, sizeof(name), o) || linkat(AT_FDCWD, self, dir, name, AT_SYMLINK_FOLLOW) < 0)
		return qt_fail_sys(e, errno, "name a file in the spool");
	return 0;
}

int qt_spool_open(const struct qt_conf *conf, const struct qt_op *o, struct qt_err *e)
{
	auto_close int dir = open_dir(conf, e);
	char name[96];
	int fd;

	if (dir < 0)
		return -1;
	fd = qt_op_file_name(name, sizeof(name), o) ? openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
	if (fd < 0 && errno == ENOENT)
		return qt_fail(e, QT_E_FILE_NOT_FOUND, "the archive is not there any more");
	return fd >= 0 ? fd : qt_fail_sys(e, errno, "open a file of the spool");
}

void qt_spool_drop(const struct qt_conf *conf, const struct qt_op *o)
{
	struct qt_err e = {0};
	auto_close int dir = open_dir(conf, &e);
	char name[96];

	if (dir >= 0 && qt_op_file_name(name, sizeof(name), o))
		(void)unlinkat(dir, name, 0); /* or else the sweep */
}

struct sweep {
	struct qt_life *l;
	struct qt_err *e;
};

/* The lock first: an operation that is not there once its worker has let go will never be there. */
static int sweep_one(int dir, const char *name, void *arg)
{
	auto_close int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	const char *dot = strchr(name, '.');
	struct sweep *s = arg;
	struct qt_err e = {0};
	struct stat st;
	int over;

	if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) < 0)
		return 0;
	if (dot && qt_context_id_ok(dot + 1)) {
		if (fstat(fd, &st) == 0 && time(NULL) - st.st_mtime > (time_t)s->l->conf->build_context_ttl_s)
			(void)unlinkat(dir, name, 0);
		return 0;
	}
	over = qt_op_file_over(s->l, name, &e);
	if (over < 0 && e.code != QT_E_OPERATION_NOT_FOUND) {
		*s->e = e;
		return -1; /* nobody knows */
	}
	if (over != 0)
		(void)unlinkat(dir, name, 0);
	return 0;
}

int qt_spool_sweep(struct qt_life *l, struct qt_err *e)
{
	struct sweep s = {l, e};
	auto_close int dir = open_dir(l->conf, e);

	return dir < 0 ? -1 : each(dir, sweep_one, &s, e);
}
