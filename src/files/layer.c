#include "layer.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "fdio.h"
#include "hash.h"
#include "meta.h"
#include "str.h"
#include "tree.h"
#include "unpack.h"

#define BLOCK	 (256 << 10)
#define TOP	 "fs"
#define ID_MAX	 65535
#define WHITEOUT ".wh."
#define OPAQUE	 ".wh..wh..opq"
#define SPECIAL	 ".wh..wh." /* notes of other file systems */
#define SCAN_PCT 10

struct layer {
	int root_fd, fd, opaque_fd;
	const struct ft_limits *limits;
	uint64_t packed, out, entries, bytes; /* out: of the tar */
	struct archive *packing; /* gives the tar */
	EVP_MD_CTX *hash;	 /* of the tar */
	bool ended, failed;
	struct ft_links links, opaque;
	struct ft_dates dates;
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

static void tell(struct layer *w, unsigned pct)
{
	if (pct == w->percent || !w->progress)
		return;
	w->percent = pct;
	w->progress(w->arg, pct);
}

static void scanned(void *arg, uint64_t at)
{
	struct layer *w = arg;

	tell(w, w->packed ? (unsigned)(at * SCAN_PCT / w->packed) : 0);
}

/* Before a parser sees it: who pulls the same layer later gets what was unpacked now, so nothing in it may be able to change that. */
static int check_digest(struct layer *w, const char *digest, struct qt_err *e)
{
	auto_hash EVP_MD_CTX *hash = ft_hash_new(e);
	char hex[FT_SHA256 + 1];
	uint64_t size;

	if (!hash || ft_hash_file(hash, w->fd, -1, scanned, w, &size, e) < 0)
		return -1;
	ft_hash_end(hash, hex);
	return qt_streq(hex, digest) ? 0 : qt_fail(e, QT_E_ARCHIVE_REFUSED, "the layer is not what its digest says");
}

/* --- from the file to the tar ---------------------------------------------------------------------------- */

static int open_packing(struct layer *w, struct qt_err *e)
{
	static const unsigned char gz[2] = {0x1f, 0x8b}, zst[4] = {0x28, 0xb5, 0x2f, 0xfd};
	unsigned char magic[4] = {0};
	struct archive_entry *en;
	int r = ARCHIVE_OK;

	w->packing = archive_read_new();
	if (!w->packing)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	if (lseek(w->fd, 0, SEEK_SET) < 0 || pread(w->fd, magic, sizeof(magic), 0) < 0)
		return qt_fail_sys(e, errno, "read the layer");
	if (memcmp(magic, gz, sizeof(gz)) == 0)
		r = archive_read_append_filter(w->packing, ARCHIVE_FILTER_GZIP);
	else if (memcmp(magic, zst, sizeof(zst)) == 0)
		r = archive_read_append_filter(w->packing, ARCHIVE_FILTER_ZSTD);
	if (r >= ARCHIVE_WARN && archive_read_support_format_raw(w->packing) == ARCHIVE_OK && archive_read_open_fd(w->packing, w->fd, BLOCK) == ARCHIVE_OK &&
	    archive_read_next_header(w->packing, &en) == ARCHIVE_OK)
		return 0;
	return qt_fail(e, QT_E_ARCHIVE_REFUSED, "the layer is neither tar nor tar.gz nor tar.zst");
}

static ssize_t next_block(struct layer *w, const void **ret)
{
	size_t len = 0;
	int64_t at;
	int r = w->ended ? ARCHIVE_EOF : archive_read_data_block(w->packing, ret, &len, &at);

	w->ended = w->ended || r == ARCHIVE_EOF;
	w->failed = w->failed || (r != ARCHIVE_EOF && r < ARCHIVE_WARN);
	if (w->failed)
		return -1;
	if (w->ended)
		return 0;
	(void)EVP_DigestUpdate(w->hash, *ret, len);
	w->out += len;
	return (ssize_t)len;
}

static ssize_t read_tar(struct archive *a, void *arg, const void **ret)
{
	struct layer *w = arg;
	ssize_t n;

	/* An empty block in between would be the end. */
	do
		n = next_block(w, ret);
	while (n == 0 && !w->ended);
	if (n < 0)
		archive_set_error(a, EIO, "damaged");
	return n;
}

static int check_sums(void *arg, struct archive *a, struct qt_err *e)
{
	struct layer *w = arg;

	(void)a;
	if (w->entries > w->limits->entries)
		return qt_fail(e, QT_E_ARCHIVE_REFUSED, "the layer has more than %llu members", (unsigned long long)w->limits->entries);
	if (w->bytes > w->limits->bytes || w->out > w->limits->bytes)
		return qt_fail(e, QT_E_ARCHIVE_REFUSED, "the layer unpacks to more than %llu bytes", (unsigned long long)w->limits->bytes);
	if (w->out > FT_RATIO_FREE && w->out / FT_RATIO > w->packed)
		return qt_fail(e, QT_E_ARCHIVE_REFUSED, "the layer unpacks to more than %d times its own size", FT_RATIO);
	if (w->packed > 0)
		tell(w, SCAN_PCT + (unsigned)((uint64_t)archive_filter_bytes(w->packing, -1) * (99 - SCAN_PCT) / w->packed));
	return 0;
}

/* --- members --------------------------------------------------------------------------------------------- */

struct item {
	struct ft_member m;
	uid_t uid;
	gid_t gid;
	struct timespec mtime;
	struct archive_entry *en; /* what it was read from */
};

static int look(struct layer *w, struct item *x, struct archive_entry *en, struct qt_err *e)
{
	int64_t size = archive_entry_size_is_set(en) ? archive_entry_size(en) : 0, uid = archive_entry_uid(en), gid = archive_entry_gid(en);
	struct ft_member *m = &x->m;
	mode_t type = archive_entry_filetype(en);

	m->shown = archive_entry_pathname(en);
	m->link = archive_entry_hardlink(en);
	if (ft_member_plain(m->name, m->shown, m->shown && m->shown[0] == '/' ? m->shown + 1 : m->shown, 0, e) < 0)
		return -1;
	if (uid < 0 || uid > ID_MAX || gid < 0 || gid > ID_MAX)
		return ft_refuse(e, m->shown, "has an owner that no container has");
	x->uid = (uid_t)uid;
	x->gid = (gid_t)gid;
	m->mode = archive_entry_perm(en) & 07777;
	x->mtime = archive_entry_mtime_is_set(en) ? (struct timespec){archive_entry_mtime(en), archive_entry_mtime_nsec(en)} : (struct timespec){0, 0};
	x->en = en;
	m->skip = false;
	m->size = 0;
	if (m->link) {
		m->kind = FT_M_HARD;
		if (ft_member_plain(m->source, m->shown, m->link[0] == '/' ? m->link + 1 : m->link, 0, e) < 0)
			return -1;
	} else if (type == AE_IFREG) {
		m->kind = FT_M_FILE;
		if (size < 0 || (uint64_t)size > w->limits->bytes)
			return ft_refuse(e, m->shown, "is larger than this server unpacks");
		m->size = (uint64_t)size;
	} else if (type == AE_IFDIR) {
		m->kind = FT_M_DIR;
	} else if (type == AE_IFLNK) {
		m->kind = FT_M_LINK;
		m->link = archive_entry_symlink(en);
		if (!m->link || !*m->link || strlen(m->link) >= FT_PATH_MAX)
			return ft_refuse(e, m->shown, "is a link to nothing, or to too long a path");
	} else if (qt_starts(m->name, "dev/")) {
		m->skip = true;
	} else {
		return ft_refuse(e, m->shown, "is a device, a fifo or a socket");
	}
	if (ft_links_above(&w->links, m->name) || (m->kind == FT_M_HARD && ft_links_above(&w->links, m->source)))
		return ft_refuse(e, m->shown, "lies below a link that the layer itself makes");
	if (!m->name[0] && m->kind != FT_M_DIR)
		return ft_refuse(e, m->shown, "has no name");
	return m->kind == FT_M_LINK && !m->skip ? ft_links_add(&w->links, m->name, e) : 0;
}

static int own(struct layer *w, const struct item *x, int fd, struct qt_err *e)
{
	/* In this order: a change of owner takes setuid and setgid away. */
	if (fchown(fd, x->uid, x->gid) < 0 || fchmod(fd, x->m.mode) < 0)
		return ft_fail(e, errno, "set a file's owner and mode");
	return ft_xattrs(fd, x->en, x->m.shown, &w->bytes, e);
}

/* A name that the layer has twice is what it was last; but a directory stays one, whatever is in it, since names below it may be known here. */
static int clear(const struct item *x, int dir, const char *name, struct qt_err *e)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		return ft_refuse(e, x->m.shown, "is a directory at first, and then something else");
	return ft_unpack_clear(dir, name, e);
}

