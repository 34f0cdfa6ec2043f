/*
 * probe.c - runs inside a container and reports what it sees: "key=value" lines in /out/report, renamed into place when done.
 *
 * probe look | memory MB | pids | sleep
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static FILE *out;

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(out, fmt, ap);
	va_end(ap);
	fputc('\n', out);
}

static void say_file(const char *key, const char *path)
{
	FILE *f = fopen(path, "re");
	char line[512];

	if (!f) {
		say("%s=errno %d", key, errno);
		return;
	}
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		say("%s=%s", key, line);
	}
	fclose(f);
}

static void look_status(void)
{
	static const char *const keys[] = {"NoNewPrivs", "Seccomp", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "SigIgn", "SigBlk"};
	FILE *f = fopen("/proc/self/status", "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
			size_t n = strlen(keys[i]);

			if (strncmp(line, keys[i], n) == 0 && line[n] == ':')
				say("%s=%.*s", keys[i], (int)strcspn(line + n + 2, "\n"), line + n + 2);
		}
	if (f)
		fclose(f);
}

static void look_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *de;

	while (d && (de = readdir(d))) {
		char target[256];
		ssize_t n;
		int fd = atoi(de->d_name);

		if (de->d_name[0] == '.' || fd == dirfd(d) || fd == fileno(out))
			continue;
		n = readlinkat(dirfd(d), de->d_name, target, sizeof(target) - 1);
		say("fd=%s %.*s", de->d_name, (int)(n < 0 ? 0 : n), target);
	}
	if (d)
		closedir(d);
}

static void look_namespaces(void)
{
	static const char *const kinds[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		char path[64], target[64] = "";

		snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i]);
		if (readlink(path, target, sizeof(target) - 1) < 0)
			snprintf(target, sizeof(target), "errno %d", errno);
		say("ns.%s=%s", kinds[i], target);
	}
}

static const char *masked_as(const char *path)
{
	struct statvfs v;
	struct stat st;
	unsigned entries = 0;
	struct dirent *de;
	DIR *d;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? "absent" : "error";
	if (S_ISCHR(st.st_mode))
		return st.st_rdev == makedev(1, 3) ? "null" : "device";
	if (!S_ISDIR(st.st_mode))
		return "open";
	d = opendir(path);
	while (d && (de = readdir(d)))
		entries += de->d_name[0] != '.';
	if (d)
		closedir(d);
	if (!d || statvfs(path, &v) < 0)
		return "error";
	return entries == 0 && (v.f_flag & ST_RDONLY) ? "empty" : "open";
}

static void look_masks(void)
{
	static const char *const paths[] = {
		"/proc/acpi", "/proc/asound", "/proc/config.gz", "/proc/interrupts", "/proc/kallsyms", "/proc/kcore", "/proc/keys",
		"/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
		"/proc/vmallocinfo", "/proc/pagetypeinfo", "/proc/slabinfo", "/sys/firmware", "/sys/devices/virtual/powercap",
		"/sys/devices/system/cpu/cpu0/thermal_throttle", "/sys/kernel/debug", "/sys/kernel/tracing",
		"/sys/kernel/security", "/sys/fs/bpf", "/sys/fs/fuse", "/sys/fs/cgroup",
	};
	static const char *const locked[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/sys"};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		say("mask=%s %s", paths[i], masked_as(paths[i]));
	for (size_t i = 0; i < sizeof(locked) / sizeof(locked[0]); i++) {
		struct statvfs v;

		if (statvfs(locked[i], &v) < 0)
			say("locked=%s absent", locked[i]);
		else
			say("locked=%s %s", locked[i], v.f_flag & ST_RDONLY ? "ro" : "rw");
	}
	say("write./proc/sys=%s", open("/proc/sys/user/max_user_namespaces", O_WRONLY) < 0 ? "refused" : "open");
}

static void look_devices(void)
{
	static const char *const nodes[] = {"null", "zero", "full", "random", "urandom", "tty", "ptmx"};
	struct dirent *de;
	DIR *d = opendir("/dev");

	while (d && (de = readdir(d)))
		if (de->d_name[0] != '.')
			say("dev=%s", de->d_name);
	if (d)
		closedir(d);
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		char path[32];
		int fd;

		snprintf(path, sizeof(path), "/dev/%s", nodes[i]);
		fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK);
		say("open./dev/%s=%d", nodes[i], fd < 0 ? errno : 0);
		if (fd >= 0)
			close(fd);
	}
}

static void look_limits(void)
{
	static const struct {
		int resource;
		const char *name;
	} r[] = {{RLIMIT_NOFILE, "nofile"}, {RLIMIT_CORE, "core"},	  {RLIMIT_MEMLOCK, "memlock"},	{RLIMIT_MSGQUEUE, "msgqueue"},
		 {RLIMIT_NICE, "nice"},	    {RLIMIT_RTPRIO, "rtprio"}, {RLIMIT_SIGPENDING, "sigpending"}};

	for (size_t i = 0; i < sizeof(r) / sizeof(r[0]); i++) {
		struct rlimit l;

		getrlimit(r[i].resource, &l);
		say("rlimit.%s=%llu %llu", r[i].name, (unsigned long long)l.rlim_cur, (unsigned long long)l.rlim_max);
	}
}

static void look_files(void)
{
	int fd = open("/made-by-root", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	say("make./=%d", fd < 0 ? errno : 0);
	if (fd >= 0)
		close(fd);
	fd = open("/made-by-user", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd >= 0) {
		say("chown=%d", fchown(fd, 1000, 1001) < 0 ? errno : 0);
		close(fd);
	}
	fd = open("/tmp/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	say("make./tmp=%d", fd < 0 ? errno : 0);
	fd = open("/run/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	say("make./run=%d", fd < 0 ? errno : 0);
	fd = open("/ro/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	say("make./ro=%d", fd < 0 ? errno : 0);
	fd = open("/shared/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	say("make./shared=%d", fd < 0 ? errno : 0);
	say("shared=%o", ({ struct stat st; stat("/shared", &st) < 0 ? ~0U : st.st_mode & 07777; }));
	fd = open("/bin/capable", O_WRONLY | O_APPEND | O_CLOEXEC);
	say("copy.capable=%d", fd < 0 ? errno : 0);
	say("image.uid=%d", (int)({ struct stat st; lstat("/bin/busybox", &st) < 0 ? ~0U : st.st_uid; }));
	say_file("etc.hostname", "/etc/hostname");
	say_file("etc.resolv", "/etc/resolv.conf");
	say_file("etc.hosts", "/etc/hosts");
	say("workdir=%d", chdir("/made/for/work") < 0 ? errno : 0);
}

/* One system call in a process of its own: how that process ended. */
struct call {
	const char *name;
	long nr, a[5];
	enum { NATIVE, INT80, X32 } way;
};

