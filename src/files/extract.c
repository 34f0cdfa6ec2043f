#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "str.h"
#include "tree.h"
#include "unpack.h"

#define BLOCK	 (256 << 10)
#define SCAN_PCT 30 /* of the progress: reading it the first time */

struct work {
	int root_fd, fd;
	const struct ft_extract_req *req;
	const char *path;
	const struct ft_limits *limits;
	uint64_t packed; /* the archive's own size */
	bool writing;
	uint64_t entries, bytes; /* of this pass */
	uint64_t expected;	 /* bytes, by the first pass */
	struct ft_links links;
	struct ft_place place;
	void (*progress)(void *arg, unsigned percent);
	void *arg;
	unsigned percent;
};

static void free_archive(struct archive **a)
{
	if (*a)
		(void)archive_read_free(*a);
}

/* Exactly one gzip, by its magic bytes, or none: a filter that is only "supported" would be tried on its own output again, and a few bytes
 * of gzip in gzip are a gigabyte. */
static struct archive *open_archive(const struct work *w, struct qt_err *e)
{
	struct archive *a = archive_read_new();
	unsigned char magic[2] = {0};

	if (!a)
		return (void)qt_fail(e, QT_E_UNAVAILABLE, "out of memory"), NULL;
	if (lseek(w->fd, 0, SEEK_SET) < 0 || pread(w->fd, magic, sizeof(magic), 0) < 0) {
		(void)qt_fail_sys(e, errno, "read the archive");
	} else if (archive_read_support_format_tar(a) == ARCHIVE_OK &&
		   (magic[0] != 0x1f || magic[1] != 0x8b || archive_read_append_filter(a, ARCHIVE_FILTER_GZIP) == ARCHIVE_OK) &&
		   archive_read_open_fd(a, w->fd, BLOCK) == ARCHIVE_OK) {
		return a;
	}
	(void)qt_fail(e, QT_E_ARCHIVE_REFUSED, "the archive cannot be read: it is neither tar nor tar.gz");
	free_archive(&a);
	return NULL;
}

static int check_sums(void *arg, struct archive *a, struct qt_err *e)
{
	const struct work *w = arg;
	int64_t out = archive_filter_bytes(a, 0);

	if (w->entries > w->limits->entries)
		return qt_fail(e, QT_E_ARCHIVE_REFUSED, "the archive has more than %llu members", (unsigned long long)w->limits->entries);
	if (w->bytes > w->limits->bytes)
		return qt_fail(e, QT_E_ARCHIVE_REFUSED, "the archive unpacks to more than %llu bytes", (unsigned long long)w->limits->bytes);
	if (out > FT_RATIO_FREE && (uint64_t)out / FT_RATIO > w->packed)
		return qt_fail(e, QT_E_ARCHIVE_REFUSED, "the archive unpacks to more than %d times its own size", FT_RATIO);
	return 0;
}

static void tell(struct work *w)
{
	unsigned pct = w->writing ? SCAN_PCT : 0;

	if (w->writing && w->expected > 0)
		pct += (unsigned)((99 - SCAN_PCT) * (w->bytes < w->expected ? w->bytes : w->expected) / w->expected);
	if (pct == w->percent || !w->progress)
		return;
	w->percent = pct;
	w->progress(w->arg, pct);
}

/* --- making ---------------------------------------------------------------------------------------------- */

static int own(const struct work *w, const struct ft_member *m, int fd, struct qt_err *e)
{
	bool given = w->req->owners == FT_O_GIVEN;

	/* In this order: a change of owner takes setuid and setgid away. */
	if (w->req->owners != FT_O_ROOT && fchown(fd, given ? w->req->uid : m->uid, given ? w->req->gid : m->gid) < 0)
		return ft_fail(e, errno, "set a file's owner");
	return fchmod(fd, m->mode) == 0 ? 0 : ft_fail(e, errno, "set a file's mode");
}

static int make_file(struct work *w, struct archive *a, const struct ft_member *m, int dir, const char *name, struct qt_err *e)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = m->mtime}};
	auto_close int fd = -1;

	if (ft_unpack_clear(dir, name, e) < 0)
		return -1;
	fd = ft_open_name(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return ft_fail(e, errno, "make a file");
	if (ft_unpack_data(a, m, fd, check_sums, w, e) < 0 || own(w, m, fd, e) < 0)
		return -1;
	(void)futimens(fd, times); /* one that the file system cannot hold is no reason to fail */
	return 0;
}

static int make_dir(struct work *w, const struct ft_member *m, int dir, const char *name, struct qt_err *e)
{
	char whole[FT_PATH_MAX];
	int fd;

	if (mkdirat(dir, name, m->mode & 0777) == 0) {
		auto_close int made = w->req->owners == FT_O_ROOT ? -1 : ft_open_name(dir, name, O_RDONLY | O_DIRECTORY, 0);

		if (w->req->owners == FT_O_ROOT)
			return 0;
		return made < 0 ? ft_fail(e, errno, "make a directory") : own(w, m, made, e);
	}
	if (errno != EEXIST)
		return ft_fail(e, errno, "make a directory");
	if (!ft_join(whole, w->path, m->name))
		return ft_refuse(e, m->shown, "has too long a path");
	fd = ft_dir(w->root_fd, whole, false, e); /* or a link to one that was there before */
	qt_close(fd);
	return fd < 0 ? -1 : 0;
}

