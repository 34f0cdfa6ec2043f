#include "pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "hash.h"
#include "member.h"
#include "str.h"
#include "tree.h"
#include "unpack.h"

#define CHUNK	  65536
#define NAMED_MAX 10000 /* by one request's patterns */
#define TELL_EACH 256	/* members */

struct pack {
	int root_fd;
	const struct ft_pack_req *req;
	const struct ft_limits *limits;
	struct archive *a;
	EVP_MD_CTX *hash;
	bool again; /* a line of the .dockerignore takes in what another leaves out */
	unsigned depth;
	struct ft_pack_rep sum;
	void (*progress)(void *arg, unsigned percent);
	void *arg;
};

static void free_archive(struct archive **a)
{
	if (*a)
		(void)archive_write_free(*a);
}

static int broken(struct pack *p, struct qt_err *e)
{
	return ft_fail(e, archive_errno(p->a) ? archive_errno(p->a) : EIO, "pack a file");
}

static int open_at(int dir_fd, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC), .resolve = resolve | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};
	long fd;

	do
		fd = syscall(SYS_openat2, dir_fd, *path ? path : ".", &how, sizeof(how));
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return (int)fd;
}

/* --- names of a directory, sorted -------------------------------------------------------------------------- */

struct names {
	char **v;
	size_t n, bytes;
};

static void names_done(struct names *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct names){0};
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int names_add(struct names *l, const char *name, struct qt_err *e)
{
	char **v = (l->n & (l->n - 1)) == 0 ? realloc(l->v, (l->n ? 2 * l->n : 1) * sizeof(*v)) : l->v;

	if (v)
		l->v = v;
	l->bytes += strlen(name) + 1;
	if (l->n >= FT_LS_MAX || l->bytes > FT_LS_BYTES)
		return qt_fail(e, QT_E_PAYLOAD_TOO_LARGE, "a directory has too many names");
	if (!v || !(l->v[l->n] = strdup(name)))
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	l->n++;
	return 0;
}

/* FD, which is taken, or -1 with errno. */
static int list(struct names *ret, int fd, struct qt_err *e)
{
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *de;
	int r = 0;

	if (!d) {
		(void)ft_fail(e, errno, "list a directory");
		qt_close(fd);
		return -1;
	}
	while (r == 0 && (de = readdir(d)))
		if (!qt_streq(de->d_name, ".") && !qt_streq(de->d_name, ".."))
			r = names_add(ret, de->d_name, e);
	(void)closedir(d);
	if (r == 0 && ret->n > 1)
		qsort(ret->v, ret->n, sizeof(*ret->v), compare);
	return r;
}

/* --- members ----------------------------------------------------------------------------------------------- */

static int count(struct pack *p, uint64_t bytes, struct qt_err *e)
{
	p->sum.bytes += bytes;
	if (++p->sum.entries > p->limits->entries)
		return qt_fail(e, QT_E_PAYLOAD_TOO_LARGE, "more than %llu files are to be copied", (unsigned long long)p->limits->entries);
	if (p->sum.bytes > p->req->max_bytes)
		return qt_fail(e, QT_E_PAYLOAD_TOO_LARGE, "more than %llu bytes are to be copied", (unsigned long long)p->req->max_bytes);
	if (p->progress && p->sum.entries % TELL_EACH == 0)
		p->progress(p->arg, 0);
	return 0;
}

static int header(struct pack *p, const char *name, const struct stat *st, const char *link, struct qt_err *e)
{
	struct archive_entry *en = archive_entry_new();
	char text[160];
	int r;

	if (!en)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	archive_entry_copy_pathname(en, name);
	archive_entry_set_mode(en, st->st_mode);
	archive_entry_set_uid(en, st->st_uid);
	archive_entry_set_gid(en, st->st_gid);
	archive_entry_set_size(en, S_ISREG(st->st_mode) ? st->st_size : 0);
	archive_entry_set_mtime(en, st->st_mtime, 0);
	if (link)
		archive_entry_copy_symlink(en, link);
	r = archive_write_header(p->a, en);
	archive_entry_free(en);
	if (r < ARCHIVE_WARN)
		return broken(p, e);
	(void)qt_fmt(text, sizeof(text), "%o %u:%u %lld", st->st_mode, st->st_uid, st->st_gid, S_ISREG(st->st_mode) ? (long long)st->st_size : 0LL);
	(void)EVP_DigestUpdate(p->hash, name, strlen(name) + 1);
	(void)EVP_DigestUpdate(p->hash, text, strlen(text) + 1);
	(void)EVP_DigestUpdate(p->hash, link ? link : "", (link ? strlen(link) : 0) + 1);
	return 0;
}

