/* quilt-files as the runtime starts it: what it sees, what it may, when it ends; and its work in a container and in a volume's tree. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "fdio.h"
#include "files/enter.h"
#include "files/files_client.h"
#include "files/tree.h"
#include "num.h"
#include "rt_rig.h"
#include "str.h"

static int make(void **state)
{
	static struct rig r;

	rig_make(&r, "btrfs");
	rig_start(&r, NULL);
	*state = &r;
	return 0;
}

static int unmake(void **state)
{
	rig_unmake(*state);
	return 0;
}

static int end(void **state)
{
	struct rig *r = *state;

	rig_census(r, 0, 0);
	return 0;
}

/* The pid of the runtime's only child that is quilt-files; 0: none. */
static pid_t program_of(const struct rig *r)
{
	DIR *d = opendir("/proc");
	pid_t found = 0;

	assert_non_null(d);
	for (struct dirent *de; (de = readdir(d));) {
		char name[300], text[512], *behind;
		struct qt_err e = {0};
		int parent = 0;
		uint32_t pid;

		if (!qt_u32(&pid, de->d_name, 1, INT32_MAX))
			continue;
		(void)qt_fmt(name, sizeof(name), "/proc/%u/stat", pid);
		if (qt_read_file(AT_FDCWD, name, text, sizeof(text), &e) <= 0 || !(behind = strstr(text, "(quilt-files) ")))
			continue;
		if (sscanf(behind, "(quilt-files) %*c %d", &parent) == 1 && parent == r->pid)
			found = (pid_t)pid;
	}
	(void)closedir(d);
	return found;
}

static void wait_gone(const struct rig *r)
{
	int64_t deadline = qt_mono_ms() + BUDGET_MS;

	while (program_of(r) > 0) {
		assert_true(qt_mono_ms() < deadline);
		(void)poll(NULL, 0, 5);
	}
}

static void open_files(struct rig *r, struct qt_files *f, struct qt_id id)
{
	struct ft_stat_req req = {.path = rt_str("/")};
	struct ft_stat_rep rep;
	struct qt_err e = {0};

	if (qt_files_open(f, &r->rt, &id, &e) < 0 || qt_files_call(f, FT_STAT, &req, -1, &rep, sizeof(rep), NULL, NULL, BUDGET_MS, &e) < 0)
		fail_msg("%s: %s (%d)", qt_err_row(e.code)->name, e.msg, e.sys);
	assert_int_equal(rep.type, FT_T_DIR);
}

static int write_file(struct qt_files *f, const char *path, const char *text, struct qt_err *e)
{
	struct ft_write_req req = {.path = rt_str(path), .mode = 0644};
	struct ft_write_rep rep;
	int fd = memfd_create("content", MFD_CLOEXEC), r;

	assert_int_equal(pwrite(fd, text, strlen(text), 0), (ssize_t)strlen(text));
	r = qt_files_call(f, FT_WRITE, &req, fd, &rep, sizeof(rep), NULL, NULL, BUDGET_MS, e);
	close(fd);
	return r;
}

static int read_file(struct qt_files *f, const char *path, char *out, size_t size, struct qt_err *e)
{
	struct ft_read_req req = {.path = rt_str(path), .max_bytes = 1000};
	struct ft_read_rep rep;
	int p[2], r;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	r = qt_files_call(f, FT_READ, &req, p[1], &rep, sizeof(rep), NULL, NULL, BUDGET_MS, e);
	close(p[1]);
	if (r == 0) {
		ssize_t n = qt_read_all(p[0], out, size - 1, e);

		assert_int_equal(n, rep.size);
		out[n] = '\0';
	}
	close(p[0]);
	return r;
}

/* --- what it is ------------------------------------------------------------------------------------------ */

static ino_t ns_of(pid_t pid, const char *kind)
{
	char name[64];
	struct stat st;

	(void)qt_fmt(name, sizeof(name), "/proc/%d/ns/%s", (int)pid, kind);
	assert_int_equal(stat(name, &st), 0);
	return st.st_ino;
}

static void same_file(pid_t a, pid_t b, const char *path)
{
	char name[64];
	struct stat x, y;

	(void)qt_fmt(name, sizeof(name), "/proc/%d/root%s", (int)a, path);
	assert_int_equal(stat(name, &x), 0);
	(void)qt_fmt(name, sizeof(name), "/proc/%d/root%s", (int)b, path);
	assert_int_equal(stat(name, &y), 0);
	assert_int_equal(x.st_ino, y.st_ino);
	assert_int_equal(x.st_dev, y.st_dev);
}