static int make_call(const struct call *c)
{
	long rc;

#ifdef __x86_64__
	if (c->way == INT80) {
		__asm__ volatile("int $0x80" : "=a"(rc) : "a"(c->nr), "b"(c->a[0]), "c"(c->a[1]), "d"(c->a[2]) : "memory", "r8", "r9", "r10", "r11");
		return rc < 0 ? (int)-rc : 0;
	}
#endif
	rc = syscall(c->way == X32 ? c->nr | 0x40000000 : c->nr, c->a[0], c->a[1], c->a[2], c->a[3], c->a[4]);
	if (rc == 0 && c->nr == SYS_clone)
		_exit(0);
	return rc < 0 ? errno : 0;
}

static void try_call(const struct call *c)
{
	pid_t pid;
	int status = 0;

	fflush(out);
	pid = fork();
	if (pid == 0)
		_exit(make_call(c));
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		say("sys.%s=signal %d", c->name, WTERMSIG(status));
	else
		say("sys.%s=%d", c->name, WEXITSTATUS(status));
}

static void look_calls(void)
{
	static const struct call calls[] = {
		{"unshare", SYS_unshare, {CLONE_NEWUSER}, NATIVE},
		{"unshare.int80", 310, {CLONE_NEWUSER}, INT80},
		{"unshare.x32", SYS_unshare, {CLONE_NEWUSER}, X32},
		{"getpid.int80", 20, {0}, INT80},
		{"getpid.x32", SYS_getpid, {0}, X32},
		{"mount", SYS_mount, {0}, NATIVE},
		{"mount.int80", 21, {0}, INT80},
		{"mount.x32", SYS_mount, {0}, X32},
		{"umount2", SYS_umount2, {0}, NATIVE},
		{"pivot_root", SYS_pivot_root, {0}, NATIVE},
		{"setns", SYS_setns, {-1}, NATIVE},
		{"fsopen", 430, {0}, NATIVE},
		{"open_tree", 428, {-1}, NATIVE},
		{"move_mount", 429, {-1, 0, -1}, NATIVE},
		{"mount_setattr", 442, {-1}, NATIVE},
		{"open_by_handle_at", SYS_open_by_handle_at, {-1}, NATIVE},
		{"name_to_handle_at", SYS_name_to_handle_at, {-1}, NATIVE},
		{"bpf", SYS_bpf, {0}, NATIVE},
		{"perf_event_open", SYS_perf_event_open, {0}, NATIVE},
		{"userfaultfd", SYS_userfaultfd, {0}, NATIVE},
		{"keyctl", SYS_keyctl, {0}, NATIVE},
		{"add_key", SYS_add_key, {0}, NATIVE},
		{"init_module", SYS_init_module, {0}, NATIVE},
		{"kexec_load", SYS_kexec_load, {0}, NATIVE},
		{"reboot", SYS_reboot, {0}, NATIVE},
		{"settimeofday", SYS_settimeofday, {0}, NATIVE},
		{"sethostname", SYS_sethostname, {0}, NATIVE},
		{"swapon", SYS_swapon, {0}, NATIVE},
		{"syslog", SYS_syslog, {0}, NATIVE},
		{"quotactl", SYS_quotactl, {0}, NATIVE},
		{"iopl", SYS_iopl, {3}, NATIVE},
		{"process_madvise", 440, {-1}, NATIVE},
		{"io_uring_setup", 425, {1, 0}, NATIVE},
		{"clone3", 435, {0}, NATIVE},
		{"clone.newuser", SYS_clone, {CLONE_NEWUSER | SIGCHLD}, NATIVE},
		{"clone.newpid", SYS_clone, {CLONE_NEWPID | SIGCHLD}, NATIVE},
		{"clone.plain", SYS_clone, {SIGCHLD}, NATIVE},
		{"unknown470", 470, {0}, NATIVE},
		{"unknown1000", 1000, {0}, NATIVE},
		{"personality.ask", SYS_personality, {0xffffffffL}, NATIVE},
		{"personality.norandom", SYS_personality, {0x40000}, NATIVE},
		{"socket.unix", SYS_socket, {AF_UNIX, SOCK_STREAM, 0}, NATIVE},
		{"socket.inet", SYS_socket, {AF_INET, SOCK_STREAM, 0}, NATIVE},
		{"socket.ping", SYS_socket, {AF_INET, SOCK_DGRAM, 1}, NATIVE},
		{"socket.raw", SYS_socket, {AF_INET, SOCK_RAW, 1}, NATIVE},
		{"socket.route", SYS_socket, {AF_NETLINK, SOCK_RAW, 0}, NATIVE},
		{"socket.netfilter", SYS_socket, {AF_NETLINK, SOCK_RAW, 12}, NATIVE},
		{"socket.packet", SYS_socket, {AF_PACKET, SOCK_RAW, 0}, NATIVE},
		{"socket.alg", SYS_socket, {38, SOCK_SEQPACKET, 0}, NATIVE},
		{"socket.vsock", SYS_socket, {40, SOCK_STREAM, 0}, NATIVE},
		{"socket.vsock.high", SYS_socket, {40 | 1L << 32, SOCK_STREAM, 0}, NATIVE},
		{"ptrace", SYS_ptrace, {0, 0, 0, 0}, NATIVE},
		{"chroot", SYS_chroot, {(long)"/"}, NATIVE},
		{"mknod.fifo", SYS_mknodat, {AT_FDCWD, (long)"/tmp/fifo", S_IFIFO | 0600, 0}, NATIVE},
		{"mknod.device", SYS_mknodat, {AT_FDCWD, (long)"/tmp/kmem", S_IFCHR | 0600, 0x101}, NATIVE},
		{"setuid", SYS_setuid, {1000}, NATIVE},
		{"setgroups", SYS_setgroups, {0, 0}, NATIVE},
		{"kill.init", SYS_kill, {1, SIGKILL}, NATIVE},
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		try_call(&calls[i]);
}

static void look_terminal(void)
{
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY), zero = 0, n = 0, slave;
	char path[32];

	if (master < 0 || ioctl(master, TIOCSPTLCK, &zero) < 0 || ioctl(master, TIOCGPTN, &n) < 0) {
		say("pty=%d", errno);
		return;
	}
	snprintf(path, sizeof(path), "/dev/pts/%d", n);
	slave = open(path, O_RDWR | O_NOCTTY);
	say("pty=%d", slave < 0 ? errno : 0);
	fflush(out);
	if (fork() == 0) {
		setsid();
		ioctl(slave, TIOCSCTTY, 0);
		_exit(ioctl(slave, TIOCSTI, "x") < 0 ? errno : 0);
	}
	wait(&n);
	say("tiocsti=%d", WEXITSTATUS(n));
	close(slave);
	close(master);
}