/* As many bytes as the header says, whoever cuts or grows it meanwhile. */
static int data(struct pack *p, int fd, uint64_t size, struct qt_err *e)
{
	static char chunk[CHUNK];

	while (size > 0) {
		ssize_t n = read(fd, chunk, size < CHUNK ? (size_t)size : CHUNK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? ft_fail(e, errno, "read a file") : qt_fail(e, QT_E_CONFLICT, "a file was cut while it was packed");
		if (archive_write_data(p->a, chunk, (size_t)n) != n)
			return broken(p, e);
		(void)EVP_DigestUpdate(p->hash, chunk, (size_t)n);
		size -= (uint64_t)n;
	}
	return 0;
}

static int add_file(struct pack *p, int fd, const char *name, struct qt_err *e)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return ft_fail(e, errno, "open a file");
	if (!S_ISREG(st.st_mode))
		return qt_fail(e, QT_E_CONFLICT, "a file became something else while it was packed");
	return count(p, (uint64_t)st.st_size, e) < 0 || header(p, name, &st, NULL, e) < 0 ? -1 : data(p, fd, (uint64_t)st.st_size, e);
}

static int add_link(struct pack *p, int dir_fd, const char *name, const char *packed, const struct stat *st, struct qt_err *e)
{
	char to[FT_PATH_MAX];
	ssize_t n = readlinkat(dir_fd, name, to, sizeof(to) - 1);

	if (n < 0)
		return ft_fail(e, errno, "read a link");
	to[n] = '\0';
	return count(p, 0, e) < 0 ? -1 : header(p, packed, st, to, e);
}

