/* What a container sees: the probe's report from inside, compared row by row with what security.md 5.3 to 5.7 asks for. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "fdio.h"
#include "minit/proto.h"
#include "proc.h"
#include "fds.h"
#include "rig.h"
#include "runtime/caps.h"
#include "str.h"

#define LOOK   (const char *const[]) { "/bin/probe", "look", NULL }
#define SIGSYS_ "signal 31"
#define EPERM_  "1"
#define ENOSYS_ "38"
#define INT80_  "int80" /* whatever int80_ends() says */

struct row {
	const char *key, *normal, *strict; /* strict NULL: the same */
};

static const struct row rows[] = {
	{"NoNewPrivs", "1", NULL},
	{"Seccomp", "2", NULL},
	{"CapInh", "0000000000000000", NULL},
	{"CapAmb", "0000000000000000", NULL},
	{"CapBnd", "00000000000405fb", "00000000000004eb"},
	{"CapPrm", "00000000000405fb", "00000000000004eb"},
	{"CapEff", "00000000000405fb", "00000000000004eb"},
	{"SigIgn", "0000000000000000", NULL},
	{"SigBlk", "0000000000000000", NULL},
	{"ids", "0 0 0", NULL},
	{"uid_map", "         0 1900000000      65536", NULL},
	{"uname", "box (none)", NULL},
	{"etc.hostname", "box", NULL},
	{"etc.resolv", "nameserver 192.0.2.1", NULL},
	{"etc.hosts", "127.0.1.1\tbox", NULL},
	{"workdir", "0", NULL},
	{"exe", "13", NULL}, /* nobody inside opens the init's file */
	/* what may be written */
	{"make./", "0", "30"},
	{"make./tmp", "0", NULL},
	{"make./run", "0", NULL},
	{"make./ro", "30", NULL},
	{"image.uid", "0", NULL},
	{"make./shared", "0", "30"},
	{"shared", "2775", NULL},
	{"copy.capable", "0", "30"},
	{"chown", "0", "absent"},
	{"write./proc/sys", "refused", NULL},
	/* devices */
	{"open./dev/null", "0", NULL},
	{"open./dev/zero", "0", NULL},
	{"open./dev/full", "0", NULL},
	{"open./dev/random", "0", NULL},
	{"open./dev/urandom", "0", NULL},
	{"open./dev/tty", "6", NULL}, /* no terminal: ENXIO */
	{"open./dev/ptmx", "0", NULL},
	{"pty", "0", NULL},
	{"tiocsti", EPERM_, NULL},
	/* limits */
	{"rlimit.core", "0 0", NULL},
	{"rlimit.memlock", "65536 65536", NULL},
	{"rlimit.msgqueue", "819200 819200", NULL},
	{"rlimit.nice", "0 0", NULL},
	{"rlimit.rtprio", "0 0", NULL},
	{"rlimit.sigpending", "4096 4096", NULL},
	{"sysctl.user/max_user_namespaces", "0", NULL},
	{"sysctl.user/max_mnt_namespaces", "0", NULL},
	{"sysctl.user/max_net_namespaces", "0", NULL},
	{"sysctl.user/max_pid_namespaces", "0", NULL},
	{"sysctl.net/ipv4/ping_group_range", "0\t65535", NULL},
	{"sysctl.net/ipv4/ip_unprivileged_port_start", "0", NULL},
	{"sysctl.net/ipv6/conf/all/disable_ipv6", "1", NULL},
	{"sysctl.net/ipv4/conf/all/accept_redirects", "0", NULL},
	/* system calls: every class, and the four ways in */
	{"sys.unshare", EPERM_, NULL},
	{"sys.unshare.int80", INT80_, NULL},
	{"sys.unshare.x32", SIGSYS_, NULL},
	{"sys.getpid.int80", INT80_, NULL},
	{"sys.getpid.x32", SIGSYS_, NULL},
	{"sys.mount", EPERM_, NULL},
	{"sys.mount.int80", INT80_, NULL},
	{"sys.mount.x32", SIGSYS_, NULL},
	{"sys.unknown470", ENOSYS_, NULL},
	{"sys.unknown1000", ENOSYS_, NULL},
	{"sys.umount2", EPERM_, NULL},
	{"sys.pivot_root", EPERM_, NULL},
	{"sys.setns", EPERM_, NULL},
	{"sys.fsopen", EPERM_, NULL},
	{"sys.open_tree", EPERM_, NULL},
	{"sys.move_mount", EPERM_, NULL},
	{"sys.mount_setattr", EPERM_, NULL},
	{"sys.open_by_handle_at", EPERM_, NULL},
	{"sys.name_to_handle_at", ENOSYS_, NULL},
	{"sys.bpf", EPERM_, NULL},
	{"sys.perf_event_open", EPERM_, NULL},
	{"sys.userfaultfd", EPERM_, NULL},
	{"sys.keyctl", EPERM_, NULL},
	{"sys.add_key", EPERM_, NULL},
	{"sys.init_module", EPERM_, NULL},
	{"sys.kexec_load", EPERM_, NULL},
	{"sys.reboot", EPERM_, NULL},
	{"sys.settimeofday", EPERM_, NULL},
	{"sys.sethostname", EPERM_, NULL},
	{"sys.swapon", EPERM_, NULL},
	{"sys.syslog", EPERM_, NULL},
	{"sys.quotactl", EPERM_, NULL},
	{"sys.iopl", EPERM_, NULL},
	{"sys.process_madvise", EPERM_, NULL},
	{"sys.io_uring_setup", ENOSYS_, NULL},
	{"sys.clone3", ENOSYS_, NULL},
	{"sys.clone.newuser", ENOSYS_, NULL},
	{"sys.clone.newpid", ENOSYS_, NULL},
	{"sys.clone.plain", "0", NULL},
	{"sys.personality.ask", "0", ENOSYS_},
	{"sys.personality.norandom", ENOSYS_, NULL},
	{"sys.socket.unix", "0", NULL},
	{"sys.socket.inet", "0", NULL},
	{"sys.socket.ping", "0", NULL},
	{"sys.socket.raw", EPERM_, NULL},
	{"sys.socket.route", "0", NULL},
	{"sys.socket.netfilter", ENOSYS_, NULL},
	{"sys.socket.packet", ENOSYS_, NULL},
	{"sys.socket.alg", ENOSYS_, NULL},
	{"sys.socket.vsock", ENOSYS_, NULL},
	{"sys.socket.vsock.high", ENOSYS_, NULL},
	{"sys.ptrace", "0", EPERM_},
	{"sys.chroot", "0", EPERM_},
	{"sys.mknod.fifo", "0", EPERM_},
	{"sys.mknod.device", EPERM_, NULL},
	{"sys.setuid", "0", NULL},
	{"sys.setgroups", "0", NULL},
	{"sys.kill.init", "0", NULL}, /* allowed, and without effect */
};

