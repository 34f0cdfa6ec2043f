#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "fdio.h"
#include "images.h"
#include "spool.h"
#include "str.h"

#define SECRET_MAX 4096
#define SUBMIT_S   300 /* longer than a worker takes from the file to the operation */

static int open_dir(const struct qt_conf *conf, struct qt_err *e)
{
	char path[300];
	int fd;

	(void)qt_fmt(path, sizeof(path), "%s/secrets", conf->run_dir);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 ? fd : qt_fail_sys(e, errno, "open the directory for secrets");
}

int qt_secret_put(const struct qt_conf *conf, const struct qt_op *o, const json_t *secret, struct qt_err *e)
{
	auto_close int dir = open_dir(conf, e), fd = -1;
	char name[96], *text;
	int r;

	if (dir < 0)
		return -1;
	if (!qt_op_file_name(name, sizeof(name), o))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the operation's id is too long");
	text = json_dumps(secret, JSON_COMPACT);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (!text || fd < 0 || fchmod(fd, 0640) < 0)
		r = qt_fail_sys(e, text ? errno : ENOMEM, "keep a secret");
	else
		r = qt_write_full(fd, text, strlen(text), e);
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
	return r;
}

json_t *qt_secret_get(const struct qt_conf *conf, const struct qt_op *o)
{
	struct qt_err ignored = {0};
	auto_close int dir = open_dir(conf, &ignored);
	char name[96], text[SECRET_MAX];
	ssize_t n = dir < 0 || !qt_op_file_name(name, sizeof(name), o) ? -1 : qt_read_file(dir, name, text, sizeof(text), &ignored);
	json_t *secret = n > 0 ? json_loadb(text, (size_t)n, 0, NULL) : NULL;

	explicit_bzero(text, sizeof(text));
	return secret;
}

void qt_secret_drop(const struct qt_conf *conf, const struct qt_op *o)
{
	struct qt_err ignored = {0};
	auto_close int dir = open_dir(conf, &ignored);
	char name[96];

	if (dir >= 0 && qt_op_file_name(name, sizeof(name), o))
		(void)unlinkat(dir, name, 0); /* or else the sweep */
}

static int sweep_one(struct qt_life *l, int dir, const char *name, struct qt_err *e)
{
	int over = qt_op_file_over(l, name, e);
	struct stat st;

	if (over < 0) {
		if (e->code != QT_E_OPERATION_NOT_FOUND)
			return -1; /* nobody knows */
		qt_err_reset(e);
		/* Its worker may be just about to submit it; one that died there never will. */
		over = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && time(NULL) - st.st_mtime > SUBMIT_S;
	}
	if (over)
		(void)unlinkat(dir, name, 0);
	return 0;
}

int qt_secret_sweep(struct qt_life *l, struct qt_err *e)
{
	int fd = open_dir(l->conf, e), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *de;

	if (!d) {
		qt_close(fd);
		return fd < 0 ? -1 : qt_fail_sys(e, errno, "list the secrets");
	}
	while (r == 0 && (de = readdir(d)))
		if (de->d_name[0] != '.')
			r = sweep_one(l, fd, de->d_name, e);
	(void)closedir(d);
	return r;
}