static void says(pid_t pid, const char *file, const char *text)
{
	char name[64], all[16384];
	struct qt_err e = {0};

	(void)qt_fmt(name, sizeof(name), "/proc/%d/%s", (int)pid, file);
	assert_true(qt_read_file(AT_FDCWD, name, all, sizeof(all), &e) > 0);
	if (!strstr(all, text))
		fail_msg("%s lacks \"%s\":\n%s", file, text, all);
}

static unsigned descriptors(pid_t pid)
{
	char name[64];
	unsigned n = 0;
	DIR *d;

	(void)qt_fmt(name, sizeof(name), "/proc/%d/fd", (int)pid);
	d = opendir(name);
	assert_non_null(d);
	for (struct dirent *de; (de = readdir(d));)
		n += de->d_name[0] != '.';
	(void)closedir(d);
	return n;
}

/* CAP_DAC_OVERRIDE and CAP_FOWNER, one filter, nobody's environment, and no name of the host. */
static void confined(pid_t pid, const char *ids)
{
	char name[64], all[64];
	struct qt_err e = {0};

	says(pid, "status", "\nCapInh:\t0000000000000000\nCapPrm:\t000000000000000a\nCapEff:\t000000000000000a\nCapBnd:\t000000000000000a\nCapAmb:\t0000000000000000\n");
	says(pid, "status", "\nNoNewPrivs:\t1\nSeccomp:\t2\n");
	says(pid, "status", ids);
	says(pid, "status", "\nGroups:\t \n");
	says(pid, "oom_score_adj", "300");
	says(pid, "limits", "Max core file size        0");
	(void)qt_fmt(name, sizeof(name), "/proc/%d/environ", (int)pid);
	assert_int_equal(qt_read_file(AT_FDCWD, name, all, sizeof(all), &e), 0);
	assert_int_equal(descriptors(pid), 5); /* 0 to 2, the socket, the root */
	for (size_t i = 0; i < 4; i++) {
		static const char *const kinds[] = {"net", "pid", "ipc", "uts"};

		assert_true(ns_of(pid, kinds[i]) != ns_of(getpid(), kinds[i]));
	}
}

static void in_a_container(void **state)
{
	struct rig *r = *state;
	struct qt_id id = qt_id_new("ctr");
	pid_t init = (pid_t)rig_create(r, id).pid, pid;
	char ids[80], out[256], base[64];
	auto_files struct qt_files f = {.sock = -1};
	struct qt_err e = {0};
	unsigned uid;

	open_files(r, &f, id);
	pid = program_of(r);
	assert_true(pid > 0);
	(void)qt_fmt(base, sizeof(base), "/proc/%d/uid_map", (int)init);
	assert_true(qt_read_file(AT_FDCWD, base, out, sizeof(out), &e) > 0);
	assert_int_equal(sscanf(out, "%*u %u", &uid), 1);
	(void)qt_fmt(ids, sizeof(ids), "\nUid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n", uid, uid, uid, uid, uid, uid, uid, uid);
	confined(pid, ids);
	assert_int_equal(ns_of(pid, "user"), ns_of(init, "user"));
	assert_int_equal(ns_of(pid, "mnt"), ns_of(init, "mnt"));
	for (size_t i = 0; i < 3; i++) {
		static const char *const kinds[] = {"net", "pid", "ipc"};

		assert_true(ns_of(pid, kinds[i]) != ns_of(init, kinds[i]));
	}
	same_file(pid, init, "/bin/busybox");
	says(pid, "cgroup", id.s);
	/* Its work is what the container's processes see at once, and theirs what it sees; owner root. */
	assert_int_equal(write_file(&f, "/srv/a/hello", "from outside", &e), 0);
	rig_exec(r, id, "cat /srv/a/hello; ls -ln /srv/a | cut -c1-30; echo from inside > /tmp/back; ls /proc | grep -c '^[0-9]'", out, sizeof(out));
	assert_true(qt_starts(out, "from outside"));
	assert_non_null(strstr(out, "-rw-r--r--    1 0        0"));
	assert_int_equal(read_file(&f, "/tmp/back", out, sizeof(out), &e), 0);
	assert_string_equal(out, "from inside\n");
	/* Links lead nowhere but inside. */
	rig_exec(r, id, "ln -s ../../../../../../etc/shadow /tmp/l; ln -s /proc/1/root/etc /tmp/m; ln -s /proc/self/fd/3 /tmp/n", out, sizeof(out));
	for (size_t i = 0; i < 3; i++) {
		static const char *const paths[] = {"/tmp/l", "/tmp/m/shadow", "/tmp/n"};

		qt_err_reset(&e);
		assert_int_equal(read_file(&f, paths[i], out, sizeof(out), &e), -1);
	}
	/* It does not outlive the container. */
	assert_int_equal(rig_delete(r, id, &e), 0);
	wait_gone(r);
	qt_err_reset(&e);
	assert_int_equal(read_file(&f, "/tmp/back", out, sizeof(out), &e), -1);
	assert_int_equal(e.code, QT_E_RUNTIME_UNAVAILABLE);
}