static void look(void)
{
	static const char *const sysctls[] = {
		"user/max_user_namespaces", "user/max_mnt_namespaces", "user/max_net_namespaces", "user/max_pid_namespaces",
		"net/ipv4/ping_group_range", "net/ipv4/ip_unprivileged_port_start", "net/ipv6/conf/all/disable_ipv6",
		"net/ipv4/conf/all/accept_redirects",
	};
	struct utsname u;

	look_status();
	look_fds();
	look_namespaces();
	look_masks();
	look_devices();
	look_limits();
	look_files();
	look_calls();
	look_terminal();
	for (size_t i = 0; i < sizeof(sysctls) / sizeof(sysctls[0]); i++) {
		char key[64], path[128];

		snprintf(key, sizeof(key), "sysctl.%s", sysctls[i]);
		snprintf(path, sizeof(path), "/proc/sys/%s", sysctls[i]);
		say_file(key, path);
	}
	say_file("mount", "/proc/self/mountinfo");
	say_file("cgroup", "/proc/self/cgroup");
	say_file("oom", "/proc/1/oom_score_adj");
	say_file("uid_map", "/proc/self/uid_map");
	uname(&u);
	say("uname=%s %s", u.nodename, u.domainname);
	say("exe=%d", open("/proc/1/exe", O_RDONLY) < 0 ? errno : 0);
	say("ids=%d %d %d", getuid(), getgid(), getgroups(0, NULL));
}

static void eat(long mb)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		for (long i = 0; i < mb; i++) {
			char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

			if (p == MAP_FAILED)
				_exit(1);
			memset(p, 1, 1 << 20);
		}
		_exit(0);
	}
	waitpid(pid, &status, 0);
	say("memory=%s %d", WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static void multiply(void)
{
	int n = 0;

	for (; n < 1000; n++) {
		pid_t pid = fork();

		if (pid < 0)
			break;
		if (pid == 0)
			for (;;)
				pause();
	}
	say("pids=%d %d", n, errno);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "look";

	out = fopen("/out/report.new", "we");
	if (!out)
		return 1;
	if (strcmp(mode, "look") == 0)
		look();
	else if (strcmp(mode, "memory") == 0)
		eat(argc > 2 ? atol(argv[2]) : 1);
	else if (strcmp(mode, "pids") == 0)
		multiply();
	fclose(out);
	if (rename("/out/report.new", "/out/report") < 0)
		return 1;
	for (;;)
		pause();
}