/* NAME of the directory DIR_FD, which is AT below the top; BELOW becomes NAME's place there. 1: a directory to go into. */
static int add_member(struct pack *p, int dir_fd, const char *above, const char *at, const char *name, char *below, struct qt_err *e)
{
	auto_close int fd = -1;
	char whole[FT_PATH_MAX];
	struct stat st;
	bool out;

	if (!ft_join(below, at, name) || !ft_join(whole, above, below))
		return qt_fail(e, QT_E_PAYLOAD_TOO_LARGE, "a path is too long to be copied");
	out = ft_ignored(&p->req->ignore, whole);
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : ft_fail(e, errno, "look at a file");
	if (S_ISDIR(st.st_mode)) {
		if (!out && (count(p, 0, e) < 0 || header(p, below, &st, NULL, e) < 0))
			return -1;
		return !out || p->again;
	}
	if (out || (!S_ISLNK(st.st_mode) && !S_ISREG(st.st_mode)))
		return 0;
	if (S_ISLNK(st.st_mode))
		return add_link(p, dir_fd, name, below, &st, e);
	fd = open_at(dir_fd, name, O_RDONLY | O_NONBLOCK, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	return fd < 0 && errno == EXDEV ? 0 : add_file(p, fd, below, e);
}

/* Directories are opened anew from the top, so that a deep tree does not take as many descriptors. */
static int walk(struct pack *p, int top_fd, const char *above, const char *at, struct qt_err *e)
{
	QT_AUTO(names_done) struct names names = {0};
	auto_close int dir = open_at(top_fd, at, O_RDONLY | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	char below[FT_PATH_MAX];
	int r = 0;

	if (dir < 0 && errno == EXDEV)
		return 0; /* another mount: empty, as far as the image goes */
	if (++p->depth > FT_PACK_DEPTH)
		r = qt_fail(e, QT_E_PAYLOAD_TOO_LARGE, "directories are too deep to be copied");
	if (r == 0)
		r = list(&names, qt_take_fd(&dir), e);
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		if (dir < 0)
			dir = open_at(top_fd, at, O_PATH | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
		r = dir < 0 ? ft_fail(e, errno, "open a directory") : add_member(p, dir, above, at, names.v[i], below, e);
		if (r == 1) {
			qt_reset_fd(&dir, -1);
			r = walk(p, top_fd, above, below, e);
		}
	}
	p->depth--;
	return r;
}

/* --- what the patterns name -------------------------------------------------------------------------------- */

static int missing(const char *pattern, struct qt_err *e)
{
	struct qt_err why = {0};

	(void)ft_refuse(&why, pattern, "");
	return qt_fail(e, QT_E_FILE_NOT_FOUND, "there is nothing to copy at %.160s, or .dockerignore leaves it out", strchr(why.msg, '"') ? strchr(why.msg, '"') : "");
}

static int add_named(struct pack *p, const char *path, struct qt_err *e)
{
	auto_close int fd = open_at(p->root_fd, path, O_RDONLY | O_NONBLOCK, RESOLVE_IN_ROOT);
	const char *slash = strrchr(path, '/');
	bool out = ft_ignored(&p->req->ignore, path);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? missing(path, e) : ft_fail(e, errno, "open what is to be copied");
	if (p->sum.files + p->sum.dirs >= NAMED_MAX)
		return qt_fail(e, QT_E_PAYLOAD_TOO_LARGE, "too many files are named");
	if (S_ISDIR(st.st_mode)) {
		if (out && !p->again)
			return missing(path, e);
		p->sum.dirs++;
		return walk(p, fd, path, "", e);
	}
	if (out || !S_ISREG(st.st_mode))
		return missing(path, e);
	p->sum.files++;
	return add_file(p, fd, slash ? slash + 1 : path, e);
}

/* PATH has been found; REST is what is left of the pattern. */
static int expand(struct pack *p, const char *path, const char *rest, unsigned *found, struct qt_err *e)
{
	size_t n = strcspn(rest, "/");
	char part[256], whole[FT_PATH_MAX];
	QT_AUTO(names_done) struct names names = {0};
	int fd;

	if (!*rest) {
		++*found;
		return add_named(p, path, e);
	}
	(void)qt_fmt(part, sizeof(part), "%.*s", (int)n, rest);
	rest += n + (rest[n] == '/');
	if (!ft_glob_any(part)) {
		if (!ft_join(whole, path, part))
			return missing(path, e);
		return expand(p, whole, rest, found, e);
	}
	fd = open_at(p->root_fd, path, O_RDONLY | O_DIRECTORY, RESOLVE_IN_ROOT);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (list(&names, fd, e) < 0)
		return -1;
	for (size_t i = 0; i < names.n; i++) {
		bool fits = ft_glob(part, names.v[i]) && ft_join(whole, path, names.v[i]);
		struct stat st;

		if (!fits || (!*rest && !p->again && ft_ignored(&p->req->ignore, whole)))
			continue;
		/* What is not there, or not of a kind to be copied, is just not named. */
		if (fstatat(p->root_fd, whole, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode))
			continue;
		if (expand(p, whole, rest, found, e) < 0) {
			if (e->code != QT_E_FILE_NOT_FOUND)
				return -1;
			qt_err_reset(e);
		}
	}
	return 0;
}

static int pack_all(struct pack *p, struct qt_err *e)
{
	char path[FT_PATH_MAX];
	const char *t = NULL;

	while ((t = rt_strv_next(&p->req->patterns, t))) {
		unsigned found = 0;

		if (ft_path(path, t, e) < 0 || expand(p, "", path, &found, e) < 0)
			return -1;
		if (found == 0)
			return missing(t, e);
	}
	return p->sum.files + p->sum.dirs > 0 ? 0 : qt_fail(e, QT_E_FILE_NOT_FOUND, "there is nothing to copy");
}

static void look_for_exceptions(struct pack *p)
{
	const char *t = NULL;

	while ((t = rt_strv_next(&p->req->ignore, t)))
		p->again = p->again || *t == '!';
}

int ft_pack(int root_fd, const struct ft_pack_req *req, int out_fd, const struct ft_limits *limits, void (*progress)(void *arg, unsigned percent), void *arg,
	    char *digest, struct ft_pack_rep *rep, struct qt_err *e)
{
	QT_AUTO(free_archive) struct archive *a = archive_write_new();
	auto_hash EVP_MD_CTX *hash = ft_hash_new(e);
	struct pack p = {.root_fd = root_fd, .req = req, .limits = limits, .a = a, .hash = hash, .progress = progress, .arg = arg};

	if (!a || !hash)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	look_for_exceptions(&p);
	/* As it is: names are bytes here. */
	if (archive_write_set_format_gnutar(a) != ARCHIVE_OK || archive_write_open_fd(a, out_fd) != ARCHIVE_OK)
		return broken(&p, e);
	if (pack_all(&p, e) < 0)
		return -1;
	if (archive_write_close(a) != ARCHIVE_OK)
		return broken(&p, e);
	ft_hash_end(hash, digest);
	*rep = p.sum;
	rep->digest = rt_str(digest);
	return 0;
}