static void in_a_volume(void **state)
{
	struct rig *r = *state;
	struct rt_vol_make_req make_req = {.id = qt_id_new("vol"), .from_snapshot = rt_str(""), .from_volume = rt_str(""), .record = rt_str("r")};
	struct rt_obj_delete_req delete_req = {.id = make_req.id};
	struct rt_obj_delete_rep deleted;
	struct rt_vol_make_rep made;
	auto_files struct qt_files f = {.sock = -1}, other = {.sock = -1};
	char ids[80], out[4096], name[64];
	struct qt_err e = {0};
	struct stat st;
	unsigned uid;
	pid_t pid;

	assert_true(qt_id_parse(&make_req.tenant, "ten", "ten_a"));
	assert_int_equal(rt_vol_make(&r->rt, &make_req, &made, BUDGET_MS, &e), 0);
	open_files(r, &f, make_req.id);
	pid = program_of(r);
	assert_true(pid > 0);
	(void)qt_fmt(name, sizeof(name), "/proc/%d/uid_map", (int)pid);
	assert_true(qt_read_file(AT_FDCWD, name, out, sizeof(out), &e) > 0);
	assert_int_equal(sscanf(out, "%*u %u", &uid), 1);
	assert_true(uid >= 1000000000U);
	(void)qt_fmt(ids, sizeof(ids), "\nUid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n", uid, uid, uid, uid, uid, uid, uid, uid);
	confined(pid, ids);
	says(pid, "cgroup", "file_");
	assert_true(ns_of(pid, "user") != ns_of(getpid(), "user"));
	assert_true(ns_of(pid, "mnt") != ns_of(getpid(), "mnt"));
	/* One mount, the tree; nothing of the host is below it. */
	(void)qt_fmt(name, sizeof(name), "/proc/%d/mountinfo", (int)pid);
	assert_true(qt_read_file(AT_FDCWD, name, out, sizeof(out), &e) > 0);
	assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
	assert_non_null(strstr(out, " / "));
	assert_non_null(strstr(out, "nosuid,nodev,noexec"));
	assert_int_equal(write_file(&f, "../a", "x", &e), -1);
	qt_err_reset(&e);
	assert_int_equal(write_file(&f, "d/a", "hello", &e), 0);
	/* Another conversation has other ids, and the same files: on disk they are root's. */
	open_files(r, &other, make_req.id);
	assert_int_equal(read_file(&other, "d/a", out, sizeof(out), &e), 0);
	assert_string_equal(out, "hello");
	(void)qt_fmt(out, sizeof(out), "%s/pool/vol/%s/data/d/a", r->dir, make_req.id.s);
	assert_int_equal(stat(out, &st), 0);
	assert_int_equal(st.st_uid, 0);
	/* The volume goes, and they with it. */
	assert_int_equal(rt_obj_delete(&r->rt, &delete_req, &deleted, BUDGET_MS, &e), 0);
	wait_gone(r);
	assert_int_equal(read_file(&f, "d/a", out, sizeof(out), &e), -1);
	assert_int_equal(e.code, QT_E_RUNTIME_UNAVAILABLE);
}