static void want_masked(const char *value, void *arg)
{
	unsigned *bad = arg;
	const char *how = strchr(value, ' ');

	if (how && (qt_streq(how, " absent") || qt_streq(how, " null") || qt_streq(how, " empty")))
		return;
	print_error("mask: %s\n", value);
	(*bad)++;
}

static void want_read_only(const char *value, void *arg)
{
	unsigned *bad = arg;
	const char *how = strchr(value, ' ');

	if (how && (qt_streq(how, " absent") || qt_streq(how, " ro")))
		return;
	print_error("locked: %s\n", value);
	(*bad)++;
}

/* The command has its standard streams, which are of the new /dev or pipes to the init, and nothing else. */
static void want_stream(const char *value, void *arg)
{
	unsigned *bad = arg;

	if (qt_streq(value, "0 /dev/null") || qt_starts(value, "1 pipe:[") || qt_starts(value, "2 pipe:["))
		return;
	print_error("descriptor: %s\n", value);
	(*bad)++;
}

static void want_open_files(const char *value, void *arg)
{
	unsigned *bad = arg;
	unsigned long soft = 0, hard = 0;

	/* The hard limit is the runtime's own, where that is lower and may not be raised. */
	if (sscanf(value, "%lu %lu", &soft, &hard) == 2 && soft == 1024 && hard >= soft && hard <= 65536)
		return;
	print_error("open files: %s\n", value);
	(*bad)++;
}

static void want_own_mount(const char *value, void *arg)
{
	static const char *const types[] = {" - overlay ", " - proc ", " - sysfs ", " - tmpfs ", " - devpts ", " - mqueue ",
					    " - devtmpfs "};
	unsigned *bad = arg;
	bool known = false, volume = strstr(value, " /out ") || strstr(value, " /ro ");

	for (size_t i = 0; i < QT_LEN(types); i++)
		known |= strstr(value, types[i]) != NULL;
	/* The kernel tells where a volume stands in its file system, whatever we do. Of the rest nobody learns it. */
	if ((volume || (known && !strstr(value, "quilt-spawn-"))) && !strstr(value, "master:") && !strstr(value, "shared:"))
		return;
	print_error("mount: %s\n", value);
	(*bad)++;
}

static void want_own_root(const char *value, void *arg)
{
	unsigned *bad = arg;
	const char *path = strrchr(value, ':');

	/* Hierarchies that limit nothing are left alone. */
	if (strstr(value, "name=") || strstr(value, "cpuset") || strstr(value, "hugetlb") || strstr(value, "perf_event") ||
	    strstr(value, "net_") || strstr(value, "rdma") || strstr(value, "misc") || (path && qt_streq(path, ":/")))
		return;
	print_error("cgroup: %s\n", value);
	(*bad)++;
}

