/* A part of a directory's list. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "str.h"
#include "tree.h"

/* The names, one after the other, and where each begins. */
struct names {
	struct qt_buf text;
	uint32_t *at;
	uint32_t n, cap;
};

static void names_done(struct names *l)
{
	qt_buf_done(&l->text);
	free(l->at);
}

static int add(struct names *l, const char *name, struct qt_err *e)
{
	if (l->n == FT_LS_MAX)
		return qt_fail(e, QT_E_PAYLOAD_TOO_LARGE, "the directory has more than %u entries", FT_LS_MAX);
	if (l->n == l->cap) {
		uint32_t cap = l->cap ? l->cap * 2 : 256;
		uint32_t *at = reallocarray(l->at, cap, sizeof(*at));

		if (!at)
			return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
		l->at = at;
		l->cap = cap;
	}
	l->at[l->n++] = (uint32_t)l->text.len;
	return qt_buf_add(&l->text, name, strlen(name) + 1, e);
}

static int by_name(const void *a, const void *b, void *text)
{
	return strcmp((const char *)text + *(const uint32_t *)a, (const char *)text + *(const uint32_t *)b);
}

static void closep(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

static int read_names(int dir_fd, struct names *l, struct qt_err *e)
{
	auto_close int fd = ft_open_name(dir_fd, ".", O_RDONLY | O_DIRECTORY, 0);
	QT_AUTO(closep) DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d)
		return ft_fail(e, errno, "list the directory");
	(void)qt_take_fd(&fd);
	for (;;) {
		const struct dirent *de;

		errno = 0;
		de = readdir(d);
		if (!de)
			break;
		if (!qt_streq(de->d_name, ".") && !qt_streq(de->d_name, "..") && add(l, de->d_name, e) < 0)
			return -1;
	}
	if (errno)
		return ft_fail(e, errno, "list the directory");
	if (l->n > 0)
		qsort_r(l->at, l->n, sizeof(*l->at), by_name, l->text.data);
	return 0;
}

/* Five texts or none. */
static bool add_entry(struct rt_strv *v, char *buf, size_t size, const char *name, const struct stat *st)
{
	struct rt_strv before = *v;
	char number[3][24];

	(void)snprintf(number[0], sizeof(number[0]), "%lld", (long long)st->st_size);
	(void)snprintf(number[1], sizeof(number[1]), "%o", (unsigned)st->st_mode & 07777);
	(void)snprintf(number[2], sizeof(number[2]), "%lld", (long long)(st->st_mtime > 0 ? st->st_mtime : 0));
	if (rt_strv_add(v, buf, size, name) && rt_strv_add(v, buf, size, ft_type_name(ft_type_of(st))) &&
	    rt_strv_add(v, buf, size, number[0]) && rt_strv_add(v, buf, size, number[1]) && rt_strv_add(v, buf, size, number[2]))
		return true;
	*v = before;
	return false;
}

int ft_ls(int root_fd, const struct ft_ls_req *req, const char *path, char *buf, size_t size, struct ft_ls_rep *rep, struct qt_err *e)
{
	auto_close int dir = ft_dir(root_fd, path, false, e);
	QT_AUTO(names_done) struct names l = {.text = QT_BUF(FT_LS_BYTES)};

	if (dir < 0 || read_names(dir, &l, e) < 0)
		return -1;
	*rep = (struct ft_ls_rep){.total = l.n, .entries = {.s = buf}};
	for (uint32_t i = req->offset; i < l.n && rep->n < req->count; i++) {
		const char *name = l.text.data + l.at[i];
		struct stat st = {0};

		/* One that is gone meanwhile counts all the same: the pages stay as they were. */
		(void)fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW);
		if (!add_entry(&rep->entries, buf, size, name, &st))
			break;
		rep->n++;
	}
	return 0;
}
