/* What quilt-files does in a tree, without its sandbox: paths, files, lists, and archives good and evil. Made in a directory of its own. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "files/extract.h"
#include "files/hash.h"
#include "files/layer.h"
#include "files/pack.h"
#include "files/tree.h"
#include "str.h"

static char outside[64], inside[80]; /* inside is the tree; outside must never change */
static int root_fd = -1;
static const struct ft_limits limits = {.entries = 150000, .bytes = 1 << 30};

static void shell(const char *fmt, ...)
{
	char text[8192];
	va_list ap;

	va_start(ap, fmt);
	assert_true(vsnprintf(text, sizeof(text), fmt, ap) < (int)sizeof(text));
	va_end(ap);
	assert_int_equal(system(text), 0);
}

static int set_up(void **state)
{
	(void)state;
	(void)qt_copy(outside, sizeof(outside), "/dev/shm/qt-files-XXXXXX");
	assert_non_null(mkdtemp(outside));
	(void)qt_fmt(inside, sizeof(inside), "%s/tree", outside);
	shell("echo canary > %s/canary; mkdir %s; echo old > %s/old; ln -s .. %s/up; ln -s /canary %s/abs; mkdir %s/d; ln -s d %s/dl", outside, inside,
	      inside, inside, inside, inside, inside);
	(void)umask(0);
	root_fd = open(inside, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(root_fd >= 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(root_fd);
	/* Nothing beside the tree was touched. */
	shell("test \"$(ls -A %s | sort | tr '\\n' ' ')\" = 'canary tree ' && test \"$(cat %s/canary)\" = canary", outside, outside);
	shell("chmod -R u+rwx %s; rm -rf %s", inside, outside);
	return 0;
}

static char *content(const char *name)
{
	static char buf[256];
	char path[512];
	ssize_t n;
	int fd;

	(void)qt_fmt(path, sizeof(path), "%s/%s", inside, name);
	fd = open(path, O_RDONLY | O_NOFOLLOW);
	assert_true(fd >= 0);
	n = read(fd, buf, sizeof(buf) - 1);
	assert_true(n >= 0);
	buf[n] = '\0';
	close(fd);
	return buf;
}

static struct stat look(const char *name)
{
	char path[512];
	struct stat st;

	(void)qt_fmt(path, sizeof(path), "%s/%s", inside, name);
	if (lstat(path, &st) < 0)
		st.st_mode = 0;
	return st;
}

static int memory(const char *text)
{
	int fd = memfd_create("content", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, text, strlen(text), 0), (ssize_t)strlen(text));
	return fd;
}

/* --- paths ----------------------------------------------------------------------------------------------- */

static void paths_are_made_plain(void **state)
{
	static const struct {
		const char *in, *out; /* NULL: refused */
	} rows[] = {
		{"", ""},	 {"/", ""},	   {"a", "a"},	       {"/a//b/./c/", "a/b/c"}, {"./", ""},  {"a/..b/...", "a/..b/..."},
		{"..", NULL},	 {"/a/../b", NULL}, {"a/..", NULL},
	};
	char out[FT_PATH_MAX], longest[FT_PATH_MAX + 8];

	(void)state;
	for (size_t i = 0; i < QT_LEN(rows); i++) {
		struct qt_err e = {0};
		int r = ft_path(out, rows[i].in, &e);

		assert_int_equal(r, rows[i].out ? 0 : -1);
		if (rows[i].out)
			assert_string_equal(out, rows[i].out);
		else
			assert_int_equal(e.code, QT_E_VALIDATION_ERROR);
	}
	for (size_t n = 250; n <= 260; n++) {
		struct qt_err e = {0};

		memset(longest, 'x', n);
		longest[n] = '\0';
		assert_int_equal(ft_path(out, longest, &e), n <= 255 ? 0 : -1);
	}
	for (size_t n = 98; n <= 103; n++) {
		struct qt_err e = {0};

		longest[0] = '\0';
		for (size_t i = 0; i < n; i++)
			strcat(longest, "d/");
		assert_int_equal(ft_path(out, longest, &e), n <= FT_DEPTH_MAX ? 0 : -1);
	}
	for (size_t i = 0; i < sizeof(longest) - 1; i++)
		longest[i] = i % 60 ? 'x' : '/';
	longest[sizeof(longest) - 1] = '\0';
	struct qt_err e = {0};
	assert_int_equal(ft_path(out, longest, &e), -1);
}

static void links_that_stay(void **state)
{
	static const struct {
		const char *name, *target;
		bool stays;
	} rows[] = {
		{"l", "a", true},	{"l", "a/b", true},   {"a/l", "../b", true},  {"a/b/l", "../../c", true}, {"a/l", "./../b/.", true},
		{"l", "..", false},	{"l", "/etc", false}, {"l", "", false},	      {"a/l", "../..", false},	  {"a/b/l", "../../../x", false},
		{"l", "a/../b", false}, {"l", "./..", false}, {"a/l", "..", true},
	};

	(void)state;
	for (size_t i = 0; i < QT_LEN(rows); i++)
		assert_int_equal(ft_link_stays(rows[i].name, rows[i].target), rows[i].stays);
}

/* --- files ----------------------------------------------------------------------------------------------- */

static void write_it(const char *path, const char *text, uint32_t mode, enum qt_code want)
{
	struct ft_write_rep rep;
	struct qt_err e = {0};
	int fd = memory(text), r = ft_write(root_fd, path, mode, fd, &rep, &e);

	close(fd);
	assert_int_equal(e.code, want);
	assert_int_equal(r, want == QT_OK ? 0 : -1);
	if (want == QT_OK)
		assert_int_equal(rep.size, strlen(text));
	else
		assert_null(strstr(e.msg, "/dev/shm"));
}

static void files_are_written(void **state)
{
	(void)state;
	write_it("a/b/c.txt", "one", 0640, QT_OK);
	assert_string_equal(content("a/b/c.txt"), "one");
	assert_int_equal(look("a/b/c.txt").st_mode, S_IFREG | 0640);
	assert_int_equal(look("a/b").st_mode, S_IFDIR | 0755);
	write_it("a/b/c.txt", "two", 0755, QT_OK);
	assert_string_equal(content("a/b/c.txt"), "two");
	/* Directories by way of links stay inside, absolute ones and those with too many dots too; a last link is replaced. */
	write_it("dl/x", "in d", 0644, QT_OK);
	assert_string_equal(content("d/x"), "in d");
	write_it("up/y", "still inside", 0644, QT_OK);
	assert_string_equal(content("y"), "still inside");
	write_it("abs", "no link", 04777, QT_OK);
	assert_int_equal(look("abs").st_mode, S_IFREG | 0777);
	write_it("", "x", 0644, QT_E_VALIDATION_ERROR);
	write_it("d", "x", 0644, QT_E_VALIDATION_ERROR);
	write_it("old/x", "x", 0644, QT_E_VALIDATION_ERROR);
	shell("test -z \"$(find %s -name '.quilt*')\"", inside);
}

static void read_it(const char *path, uint64_t max, const char *text, enum qt_code want)
{
	struct ft_read_rep rep;
	struct qt_err e = {0};
	char got[64] = "";
	int fd = ft_read_open(root_fd, path, max, &rep, &e), p[2];

	assert_int_equal(e.code, want);
	if (want != QT_OK)
		return;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	ft_read_send(fd, p[1], rep.size);
	close(p[1]);
	assert_int_equal(read(p[0], got, sizeof(got) - 1), (ssize_t)strlen(text));
	assert_string_equal(got, text);
	assert_int_equal(rep.size, strlen(text));
	close(p[0]);
	close(fd);
}

static void files_are_read(void **state)
{
	(void)state;
	shell("mkfifo %s/fifo; ln -s loop %s/loop; ln -s /old %s/oldlink; ln -s /proc/self/root/tmp %s/magic", inside, inside, inside, inside);
	read_it("old", 100, "old\n", QT_OK);
	read_it("oldlink", 100, "old\n", QT_OK);
	read_it("up/up/up/old", 100, "old\n", QT_OK);
	read_it("abs", 100, "", QT_E_FILE_NOT_FOUND); /* there is a canary outside only */
	read_it("up/canary", 100, "", QT_E_FILE_NOT_FOUND);
	read_it("none", 100, "", QT_E_FILE_NOT_FOUND);
	read_it("old/x", 100, "", QT_E_VALIDATION_ERROR);
	read_it("d", 100, "", QT_E_VALIDATION_ERROR);
	read_it("fifo", 100, "", QT_E_VALIDATION_ERROR);
	read_it("loop", 100, "", QT_E_VALIDATION_ERROR);
	read_it("magic", 100, "", QT_E_FILE_NOT_FOUND);
	read_it("old", 3, "", QT_E_PAYLOAD_TOO_LARGE);
}

static void delete_it(const char *path, enum qt_code want)
{
	struct qt_err e = {0};

	assert_int_equal(ft_delete(root_fd, path, &e), want == QT_OK ? 0 : -1);
	assert_int_equal(e.code, want);
}

static void files_are_deleted(void **state)
{
	(void)state;
	shell("echo x > %s/d/x", inside);
	delete_it("d", QT_E_CONFLICT);
	delete_it("dl/x", QT_OK);
	delete_it("dl", QT_OK); /* the link, not where it leads */
	assert_int_equal(look("d").st_mode & S_IFMT, S_IFDIR);
	delete_it("d", QT_OK);
	delete_it("d", QT_E_FILE_NOT_FOUND);
	delete_it("up/canary", QT_E_FILE_NOT_FOUND);
	delete_it("", QT_E_VALIDATION_ERROR);
}

static void lists_have_pages(void **state)
{
	static char buf[49152];
	struct ft_ls_req req = {.count = 100};
	struct ft_ls_rep rep;
	struct qt_err e = {0};
	const char *p;

	(void)state;
	assert_int_equal(ft_ls(root_fd, &req, "", buf, sizeof(buf), &rep, &e), 0);
	assert_int_equal(rep.total, 5);
	assert_int_equal(rep.n, 5);
	assert_int_equal(rep.entries.n, 25);
	p = rt_strv_next(&rep.entries, NULL);
	assert_string_equal(p, "abs");
	p = rt_strv_next(&rep.entries, p);
	assert_string_equal(p, "symlink");
	shell("cd %s/d; for i in $(seq 1000); do : > $(printf 'f%%04d-%%0240d' $i 0); done", inside);
	for (uint32_t at = 0; at < 1000; at += rep.n) {
		char first[8];

		req = (struct ft_ls_req){.offset = at, .count = 1000};
		assert_int_equal(ft_ls(root_fd, &req, "dl", buf, sizeof(buf), &rep, &e), 0);
		assert_int_equal(rep.total, 1000);
		assert_true(rep.n > 0);
		(void)qt_fmt(first, sizeof(first), "f%04u-", at + 1);
		assert_true(qt_starts(rt_strv_next(&rep.entries, NULL), first));
	}
	req = (struct ft_ls_req){.offset = 1000, .count = 10};
	assert_int_equal(ft_ls(root_fd, &req, "d", buf, sizeof(buf), &rep, &e), 0);
	assert_int_equal(rep.n, 0);
	assert_int_equal(ft_ls(root_fd, &req, "old", buf, sizeof(buf), &rep, &e), -1);
	assert_int_equal(e.code, QT_E_VALIDATION_ERROR);
}

/* --- archives -------------------------------------------------------------------------------------------- */

struct member {
	const char *name;
	char type; /* f, d, l (symbolic), h (hard), c, b, p */
	const char *text; /* content, or where it leads */
	mode_t mode;
};

static struct archive *begin(int fd, bool gzip)
{
	struct archive *a = archive_write_new();

	assert_int_equal(archive_write_set_format_pax_restricted(a), ARCHIVE_OK);
	if (gzip)
		assert_int_equal(archive_write_add_filter_gzip(a), ARCHIVE_OK);
	assert_int_equal(archive_write_open_fd(a, fd), ARCHIVE_OK);
	return a;
}

static void put(struct archive *a, const struct member *m)
{
	struct archive_entry *en = archive_entry_new();
	size_t len = m->type == 'f' ? strlen(m->text) : 0;

	archive_entry_set_pathname(en, m->name);
	archive_entry_set_perm(en, m->mode ? m->mode : 0644);
	archive_entry_set_mtime(en, 1000000000, 0);
	archive_entry_set_uid(en, 4294967295);
	switch (m->type) {
	case 'h':
		archive_entry_set_filetype(en, AE_IFREG);
		archive_entry_set_hardlink(en, m->text);
		break;
	case 'l':
		archive_entry_set_filetype(en, AE_IFLNK);
		archive_entry_set_symlink(en, m->text);
		break;
	default:
		archive_entry_set_filetype(en, m->type == 'f'	? AE_IFREG
					       : m->type == 'd' ? AE_IFDIR
					       : m->type == 'c' ? AE_IFCHR
					       : m->type == 'b' ? AE_IFBLK
								: AE_IFIFO);
	}
	archive_entry_set_size(en, (la_int64_t)len);
	archive_entry_xattr_add_entry(en, "user.overlay.opaque", "y", 1);
	assert_true(archive_write_header(a, en) >= ARCHIVE_WARN);
	if (len > 0)
		assert_int_equal(archive_write_data(a, m->text, len), (la_ssize_t)len);
	archive_entry_free(en);
}

static int make(const struct member *m, bool gzip)
{
	int fd = memfd_create("archive", MFD_CLOEXEC);
	struct archive *a = begin(fd, gzip);

	for (; m->name; m++)
		put(a, m);
	assert_int_equal(archive_write_free(a), ARCHIVE_OK);
	return fd;
}

static void unpack_fd(int fd, const char *path, uint32_t strip, const struct ft_limits *l, enum qt_code want, const char *says)
{
	struct ft_extract_rep rep;
	struct qt_err e = {0};
	int r = ft_extract(root_fd, &(struct ft_extract_req){.strip = strip, .name = rt_str("")}, path, fd, l, NULL, NULL, &rep, &e);

	close(fd);
	if (e.code != want)
		fail_msg("%s: %s", qt_err_row(e.code)->name, e.msg);
	assert_int_equal(r, want == QT_OK ? 0 : -1);
	if (says && !strstr(e.msg, says))
		fail_msg("\"%s\" is not in: %s", says, e.msg);
}

static void good_archives(void **state)
{
	static const struct member src[] = {
		{"./", 'd', NULL, 0700},
		{"./top/", 'd', NULL, 0750},
		{"./top/bin/run", 'f', "#!/bin/sh\n", 06755},
		{"./top/lib/a.so.1", 'f', "lib", 0444},
		{"./top/lib/a.so", 'l', "a.so.1", 0777},
		{"./top/bin/lib", 'l', "../lib", 0777},
		{"./top/again", 'h', "./top/bin/run", 0755},
		{"./top/n\303\244me \377", 'f', "any bytes", 0600},
		{NULL, 0, NULL, 0},
	};

	(void)state;
	for (int gzip = 0; gzip < 2; gzip++) {
		unpack_fd(make(src, gzip), "new/dir", 1, &limits, QT_OK, NULL);
		assert_string_equal(content("new/dir/bin/run"), "#!/bin/sh\n");
		assert_int_equal(look("new/dir/bin/run").st_mode, S_IFREG | 0755); /* no setuid, no setgid */
		assert_int_equal(look("new/dir/bin/run").st_mtime, 1000000000);
		assert_int_equal(look("new/dir/bin/run").st_uid, geteuid());
		assert_int_equal(look("new/dir/bin/run").st_ino, look("new/dir/again").st_ino);
		assert_int_equal(look("new/dir/lib/a.so").st_mode & S_IFMT, S_IFLNK);
		assert_string_equal(content("new/dir/bin/lib/a.so.1"), "lib");
		assert_string_equal(content("new/dir/n\303\244me \377"), "any bytes");
	}
	/* Everything is stripped away: nothing to do, and no error. */
	unpack_fd(make(src, true), "gone", 9, &limits, QT_OK, NULL);
	/* Through a link to a directory that was there; over a file and a link that were. */
	static const struct member over[] = {
		{"dl/", 'd', NULL, 0755}, {"dl/x", 'f', "x", 0}, {"old", 'f', "new", 0}, {"abs", 'f', "plain", 0}, {"up/z", 'f', "z", 0}, {NULL, 0, NULL, 0}};
	unpack_fd(make(over, true), "", 0, &limits, QT_OK, NULL);
	assert_string_equal(content("d/x"), "x");
	assert_string_equal(content("old"), "new");
	assert_string_equal(content("abs"), "plain");
	assert_string_equal(content("z"), "z");
	assert_int_equal(look("dl").st_mode & S_IFMT, S_IFLNK);
}

/* Each is refused before the good member in front of it is written. */
static void evil_archives(void **state)
{
	static const struct {
		struct member m[3];
		const char *says;
	} rows[] = {
		{{{"/etc/passwd", 'f', "x", 0}}, "absolute"},
		{{{"../canary", 'f', "x", 0}}, "\"..\""},
		{{{"a/../../canary", 'f', "x", 0}}, "\"..\""},
		{{{"a/..", 'd', NULL, 0755}}, "\"..\""},
		{{{"l", 'l', "/canary", 0}}, "leads out"},
		{{{"l", 'l', "../canary", 0}}, "leads out"},
		{{{"l", 'l', "x/../../canary", 0}}, "leads out"},
		{{{"d1", 'l', ".", 0}, {"d1/x", 'f', "x", 0}}, "below a link"},
		{{{"d1", 'l', "d", 0}, {"d1/d2/x", 'd', NULL, 0}}, "below a link"},
		{{{"d1", 'l', "d", 0}, {"h", 'h', "d1/x", 0}}, "below a link"},
		{{{"h", 'h', "/canary", 0}}, "absolute"},
		{{{"h", 'h', "../canary", 0}}, "\"..\""},
		{{{"null", 'c', NULL, 0}}, "device"},
		{{{"disk", 'b', NULL, 0}}, "device"},
		{{{"fifo", 'p', NULL, 0}}, "fifo"},
	};

	(void)state;
	for (size_t i = 0; i < QT_LEN(rows); i++) {
		const struct member all[] = {{"first", 'f', "written?", 0}, rows[i].m[0], rows[i].m[1], rows[i].m[2]};

		unpack_fd(make(all, i % 2), "", 0, &limits, QT_E_ARCHIVE_REFUSED, rows[i].says);
		assert_int_equal(look("first").st_mode, 0);
	}
	/* What only the tree can tell: the rest is there, and the answer says how much. */
	static const struct member dangling[] = {{"first", 'f', "written", 0}, {"h", 'h', "abs", 0}, {NULL, 0, NULL, 0}};
	unpack_fd(make(dangling, true), "", 0, &limits, QT_E_ARCHIVE_REFUSED, "after 1 members with 7 bytes");
	static const struct member blocked[] = {{"d", 'f', "x", 0}, {NULL, 0, NULL, 0}};
	unpack_fd(make(blocked, true), "", 0, &limits, QT_E_CONFLICT, "in the way");
}

static void not_archives(void **state)
{
	static const struct member one[] = {{"a", 'f', "0123456789", 0}, {NULL, 0, NULL, 0}};
	struct stat st;
	int fd;

	(void)state;
	unpack_fd(memory("this is no archive at all, however long one looks at it"), "", 0, &limits, QT_E_ARCHIVE_REFUSED, NULL);
	unpack_fd(memory(""), "", 0, &limits, QT_E_ARCHIVE_REFUSED, NULL);
	unpack_fd(memory("#mtree\nf type=file contents=/etc/passwd\n"), "", 0, &limits, QT_E_ARCHIVE_REFUSED, NULL);
	for (int gzip = 0; gzip < 2; gzip++) {
		fd = make(one, gzip);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(ftruncate(fd, gzip ? st.st_size / 2 : 515), 0);
		unpack_fd(fd, "", 0, &limits, QT_E_ARCHIVE_REFUSED, NULL);
	}
	assert_int_equal(look("a").st_mode, 0);
}

/* A member of SIZE zeros in FD. */
static int zeros(uint64_t size, bool twice)
{
	static char block[1 << 20];
	int fd = memfd_create("bomb", MFD_CLOEXEC);
	struct archive *a = archive_write_new();
	struct archive_entry *en = archive_entry_new();

	(void)archive_write_set_format_pax_restricted(a);
	(void)archive_write_add_filter_gzip(a);
	if (twice)
		(void)archive_write_add_filter_gzip(a);
	assert_int_equal(archive_write_open_fd(a, fd), ARCHIVE_OK);
	archive_entry_set_pathname(en, "zeros");
	archive_entry_set_filetype(en, AE_IFREG);
	archive_entry_set_perm(en, 0644);
	archive_entry_set_size(en, (la_int64_t)size);
	assert_int_equal(archive_write_header(a, en), ARCHIVE_OK);
	for (uint64_t n = 0; n < size; n += sizeof(block))
		assert_int_equal(archive_write_data(a, block, sizeof(block)), (la_ssize_t)sizeof(block));
	archive_entry_free(en);
	assert_int_equal(archive_write_free(a), ARCHIVE_OK);
	return fd;
}

static void bombs(void **state)
{
	const struct ft_limits small = {.entries = 3, .bytes = 1 << 20};
	static const struct member many[] = {{"a", 'f', "", 0}, {"b", 'f', "", 0}, {"c", 'f', "", 0}, {"d", 'f', "", 0}, {NULL, 0, NULL, 0}};

	(void)state;
	unpack_fd(zeros(4 << 20, false), "", 0, &limits, QT_OK, NULL);
	assert_int_equal(look("zeros").st_size, 4 << 20);
	unpack_fd(zeros(80 << 20, false), "", 0, &limits, QT_E_ARCHIVE_REFUSED, "times its own size");
	unpack_fd(zeros(80 << 20, true), "", 0, &limits, QT_E_ARCHIVE_REFUSED, NULL); /* gzip in gzip is no tar */
	unpack_fd(zeros(2 << 20, false), "", 0, &small, QT_E_ARCHIVE_REFUSED, "larger than");
	unpack_fd(make(many, true), "", 0, &small, QT_E_ARCHIVE_REFUSED, "more than 3 members");
}

static void sparse_and_long(void **state)
{
	char name[2000] = "", *p = name;
	struct stat st;
	int fd;

	(void)state;
	for (int i = 0; i < 15; i++)
		p += sprintf(p, "%s%0100d", i ? "/" : "", i);
	shell("cd %s && truncate -s 64M sp && printf end | dd of=sp bs=1 seek=40000000 conv=notrunc status=none && mkdir -p t/$(dirname %s) && echo deep > t/%s",
	      inside, name, name);
	for (int gnu = 0; gnu < 2; gnu++) {
		shell("cd %s && tar --format=%s -Scf ../a.tar sp t", inside, gnu ? "gnu" : "pax");
		(void)qt_fmt(p, 40, "/../../..");
		fd = openat(root_fd, "../a.tar", O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		shell("rm %s/a.tar", outside);
		unpack_fd(fd, gnu ? "g" : "p", 0, &limits, QT_OK, NULL);
		st = look(gnu ? "g/sp" : "p/sp");
		assert_int_equal(st.st_size, 64 << 20);
		assert_true(st.st_blocks < 2048);
		*p = '\0';
		shell("cd %s && cmp sp %s/sp && test \"$(cat %s/t/%s)\" = deep", inside, gnu ? "g" : "p", gnu ? "g" : "p", name);
	}
}

static void many_members(void **state)
{
	int fd = memfd_create("archive", MFD_CLOEXEC);
	struct archive *a = begin(fd, true);

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		char name[32];

		(void)qt_fmt(name, sizeof(name), "%u/%u", i / 1000, i);
		put(a, &(struct member){name, 'f', "x", 0});
	}
	assert_int_equal(archive_write_free(a), ARCHIVE_OK);
	unpack_fd(fd, "many", 0, &limits, QT_OK, NULL);
	shell("test $(find %s/many -type f | wc -l) = 100000", inside);
}

/* --- the protocol ---------------------------------------------------------------------------------------- */

static void shapes_are_whole(void **state)
{
	(void)state;
	for (unsigned op = 1; op < FT_OP_COUNT; op++) {
		assert_non_null(ft_shapes[op].name);
		/* main.c takes the path of any request by the first one's shape. */
		if (op != FT_PROGRESS && op != FT_LAYER && op != FT_BLOB && op != FT_PACK) {
			assert_string_equal(ft_shapes[op].req[0].name, "path");
			assert_int_equal(ft_shapes[op].req[0].off, offsetof(struct ft_stat_req, path));
		}
	}
}

/* Every prefix and every flipped bit of a request is decoded or refused, never more. */
static void mangled_requests(void **state)
{
	const struct ft_extract_req req = {.path = rt_str("a/b"), .strip = 3, .name = rt_str("n")};
	const struct rt_head h = {.magic = RT_MAGIC, .op = FT_EXTRACT, .serial = 7};
	unsigned char buf[256];
	struct qt_err e = {0};
	int len = rt_encode(buf, sizeof(buf), &h, ft_shapes[FT_EXTRACT].req, ft_shapes[FT_EXTRACT].n_req, &req, &e);

	(void)state;
	assert_true(len > 0);
	for (int cut = 0; cut <= len; cut++) {
		struct ft_extract_req got;
		struct qt_err why = {0};
		unsigned char *copy = malloc((size_t)cut + 1); /* its end is the sanitizer's to watch */

		memcpy(copy, buf, (size_t)cut);
		assert_int_equal(rt_decode(&got, sizeof(got), ft_shapes[FT_EXTRACT].req, ft_shapes[FT_EXTRACT].n_req, copy, (size_t)cut, &why),
				 cut == len ? 0 : -1);
		free(copy);
	}
	for (int bit = 0; bit < len * 8; bit++) {
		struct ft_extract_req got;
		struct qt_err why = {0};

		buf[bit / 8] = (unsigned char)(buf[bit / 8] ^ 1U << bit % 8);
		if (rt_decode(&got, sizeof(got), ft_shapes[FT_EXTRACT].req, ft_shapes[FT_EXTRACT].n_req, buf, (size_t)len, &why) == 0)
			assert_true(strlen(got.path.s) <= 4096);
		buf[bit / 8] = (unsigned char)(buf[bit / 8] ^ 1U << bit % 8);
	}
}

/* --- packing --------------------------------------------------------------------------------------------- */

static void globs(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool fits;
	} rows[] = {
		{"*", "a", true},	   {"a*c", "abbc", true},  {"a*c", "abbd", false}, {"?", "ab", false},	    {"[a-c]x", "bx", true}, {"[^a-c]x", "bx", false},
		{"[!a]x", "bx", true},	   {"[]x]", "]", true},	   {"[x", "x", false},	   {"\\*", "*", true},	    {"\\*", "a", false},    {"a\\", "a\\", true},
		{"*.txt", "x.txt", true},  {"*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false}, {"", "", true},
	};

	(void)state;
	for (size_t i = 0; i < QT_LEN(rows); i++)
		if (ft_glob(rows[i].pattern, rows[i].name) != rows[i].fits)
			fail_msg("%s and %s", rows[i].pattern, rows[i].name);
}

static void ignored(void **state)
{
	static const char lines[] = "*.log\0**/tmp\0a/**/z\0!keep.log\0docs\0!docs/README\0";
	const struct rt_strv v = {lines, sizeof(lines) - 1, 6}, none = {"", 0, 0};
	static const struct {
		const char *path;
		bool out;
	} rows[] = {
		{"x.log", true}, {"d/x.log", false}, {"keep.log", false}, {"tmp", true}, {"d/e/tmp", true}, {"d/tmp/file", true}, {"a/z", true}, {"a/b/c/z", true},
		{"b/z", false}, {"docs", true}, {"docs/x", true}, {"docs/README", false}, {"docsx", false}, {"", false},
	};

	(void)state;
	for (size_t i = 0; i < QT_LEN(rows); i++)
		if (ft_ignored(&v, rows[i].path) != rows[i].out)
			fail_msg("%s", rows[i].path);
	assert_false(ft_ignored(&none, "x"));
}

/* As one line: files, dirs, entries, and whether it failed. */
static enum qt_code pack(const char *pattern, const char *out, struct ft_pack_rep *rep, char *digest)
{
	struct ft_pack_req req = {.ignore = {"out\0", 4, 1}, .max_bytes = 1000};
	char patterns[256];
	struct qt_err e = {0};
	int fd = open(out, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), r;

	req.patterns = (struct rt_strv){patterns, 0, 0};
	assert_true(rt_strv_add(&req.patterns, patterns, sizeof(patterns), pattern));
	r = ft_pack(root_fd, &req, fd, &limits, NULL, NULL, digest, rep, &e);
	assert_int_equal(r == 0, e.code == QT_OK);
	close(fd);
	return e.code;
}

static void trees_are_packed(void **state)
{
	char first[FT_SHA256 + 1], digest[FT_SHA256 + 1], out[100];
	struct ft_pack_rep rep;
	struct qt_err e = {0};

	(void)state;
	assert_int_equal(ft_hash_init(&e), 0);
	(void)qt_fmt(out, sizeof(out), "%s/packed.tar", outside);
	shell("cd %s && mkdir -p d/e/f d/out o && echo 1 > d/a && echo 2 > d/e/b && ln -s ../a d/e/l && mkfifo d/p && echo 3 > out && echo 4 > x.c && echo 5 > y.c && ln -s /d link && "
	      "mknod d/never p && ln -s / o/up", inside);
	assert_int_equal(pack("d", out, &rep, first), QT_OK);
	assert_int_equal(rep.dirs, 1);
	assert_int_equal(rep.entries, 6); /* a, e, e/b, e/f, e/l, out */
	shell("test \"$(tar tf %s | tr '\\n' ' ')\" = 'a e/ e/b e/f/ e/l out/ '", out);
	shell("touch -d @1 %s/d/a %s/d/e", inside, inside);
	assert_int_equal(pack("/d/", out, &rep, digest), QT_OK);
	assert_string_equal(first, digest);
	shell("echo 9 > %s/d/a", inside);
	assert_int_equal(pack("link", out, &rep, digest), QT_OK); /* leads to d, inside */
	assert_string_not_equal(first, digest);
	assert_int_equal(pack("*.c", out, &rep, digest), QT_OK);
	assert_int_equal(rep.files, 2);
	assert_int_equal(pack("d/*/b", out, &rep, digest), QT_OK);
	assert_int_equal(rep.files, 1);
	assert_int_equal(pack("missing", out, &rep, digest), QT_E_FILE_NOT_FOUND);
	assert_int_equal(pack("out", out, &rep, digest), QT_E_FILE_NOT_FOUND);
	assert_int_equal(pack("*.none", out, &rep, digest), QT_E_FILE_NOT_FOUND);
	assert_int_equal(pack("../x.c", out, &rep, digest), QT_E_VALIDATION_ERROR);
	assert_int_equal(pack("d/p", out, &rep, digest), QT_E_FILE_NOT_FOUND);
	shell("head -c 2000 /dev/zero > %s/big", inside);
	assert_int_equal(pack("big", out, &rep, digest), QT_E_PAYLOAD_TOO_LARGE);
	shell("rm %s", out);
}

#define TREE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_are_made_plain), cmocka_unit_test(links_that_stay), cmocka_unit_test(shapes_are_whole),
		cmocka_unit_test(mangled_requests),	TREE(files_are_written),	   TREE(files_are_read),
		TREE(files_are_deleted),		TREE(lists_have_pages),		   TREE(good_archives),
		TREE(evil_archives),			TREE(not_archives),		   TREE(bombs),
		TREE(sparse_and_long),			TREE(many_members),
		cmocka_unit_test(globs),		cmocka_unit_test(ignored),	   TREE(trees_are_packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