static int make_file(struct layer *w, struct archive *a, const struct item *x, int dir, const char *name, struct qt_err *e)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, x->mtime};
	auto_close int fd = -1;

	if (clear(x, dir, name, e) < 0)
		return -1;
	fd = ft_open_name(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return ft_fail(e, errno, "make a file");
	if (ft_unpack_data(a, &x->m, fd, check_sums, w, e) < 0 || own(w, x, fd, e) < 0)
		return -1;
	(void)futimens(fd, times); /* one that the file system cannot hold is no reason to fail */
	return 0;
}

/* Each path once, however often the layer says so. */
static int hide_below(struct layer *w, const char *path, struct qt_err *e)
{
	size_t before = w->opaque.bytes;

	if (ft_links_add(&w->opaque, path, e) < 0)
		return -1;
	if (w->opaque.bytes == before)
		return 0;
	if (w->opaque_fd < 0)
		w->opaque_fd = ft_open_name(w->root_fd, "opaque", O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (w->opaque_fd < 0)
		return ft_fail(e, errno, "write a list");
	return qt_write_full(w->opaque_fd, path, strlen(path) + 1, e);
}

static int make_dir(struct layer *w, const struct item *x, int dir, const char *name, struct qt_err *e)
{
	auto_close int fd = -1;
	struct stat st;

	if (mkdirat(dir, name, 0755) < 0) {
		if (errno != EEXIST || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return ft_fail(e, errno, "make a directory");
		/* The layer had something else of that name before; of a whiteout, what was below it in other layers is gone, and it is new. */
		if (!S_ISDIR(st.st_mode) && (clear(x, dir, name, e) < 0 || mkdirat(dir, name, 0755) < 0))
			return e->code != QT_OK ? -1 : ft_fail(e, errno, "make a directory");
		if (S_ISCHR(st.st_mode) && hide_below(w, x->m.name, e) < 0)
			return -1;
	}
	fd = ft_open_name(dir, name, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return ft_fail(e, errno, "make a directory");
	return own(w, x, fd, e) < 0 ? -1 : ft_dates_add(&w->dates, x->m.name, &x->mtime, e);
}

static int make_hard(struct layer *w, const struct item *x, int dir, const char *name, struct qt_err *e)
{
	char whole[FT_PATH_MAX];
	const char *from_name;
	auto_close int from = -1;
	struct stat st, there;

	if (!x->m.source[0] || !ft_join(whole, TOP, x->m.source))
		return ft_refuse(e, x->m.shown, "is a hard link to nothing that can be unpacked");
	from = ft_parent(w->root_fd, whole, false, &from_name, e);
	if (from < 0 || fstatat(from, from_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))) {
		qt_err_reset(e);
		return ft_refuse(e, x->m.shown, "is a hard link to something that is not a file of the layer");
	}
	if (fstatat(dir, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && there.st_ino == st.st_ino && there.st_dev == st.st_dev)
		return 0;
	if (clear(x, dir, name, e) < 0)
		return -1;
	return linkat(from, from_name, dir, name, 0) == 0 ? 0 : ft_fail(e, errno, "make a hard link");
}

static int make_link(const struct item *x, int dir, const char *name, struct qt_err *e)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, x->mtime};

	if (clear(x, dir, name, e) < 0)
		return -1;
	if (symlinkat(x->m.link, dir, name) < 0 || fchownat(dir, name, x->uid, x->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return ft_fail(e, errno, "make a link");
	(void)utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW);
	return 0;
}

/* NAME is what follows ".wh.". */
static int white_out(struct layer *w, const struct item *x, int dir, const char *name, struct qt_err *e)
{
	char path[FT_PATH_MAX];
	struct stat st;

	if (!*name || qt_streq(name, ".") || qt_streq(name, ".."))
		return ft_refuse(e, x->m.shown, "hides nothing that has a name");
	if (mknodat(dir, name, S_IFCHR, 0) == 0)
		return 0;
	if (errno != EEXIST || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return ft_fail(e, errno, "make a whiteout");
	/* The layer has something of that name itself, which stays; a directory hides what other layers have in it. */
	if (!S_ISDIR(st.st_mode))
		return 0;
	(void)qt_fmt(path, sizeof(path), "%.*s%s", (int)(strlen(x->m.name) - strlen(name) - strlen(WHITEOUT)), x->m.name, name);
	return hide_below(w, path, e);
}

static int make(struct layer *w, struct archive *a, const struct item *x, struct qt_err *e)
{
	const char *name;
	char up[FT_PATH_MAX];
	int dir;

	if (!x->m.name[0]) {
		auto_close int top = ft_open_name(w->root_fd, TOP, O_RDONLY | O_DIRECTORY, 0);

		if (top < 0)
			return ft_fail(e, errno, "open the layer");
		return own(w, x, top, e) < 0 ? -1 : ft_dates_add(&w->dates, "", &x->mtime, e);
	}
	dir = ft_unpack_parent(&w->place, w->root_fd, TOP, &x->m, &name, e);
	if (dir < 0)
		return -1;
	if (qt_streq(name, OPAQUE)) {
		(void)qt_copy(up, sizeof(up), x->m.name);
		up[name > x->m.name ? name - x->m.name - 1 : 0] = '\0';
		return hide_below(w, up, e);
	}
	if (qt_starts(name, SPECIAL))
		return 0;
	if (qt_starts(name, WHITEOUT))
		return white_out(w, x, dir, name + strlen(WHITEOUT), e);
	switch (x->m.kind) {
	case FT_M_FILE:
		return make_file(w, a, x, dir, name, e);
	case FT_M_DIR:
		return make_dir(w, x, dir, name, e);
	case FT_M_HARD:
		return make_hard(w, x, dir, name, e);
	case FT_M_LINK:
		break;
	}
	return make_link(x, dir, name, e);
}

static int unpack(struct layer *w, struct qt_err *e)
{
	QT_AUTO(free_archive) struct archive *a = archive_read_new();
	auto_close int top = -1;
	static struct item x;

	if (!a)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	if (archive_read_support_format_tar(a) != ARCHIVE_OK || archive_read_open2(a, w, NULL, read_tar, NULL, NULL) != ARCHIVE_OK)
		return ft_unpack_broken(a, e);
	for (;;) {
		struct archive_entry *en;
		int r = archive_read_next_header(a, &en);

		if (r == ARCHIVE_EOF)
			break;
		if (r < ARCHIVE_WARN || w->failed)
			return ft_unpack_broken(a, e);
		w->entries++;
		if (look(w, &x, en, e) < 0)
			return -1;
		w->bytes += x.m.size;
		if (check_sums(w, a, e) < 0 || (!x.m.skip && make(w, a, &x, e) < 0))
			return -1;
	}
	top = ft_open_name(w->root_fd, TOP, O_RDONLY | O_DIRECTORY, 0);
	if (top >= 0)
		ft_dates_set(&w->dates, top);
	/* What follows the tar's end belongs to its digest. */
	while (!w->ended && !w->failed) {
		const void *block;

		(void)next_block(w, &block);
		if (check_sums(w, a, e) < 0)
			return -1;
	}
	return w->failed ? ft_unpack_broken(w->packing, e) : 0;
}

int ft_layer(int root_fd, const char *digest, int fd, const struct ft_limits *limits, void (*progress)(void *arg, unsigned percent), void *arg,
	     char *diff_id, struct ft_layer_rep *rep, struct qt_err *e)
{
	struct layer w = {.root_fd = root_fd, .fd = fd, .opaque_fd = -1, .limits = limits, .place.fd = -1, .progress = progress, .arg = arg};
	struct stat st;
	int r = -1;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return qt_fail(e, QT_E_BAD_REQUEST, "the layer is not a file");
	w.packed = (uint64_t)st.st_size;
	w.hash = ft_hash_new(e);
	if (w.hash && check_digest(&w, digest, e) == 0 && open_packing(&w, e) == 0)
		r = unpack(&w, e);
	if (r == 0) {
		ft_hash_end(w.hash, diff_id);
		*rep = (struct ft_layer_rep){.diff_id = rt_str(diff_id), .entries = w.entries, .bytes = w.bytes};
	}
	EVP_MD_CTX_free(w.hash);
	free_archive(&w.packing);
	ft_links_done(&w.links);
	ft_links_done(&w.opaque);
	ft_dates_done(&w.dates);
	qt_close(w.place.fd);
	qt_close(w.opaque_fd);
	return r;
}