static void want_other_namespace(const struct box *b)
{
	static const char *const kinds[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"};

	for (size_t i = 0; i < QT_LEN(kinds); i++) {
		char path[32], key[16], ours[64] = "", line[128];

		assert_true(qt_fmt(path, sizeof(path), "/proc/self/ns/%s", kinds[i]));
		assert_true(qt_fmt(key, sizeof(key), "ns.%s", kinds[i]));
		assert_true(readlink(path, ours, sizeof(ours) - 1) > 0);
		assert_true(qt_fmt(line, sizeof(line), "%s=%s\n", key, ours));
		assert_null(strstr(b->report, line));
		assert_non_null(strstr(b->report, key));
	}
}

/* The 32-bit way in is closed by the filter, or there is none: some hypervisors have no int 0x80, and it ends as any bad instruction. */
static const char *int80_ends(void)
{
#ifdef __x86_64__
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		long rc;

		(void)signal(SIGSEGV, SIG_DFL);
		__asm__ volatile("int $0x80" : "=a"(rc) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
		_exit(rc < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV)
		return "signal 11";
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
#endif
	return SIGSYS_;
}

static void check_report(const struct box *b, bool strict)
{
	const char *int80 = int80_ends();
	unsigned bad = 0;

	for (size_t i = 0; i < QT_LEN(rows); i++) {
		const char *want = strict && rows[i].strict ? rows[i].strict : rows[i].normal;

		if (!qt_streq(want, "absent"))
			bad += !rig_says(b, rows[i].key, qt_streq(want, INT80_) ? int80 : want);
	}
	assert_true(rig_each(b, "mask", want_masked, &bad) > 20);
	assert_int_equal(rig_each(b, "locked", want_read_only, &bad), 6);
	assert_int_equal(rig_each(b, "fd", want_stream, &bad), 3);
	assert_int_equal(rig_each(b, "rlimit.nofile", want_open_files, &bad), 1);
	assert_true(rig_each(b, "mount", want_own_mount, &bad) > 15);
	assert_true(rig_each(b, "cgroup", want_own_root, &bad) > 0);
	want_other_namespace(b);
	assert_int_equal(bad, 0);
}

static void want_owner(struct rig *r, const char *path, uid_t uid, gid_t gid)
{
	struct stat st;

	assert_int_equal(fstatat(r->upper_fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_uid, uid);
	assert_int_equal(st.st_gid, gid);
}

static void empty_upper(struct rig *r)
{
	static const char *const made[] = {"made-by-root", "made-by-user", "made", "etc", "tmp", "run", "out", "ro", "shared", "bin"};

	for (size_t i = 0; i < QT_LEN(made); i++)
		rig_remove_tree(r->upper_fd, made[i]);
}

static void a_container_is_confined(void **state)
{
	struct rig *r = *state;
	struct qt_err e = {0};
	struct box b;
	struct stat st;

	if (rig_start(r, &(struct rig_what){.argv = LOOK}, &b, &e) < 0)
		fail_msg("%s", e.msg);
	rig_wait(r, &b);
	check_report(&b, false);
	/* On disk everything is root's, or what the container gave it to, in its own numbers. */
	want_owner(r, "made-by-root", 0, 0);
	want_owner(r, "made-by-user", 1000, 1001);
	want_owner(r, "etc/resolv.conf", 0, 0);
	want_owner(r, "made/for/work", 0, 0);
	assert_int_equal(fstatat(r->vol_fd, "report", &st, 0), 0);
	assert_int_equal(st.st_uid, 0);
	/* The hostile link was replaced; what it named is as it was. */
	assert_int_equal(fstatat(r->upper_fd, "etc/passwd", &st, AT_SYMLINK_NOFOLLOW), -1);
	/* It is there, and alone, in its group. */
	assert_true(qt_start_time(b.pid) > 0);
	assert_true(rt_contract_holds(b.pid, "/bin/sh\0/bin/busybox", sizeof("/bin/sh\0/bin/busybox")));
	assert_false(rt_contract_holds(b.pid, "/bin/sh\0/bin/none", sizeof("/bin/sh\0/bin/none")));
	assert_false(rt_contract_holds(b.pid, "/etc/passwd", sizeof("/etc/passwd")));
	rig_stop(r, &b);
	assert_int_equal(qt_start_time(b.pid), 0);
	empty_upper(r);
}

static void a_strict_container_is_more_confined(void **state)
{
	struct rig *r = *state;
	struct qt_err e = {0};
	struct box b;

	if (rig_start(r, &(struct rig_what){.argv = LOOK, .strict = true}, &b, &e) < 0)
		fail_msg("%s", e.msg);
	rig_wait(r, &b);
	check_report(&b, true);
	rig_stop(r, &b);
	empty_upper(r);
}

/* Links of the image lead where they lead inside. */
static void a_linked_etc_stays_inside(void **state)
{
	struct rig *r = *state;
	struct qt_err e = {0};
	struct stat st;
	struct box b;

	assert_int_equal(mkdirat(r->upper_fd, "other", 0755), 0);
	assert_int_equal(symlinkat("/../../other", r->upper_fd, "etc"), 0);
	if (rig_start(r, &(struct rig_what){.argv = (const char *const[]){NULL}}, &b, &e) < 0)
		fail_msg("%s", e.msg);
	rig_stop(r, &b);
	assert_int_equal(fstatat(r->upper_fd, "other/hostname", &st, 0), 0);
	assert_int_equal(access("/other", F_OK), -1);
	rig_remove_tree(r->upper_fd, "other");
	empty_upper(r);
}

static bool answers_ping(const struct rig *r)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	auto_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct mi_msg m = {.magic = MI_MAGIC, .kind = MI_PING};
	struct pollfd p = {fd, POLLIN, 0};
	char got[256];

	assert_true(qt_fmt(a.sun_path, sizeof(a.sun_path), "%s/sock", r->dir));
	assert_int_equal(connect(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(send(fd, &m, sizeof(m), MSG_NOSIGNAL), sizeof(m));
	assert_int_equal(poll(&p, 1, RIG_BUDGET_MS), 1);
	if (recv(fd, got, sizeof(got), 0) < (ssize_t)sizeof(m))
		return false;
	memcpy(&m, got, sizeof(m));
	return m.kind == MI_PONG;
}

/* The process that made it dies; the container lives on. */
static void a_container_outlives_its_maker(void **state)
{
	struct rig *r = *state;
	struct qt_err e = {0};
	struct box *b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	siginfo_t si;
	int status = 0;
	pid_t maker;

	assert_true(b != MAP_FAILED);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0); /* the orphan becomes ours */
	maker = fork();
	if (maker == 0)
		_exit(rig_start(r, &(struct rig_what){.argv = (const char *const[]){NULL}}, b, &e) == 0 ? 0 : 1);
	assert_int_equal(waitpid(maker, &status, 0), maker);
	assert_int_equal(status, 0);
	/* A signal at its maker's death would be pending by now, and let it answer nothing. */
	b->pid_fd = (int)syscall(SYS_pidfd_open, b->pid, 0);
	assert_true(b->pid_fd >= 0);
	assert_true(answers_ping(r));
	assert_int_equal(rt_cgroup_kill(r->cgroups, &b->id, &e), 0);
	assert_int_equal(waitid(P_PIDFD, (id_t)b->pid_fd, &si, WEXITED), 0);
	close(b->pid_fd);
	while (!rt_cgroup_remove(r->cgroups, &b->id))
		(void)poll(NULL, 0, 1);
	assert_int_equal(munmap(b, sizeof(*b)), 0);
	empty_upper(r);
}

static int by_size(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void many_leave_nothing_open(void **state)
{
	enum { N = 200 };
	struct rig *r = *state;
	static double took[N];
	unsigned fds = 0;

	for (int i = 0; i < N; i++) {
		struct qt_err e = {0};
		struct box b;
		double begin = now_ms();

		if (rig_start(r, &(struct rig_what){.argv = (const char *const[]){NULL}}, &b, &e) < 0)
			fail_msg("%d: %s", i, e.msg);
		took[i] = now_ms() - begin;
		rig_stop(r, &b);
		empty_upper(r);
		if (i == 0)
			fds = count_fds();
	}
	assert_int_equal(count_fds(), fds);
	qsort(took, N, sizeof(took[0]), by_size);
	print_message("group made to ready: median %.2f ms, fastest %.2f ms, of %d\n", took[N / 2], took[0], N);
}

/* From here on with the capabilities that the runtime keeps, and no others. */
static int setup(void **state)
{
	static const struct {
		unsigned cap;
		bool needed;
	} kept[] = {
#define CAP(name, must, why) {CAP_##name, must},
#include "runtime/caps.def"
#undef CAP
	};
	uint64_t mask = 0;

	(void)rig_setup(state);
	for (size_t i = 0; i < QT_LEN(kept); i++)
		if (kept[i].needed || prctl(PR_CAPBSET_READ, kept[i].cap, 0, 0, 0) == 1)
			mask |= UINT64_C(1) << kept[i].cap;
	assert_int_equal(rt_caps_drop(mask), 0);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_container_is_confined),
		cmocka_unit_test(a_strict_container_is_more_confined),
		cmocka_unit_test(a_linked_etc_stays_inside),
		cmocka_unit_test(a_container_outlives_its_maker),
		cmocka_unit_test(many_leave_nothing_open),
	};

	return cmocka_run_group_tests_name("spawn", tests, setup, rig_teardown);
}
