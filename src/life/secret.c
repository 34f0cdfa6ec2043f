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
#include "str.h"

#define SECRET_MAX 4096
#define KEEP_S	   7200 /* longer than an operation that needs one may take, with its wait */

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
	char *text;
	int r;

	if (dir < 0)
		return -1;
	text = json_dumps(secret, JSON_COMPACT);
	fd = openat(dir, o->id.s, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
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
	char text[SECRET_MAX];
	ssize_t n = dir < 0 ? -1 : qt_read_file(dir, o->id.s, text, sizeof(text), &ignored);
	json_t *secret = n > 0 ? json_loadb(text, (size_t)n, 0, NULL) : NULL;

	explicit_bzero(text, sizeof(text));
	return secret;
}

void qt_secret_drop(const struct qt_conf *conf, const struct qt_op *o)
{
	struct qt_err ignored = {0};
	auto_close int dir = open_dir(conf, &ignored);

	if (dir >= 0)
		(void)unlinkat(dir, o->id.s, 0);
}

void qt_secret_sweep(const struct qt_conf *conf)
{
	struct qt_err ignored = {0};
	int fd = open_dir(conf, &ignored);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *de;
	struct stat st;

	if (!d) {
		qt_close(fd);
		return;
	}
	while ((de = readdir(d)))
		if (de->d_name[0] != '.' && fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && time(NULL) - st.st_mtime > KEEP_S)
			(void)unlinkat(fd, de->d_name, 0);
	(void)closedir(d);
}