/* Behind the lock, with the tree for root: what must be refused is. An exit code names the first that was not. */
static int try_everything(void)
{
	static const char *const argv[] = {"/bin/true", NULL};
	const struct ft_limits limits = {.entries = 1, .bytes = 4096};
	struct qt_err e = {0};
	char page[8192] = {0};
	int root = ft_lock(&limits, false, &e), fd;

	if (root < 0)
		return 1;
	if (execve(argv[0], (char **)(uintptr_t)argv, NULL) != -1 || errno != EPERM)
		return 2;
	if (socket(AF_UNIX, SOCK_STREAM, 0) != -1 || errno != EPERM)
		return 3;
	if (fork() != -1 || errno != EPERM)
		return 4;
	if (open("/etc/passwd", O_RDONLY) != -1 || errno != EPERM)
		return 5;
	if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED || errno != EPERM)
		return 6;
	if (mprotect((void *)((uintptr_t)page & ~4095UL), 4096, PROT_READ | PROT_WRITE | PROT_EXEC) != -1 || errno != EPERM)
		return 7;
	if (mknodat(root, "dev", S_IFCHR | 0600, 0x103) != -1 || errno != EPERM)
		return 8;
	if (kill(getpid(), 0) != -1 || errno != EPERM)
		return 9;
	if (fchownat(root, "tmp", 1, 1, 0) != -1 || errno != EPERM)
		return 10;
	if (setuid(1) != -1 || chroot(".") != -1 || unshare(CLONE_NEWUSER) != -1)
		return 11;
	/* And what it is for works. */
	fd = ft_open_name(root, "made", O_RDWR | O_CREAT, 0644);
	if (fd < 0 || write(fd, page, 4096) != 4096)
		return 12;
	(void)signal(SIGXFSZ, SIG_IGN);
	if (write(fd, page, 1) != -1 || errno != EFBIG)
		return 13;
	return 0;
}

static void locked_in(void **state)
{
	struct rig *r = *state;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (chdir(r->dir) < 0 || mkdir("jail", 0755) < 0 || chroot("jail") < 0)
			_exit(20);
		_exit(try_everything());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void it_ends(void **state)
{
	struct rig *r = *state;
	struct qt_id id = qt_id_new("ctr");
	struct qt_files f = {.sock = -1}, many[10];
	struct qt_err e = {0};
	char out[16];
	unsigned n;

	(void)rig_create(r, id);
	/* With the conversation. */
	open_files(r, &f, id);
	assert_true(program_of(r) > 0);
	qt_files_done(&f);
	wait_gone(r);
	/* With a peer that does not keep to the protocol. */
	open_files(r, &f, id);
	assert_int_equal(send(f.sock, "rubbish, and enough of it", 25, 0), 25);
	wait_gone(r);
	qt_files_done(&f);
	/* With the runtime; then the next one serves. */
	open_files(r, &f, id);
	rig_kill(r);
	assert_int_equal(read_file(&f, "/x", out, sizeof(out), &e), -1);
	assert_int_equal(e.code, QT_E_RUNTIME_UNAVAILABLE);
	qt_files_done(&f);
	rig_start(r, NULL);
	/* Not too many for one container. */
	for (n = 0; n < QT_LEN(many); n++) {
		qt_err_reset(&e);
		if (qt_files_open(&many[n], &r->rt, &id, &e) < 0)
			break;
	}
	assert_int_equal(n, 8);
	assert_int_equal(e.code, QT_E_CAPACITY_FULL);
	for (unsigned i = 0; i <= n; i++)
		qt_files_done(&many[i]);
	wait_gone(r);
	qt_err_reset(&e);
	assert_int_equal(qt_files_open(&f, &r->rt, &(struct qt_id){"ctr_none"}, &e), -1);
	assert_int_equal(e.code, QT_E_CONTAINER_NOT_FOUND);
	qt_files_done(&f);
	qt_err_reset(&e);
	assert_int_equal(qt_files_open(&f, &r->rt, &(struct qt_id){"vol_none"}, &e), -1);
	assert_int_equal(e.code, QT_E_VOLUME_NOT_FOUND);
	qt_files_done(&f);
	qt_err_reset(&e);
	assert_int_equal(rig_delete(r, id, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(in_a_container, end),
		cmocka_unit_test_teardown(in_a_volume, end),
		cmocka_unit_test_teardown(locked_in, end),
		cmocka_unit_test_teardown(it_ends, end),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
