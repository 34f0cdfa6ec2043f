#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "enter.h"
#include "runtime/caps.h"

#define CPU_S	   300
#define MEMORY_MAX (1ULL << 30)

int ft_enter_container(struct qt_err *e)
{
	/* The user namespace first: with its root's capabilities the other may be entered. This takes the root directory along. */
	if (setns(FT_FD_USER, CLONE_NEWUSER) < 0 || setns(FT_FD_MOUNT, CLONE_NEWNS) < 0)
		return qt_fail_sys(e, errno, "enter the container's namespaces");
	qt_close(FT_FD_USER);
	qt_close(FT_FD_MOUNT);
	return 0;
}

int ft_enter_volume(struct qt_err *e)
{
	/* Onto "/", since that is sure to be there; then the old root ends up on top of the new one, and goes. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    move_mount(FT_FD_TREE, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 || fchdir(FT_FD_TREE) < 0 ||
	    syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
		return qt_fail_sys(e, errno, "take the volume for root");
	qt_close(FT_FD_TREE);
	return 0;
}

static int identity(struct qt_err *e)
{
	if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return qt_fail_sys(e, errno, "become the tree's root");
	/* A change of ids takes both of these back. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return qt_fail_sys(e, errno, "prctl");
	(void)umask(0);
	return chdir("/") == 0 ? 0 : qt_fail_sys(e, errno, "chdir");
}

static int set_limits(const struct ft_limits *l, struct qt_err *e)
{
	const struct {
		int resource;
		rlim_t max;
	} rows[] = {
		{RLIMIT_CPU, CPU_S},
		{RLIMIT_FSIZE, l->bytes},
		{RLIMIT_NOFILE, 64},
		{RLIMIT_CORE, 0},
#ifndef QT_SANITIZED /* which reserve terabytes */
		{RLIMIT_AS, MEMORY_MAX},
#endif
	};

	for (size_t i = 0; i < QT_LEN(rows); i++) {
		const struct rlimit r = {rows[i].max, rows[i].max};

		if (setrlimit((__rlimit_resource_t)rows[i].resource, &r) < 0)
			return qt_fail_sys(e, errno, "set a resource limit");
	}
	return 0;
}

/* All that may be asked of the kernel. What is not here is refused with EPERM, and libraries go on without it. */
static const char *const allowed[] = {
	"read", "write", "pread64", "pwrite64", "lseek", "close", "fcntl", "ftruncate", "fstat", "newfstatat", "getdents64", "openat2",
	"mkdirat", "unlinkat", "renameat", "renameat2", "linkat", "symlinkat", "fchmod", "utimensat",
	"readlinkat", "poll", "ppoll", "recvmsg", "sendmsg",
	"brk", "munmap", "mremap", "madvise", "futex", "getrandom", "clock_gettime", "sysinfo",
	"rt_sigreturn", "rt_sigprocmask", "rt_sigaction", "getpid", "gettid", "tgkill", "restart_syscall", "exit", "exit_group",
#ifdef QT_SANITIZED
	"sigaltstack", "sched_yield", "readlink", "getrlimit", "prlimit64",
#endif
};

static void release(scmp_filter_ctx *ctx)
{
	if (*ctx)
		seccomp_release(*ctx);
}

/* Owners, attributes (user.* alone: the others want a privilege that it does not have), and what overlayfs takes for "gone": a character device 0:0, for which nobody needs a privilege. */
static int allow_more(scmp_filter_ctx ctx, enum ft_rights rights)
{
	const struct scmp_arg_cmp whiteout[2] = {SCMP_CMP64(2, SCMP_CMP_MASKED_EQ, S_IFMT, S_IFCHR), SCMP_CMP64(3, SCMP_CMP_EQ, 0)};
	int r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fchown), 0, NULL);

	if (r == 0)
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fchownat), 0, NULL);
	if (r == 0)
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fsetxattr), 0, NULL);
	return r < 0 || rights != FT_R_LAYER ? r : seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mknodat), 2, whiteout);
}

static int filter(enum ft_rights rights, struct qt_err *e)
{
	QT_AUTO(release) scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	const struct scmp_arg_cmp no_code = SCMP_CMP64(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	int r = ctx ? seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < QT_LEN(allowed); i++)
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(allowed[i]), 0, NULL);
	if (r == 0)
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, &no_code);
	if (r == 0)
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, &no_code);
	if (r == 0 && rights != FT_R_PLAIN)
		r = allow_more(ctx, rights);
	if (r == 0)
		r = seccomp_load(ctx);
	return r == 0 ? 0 : qt_fail_sys(e, -r, "install the system call filter");
}

int ft_lock(const struct ft_limits *limits, enum ft_rights rights, struct qt_err *e)
{
	auto_close int root = -1;

	if (identity(e) < 0 || set_limits(limits, e) < 0)
		return -1;
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return qt_fail_sys(e, errno, "open the root");
	/* Files of the tree's other users, and their modes. No CHOWN: everything made here is root's, but in a layer and a build. */
	if (rt_caps_drop(1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_FOWNER | (rights != FT_R_PLAIN ? 1ULL << CAP_CHOWN | 1ULL << CAP_FSETID : 0)) < 0)
		return qt_fail_sys(e, errno, "give capabilities up");
	if (filter(rights, e) < 0)
		return -1;
	return qt_take_fd(&root);
}