static int make_hard(struct work *w, const struct ft_member *m, int dir, const char *name, struct qt_err *e)
{
	char whole[FT_PATH_MAX];
	const char *from_name;
	auto_close int from = -1;
	struct stat st, there;

	if (!ft_join(whole, w->path, m->source))
		return ft_refuse(e, m->shown, "has too long a path");
	from = ft_parent(w->root_fd, whole, false, &from_name, e);
	if (from < 0)
		return -1;
	if (fstatat(from, from_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return ft_refuse(e, m->shown, "is a hard link to something that is not a file of the archive");
	if (fstatat(dir, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && there.st_ino == st.st_ino && there.st_dev == st.st_dev)
		return 0;
	if (ft_unpack_clear(dir, name, e) < 0)
		return -1;
	return linkat(from, from_name, dir, name, 0) == 0 ? 0 : ft_fail(e, errno, "make a hard link");
}

static int make_link(const struct work *w, const struct ft_member *m, int dir, const char *name, struct qt_err *e)
{
	bool given = w->req->owners == FT_O_GIVEN;

	if (symlinkat(m->link, dir, name) < 0 ||
	    (w->req->owners != FT_O_ROOT && fchownat(dir, name, given ? w->req->uid : m->uid, given ? w->req->gid : m->gid, AT_SYMLINK_NOFOLLOW) < 0))
		return ft_fail(e, errno, "make a link");
	return 0;
}

static int make(struct work *w, struct archive *a, const struct ft_member *m, struct qt_err *e)
{
	const char *name;
	int dir = ft_unpack_parent(&w->place, w->root_fd, w->path, m, &name, e);

	if (dir < 0)
		return -1;
	switch (m->kind) {
	case FT_M_FILE:
		return make_file(w, a, m, dir, name, e);
	case FT_M_DIR:
		return make_dir(w, m, dir, name, e);
	case FT_M_HARD:
		return make_hard(w, m, dir, name, e);
	case FT_M_LINK:
		break;
	}
	if (ft_unpack_clear(dir, name, e) < 0)
		return -1;
	return make_link(w, m, dir, name, e);
}

/* --- the two passes -------------------------------------------------------------------------------------- */

static int each(struct work *w, struct archive *a, struct archive_entry *en, struct qt_err *e)
{
	struct ft_member m;

	w->entries++;
	if (w->req->name.len > 0 && w->entries > 1)
		return qt_fail(e, QT_E_BAD_REQUEST, "only one member can be given a name");
	if (ft_member_check(&m, en, w->req, w->limits, &w->links, e) < 0)
		return -1;
	w->bytes += m.size;
	if (check_sums(w, a, e) < 0)
		return -1;
	tell(w);
	if (!w->writing || m.skip)
		return m.kind == FT_M_FILE ? ft_unpack_data(a, &m, -1, check_sums, w, e) : 0;
	if (make(w, a, &m, e) == 0)
		return 0;
	/* It does not count: what the message says was written is whole. */
	w->entries--;
	w->bytes -= m.size;
	return -1;
}

static int pass(struct work *w, struct qt_err *e)
{
	QT_AUTO(free_archive) struct archive *a = open_archive(w, e);

	if (!a)
		return -1;
	w->entries = w->bytes = 0;
	for (;;) {
		struct archive_entry *en;
		int r = archive_read_next_header(a, &en);

		if (r == ARCHIVE_EOF)
			return 0;
		/* A warning is about names in other character sets, which are taken byte by byte, or what is not looked at. */
		if (r < ARCHIVE_WARN)
			return ft_unpack_broken(a, e);
		if (each(w, a, en, e) < 0)
			return -1;
	}
}

int ft_extract(int root_fd, const struct ft_extract_req *req, const char *path, int fd, const struct ft_limits *limits,
	       void (*progress)(void *arg, unsigned percent), void *arg, struct ft_extract_rep *rep, struct qt_err *e)
{
	struct work w = {.root_fd = root_fd, .fd = fd, .req = req, .path = path, .limits = limits, .place.fd = -1, .progress = progress, .arg = arg};
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return qt_fail(e, QT_E_BAD_REQUEST, "the archive is not a file");
	w.packed = (uint64_t)st.st_size;
	r = pass(&w, e);
	ft_links_done(&w.links);
	if (r < 0)
		return -1;
	w.expected = w.bytes;
	w.writing = true;
	r = ft_dir(root_fd, path, true, e); /* also for an archive of nothing */
	if (r >= 0) {
		qt_close(r);
		r = pass(&w, e);
		if (r < 0)
			(void)qt_context(e, "after %llu members with %llu bytes", (unsigned long long)w.entries, (unsigned long long)w.bytes);
	}
	ft_links_done(&w.links);
	qt_close(w.place.fd);
	if (r < 0)
		return -1;
	*rep = (struct ft_extract_rep){.entries = w.entries, .bytes = w.bytes};
	return 0;
}
