/* The copier of trees itself, without a runtime. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "pool_rig.h"
#include "runtime/dirs.h"
#include "runtime/store_parts.h"
#include "str.h"

static int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static int copy_once(const char *dir, struct qt_err *e)
{
	auto_close int top = open_dir(dir), from = open_dir(text("%s/from", dir)), to = -1, links = -1;
	int r;

	assert_true(mkdirat(top, "to", 0700) == 0 && mkdirat(top, "links", 0700) == 0);
	to = open_dir(text("%s/to", dir));
	links = open_dir(text("%s/links", dir));
	r = rt_copy_tree(from, to, links, false, e);
	assert_int_equal(rt_dir_empty(links), 0);
	assert_int_equal(unlinkat(top, "links", AT_REMOVEDIR), 0);
	return r;
}

static void drop_copy(const char *dir)
{
	auto_close int to = open_dir(text("%s/to", dir));

	assert_int_equal(rt_dir_empty(to), 0);
	assert_int_equal(rmdir(text("%s/to", dir)), 0);
}

static bool has_xattr(const char *path, const char *name, const char *want)
{
	char buf[64] = "";

	return lgetxattr(path, name, buf, sizeof(buf) - 1) >= 0 && qt_streq(buf, want);
}

/* What containers cannot make themselves, but overlayfs does in their layers. */
static void what_overlayfs_left_is_copied(void **state)
{
	char dir[] = "/tmp/qt-copy-XXXXXX";
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	auto_close int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), top = -1;
	struct stat st, st2;
	struct qt_err e = {0};

	(void)state;
	(void)umask(0);
	assert_non_null(mkdtemp(dir));
	top = open_dir(dir);
	assert_int_equal(mkdirat(top, "from", 0755), 0);
	assert_int_equal(mkdirat(top, "from/opaque", 0755), 0);
	assert_int_equal(mknodat(top, "from/gone", S_IFCHR, makedev(0, 0)), 0);
	assert_int_equal(linkat(top, "from/gone", top, "from/gone2", 0), 0);
	assert_int_equal(lsetxattr(text("%s/from/opaque", dir), "trusted.overlay.opaque", "y", 1, 0), 0);
	assert_int_equal(lsetxattr(text("%s/from/opaque", dir), "trusted.overlay.origin", "x", 1, 0), 0);
	assert_int_equal(lsetxattr(text("%s/from/opaque", dir), "user.mine", "kept", 4, 0), 0);
	assert_int_equal(symlinkat("/etc/passwd", top, "from/link"), 0);
	assert_int_equal(lsetxattr(text("%s/from/link", dir), "trusted.note", "on a link", 9, 0), 0);
	assert_true(qt_copy(a.sun_path, sizeof(a.sun_path), text("%s/from/sock", dir)));
	assert_int_equal(bind(sock, (struct sockaddr *)&a, sizeof(a)), 0);

	assert_int_equal(copy_once(dir, &e), 0);
	assert_int_equal(fstatat(top, "to/gone", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISCHR(st.st_mode) && st.st_rdev == 0 && st.st_nlink == 2);
	assert_int_equal(fstatat(top, "to/gone2", &st2, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(st.st_ino == st2.st_ino);
	assert_int_equal(fstatat(top, "to/sock", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_true(has_xattr(text("%s/to/opaque", dir), "trusted.overlay.opaque", "y"));
	assert_true(has_xattr(text("%s/to/opaque", dir), "user.mine", "kept"));
	assert_false(has_xattr(text("%s/to/opaque", dir), "trusted.overlay.origin", "x"));
	assert_true(has_xattr(text("%s/to/link", dir), "trusted.note", "on a link"));
	assert_true(rt_dir_empty(top) == 0 && rmdir(dir) == 0);
	(void)umask(022);
}

/* Somebody swaps a directory with a link out of the tree, and a file with a fifo, as fast as can be: nothing of outside gets in, and nothing
 * hangs. */
static void a_tree_that_changes_leads_nowhere(void **state)
{
	char dir[] = "/tmp/qt-copy-XXXXXX";
	auto_close int top = -1;
	pid_t pid;

	(void)state;
	assert_non_null(mkdtemp(dir));
	top = open_dir(dir);
	assert_true(mkdirat(top, "from", 0755) == 0 && mkdirat(top, "secret", 0755) == 0 && mknodat(top, "secret/out", S_IFREG | 0644, 0) == 0);
	pid = fork();
	assert_true(pid >= 0);
	while (pid == 0) {
		(void)!mkdirat(top, "from/a", 0755);
		(void)!mknodat(top, "from/b", S_IFREG | 0644, 0);
		(void)unlinkat(top, "from/a", AT_REMOVEDIR);
		(void)!symlinkat("../secret", top, "from/a");
		(void)unlinkat(top, "from/b", 0);
		(void)!mknodat(top, "from/b", S_IFIFO | 0644, 0);
		(void)unlinkat(top, "from/a", 0);
		(void)unlinkat(top, "from/b", 0);
		(void)!symlinkat("../secret/out", top, "from/b");
		(void)unlinkat(top, "from/b", 0);
	}
	for (int i = 0; i < 2000; i++) {
		struct qt_err e = {0};
		struct stat st;

		if (copy_once(dir, &e) < 0)
			fail_msg("%s", e.msg);
		assert_true(fstatat(top, "to/a/out", &st, AT_SYMLINK_NOFOLLOW) < 0 || fstatat(top, "to/a", &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			    S_ISLNK(st.st_mode));
		drop_copy(dir);
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(rt_dir_empty(top) == 0 && rmdir(dir) == 0);
}

/* Refused, and not a crash; what is as deep as a path can be is copied. */
static void depth_is_bounded(void **state)
{
	char dir[] = "/tmp/qt-copy-XXXXXX";
	auto_close int top = -1, at = -1;
	struct qt_err e = {0};

	(void)state;
	assert_non_null(mkdtemp(dir));
	top = open_dir(dir);
	assert_int_equal(mkdirat(top, "from", 0755), 0);
	at = openat(top, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 2100; i++) {
		assert_int_equal(mkdirat(at, "d", 0755), 0);
		qt_reset_fd(&at, openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
		if (i != 1999)
			continue;
		assert_int_equal(copy_once(dir, &e), 0);
		drop_copy(dir);
	}
	assert_int_equal(copy_once(dir, &e), -1);
	assert_int_equal(e.code, QT_E_CONFLICT);
	assert_true(rt_dir_empty(top) == 0 && rmdir(dir) == 0);
}

int pool_copier(void)
{
	const struct CMUnitTest copier[] = {
		cmocka_unit_test(what_overlayfs_left_is_copied),
		cmocka_unit_test(a_tree_that_changes_leads_nowhere),
		cmocka_unit_test(depth_is_bounded),
	};

	return cmocka_run_group_tests_name("copier", copier, NULL, NULL);
}
