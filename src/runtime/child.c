#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"
#include "fdpass.h"
#include "minit/proto.h"
#include "parts.h"
#include "str.h"

/* Everything between clone3 and the init. It uses descriptors and memory that were prepared before, and tells the runtime
 * which step failed. */

static int fail(int sys)
{
	errno = sys;
	return -1;
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Nothing else of the runtime's is open from here on: not its ends of other children's sockets, and with its thousands of descriptors the container's
 * limit would leave none. */
static int close_others(const struct rt_child *c)
{
	int keep[] = {2, /* the lowest: 0 to 2 stay until they are replaced */
		      c->sp->minit_fd, c->sync_fd, c->ready_fd};

	qsort(keep, QT_LEN(keep), sizeof(keep[0]), by_number);
	for (size_t i = 0; i < QT_LEN(keep); i++) {
		unsigned first = (unsigned)keep[i] + 1, last = i + 1 < QT_LEN(keep) ? (unsigned)keep[i + 1] - 1 : ~0U;

		if (keep[i] < 0)
			return fail(EBADF);
		if (first <= last && syscall(SYS_close_range, first, last, 0) < 0)
			return -1;
	}
	return 0;
}

/* One message of the runtime's, whose N descriptors come into FDS. The end of the stream means that the runtime gave up, or is dead. */
static int hear(struct rt_child *c, struct rt_tell *t, int *fds, size_t *n)
{
	struct qt_err e = {0};
	ssize_t len = qt_recv_fds(c->sync_fd, t, sizeof(*t), fds, n, &e);

	return len == sizeof(*t) ? 0 : fail(len < 0 ? e.sys : ECANCELED);
}

/* N descriptors behind the *HAVE that are in V already. */
static int keep(int *v, unsigned *have, unsigned max, const int *fds, size_t n)
{
	if (n > max - *have)
		return fail(EPROTO);
	memcpy(&v[*have], fds, n * sizeof(*fds));
	*have += (unsigned)n;
	return 0;
}

/* Until MAPPED come the doors. */
static int hold(struct rt_child *c)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || close_others(c) < 0)
		return -1;
	for (;;) {
		int fds[QT_FDS_MAX];
		struct rt_tell t;
		size_t n = 0;

		if (hear(c, &t, fds, &n) < 0)
			return -1;
		if (t.kind == RT_TELL_MAPPED && n == 0)
			return 0;
		if (t.kind != RT_TELL_DOORS)
			return fail(EPROTO);
		if (keep(c->doors, &c->n_doors, RT_DOORS_MAX, fds, n) < 0)
			return -1;
	}
}

static int join(struct rt_child *c)
{
	while (c->n_doors > 0) {
		auto_close int door = c->doors[--c->n_doors];

		if (write(door, "0", 1) != 1)
			return -1;
	}
	return 0;
}

static int take(struct rt_child *c, const struct rt_tell *t, const int *fds, size_t n)
{
	if (t->kind == RT_TELL_ROOT && n == 1)
		c->root_fd = fds[0];
	else if (t->kind == RT_TELL_VOLUME && n == 1 && t->index < RT_MOUNTS_MAX)
		c->volume_fd[t->index] = fds[0];
	else if (t->kind == RT_TELL_GIVEN && t->index == c->n_given)
		return keep(c->given, &c->n_given, RT_GIVEN, fds, n);
	else
		return fail(EPROTO);
	return 0;
}

/* Until GO come the root, the volumes, and what the init is given. */
static int wait_go(struct rt_child *c)
{
	for (;;) {
		int fds[QT_FDS_MAX];
		struct rt_tell t;
		size_t n = 0;

		if (hear(c, &t, fds, &n) < 0)
			return -1;
		if (t.kind == RT_TELL_GO)
			return n == 0 && c->n_given == RT_GIVEN ? 0 : fail(EPROTO);
		if (take(c, &t, fds, n) < 0)
			return -1;
	}
}

/* The init must find its network ready. */
static int wait_connected(struct rt_child *c)
{
	int fds[QT_FDS_MAX];
	struct rt_tell t;
	size_t n = 0;

	if (hear(c, &t, fds, &n) < 0)
		return -1;
	return t.kind == RT_TELL_CONNECTED && n == 0 ? 0 : fail(EPROTO);
}

static int identity(struct rt_child *c)
{
	(void)c;
	if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return -1;
	/* A change of ids takes both of these back. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -1;
	if (setsid() < 0)
		return -1;
	/* The runtime's session keyring is not for tenants. */
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
		return -1;
	(void)umask(0);
	return 0;
}

/* Not with clone3: the namespace's root is the group that its maker is in, and that is this one only now. */
static int cgroupns(struct rt_child *c)
{
	(void)c;
	return unshare(CLONE_NEWCGROUP);
}

static int set_name(struct rt_child *c)
{
	static const char none[] = "(none)"; /* what the kernel itself says before anybody sets one */

	if (sethostname(c->what->hostname, strlen(c->what->hostname)) < 0)
		return -1;
	return setdomainname(none, sizeof(none) - 1);
}

struct sysctl {
	const char *path, *value;
};

static const struct sysctl network[] = {
	{"net/ipv6/conf/all/disable_ipv6", "1"}, /* until IPv6 is filtered as well */
	{"net/ipv6/conf/default/disable_ipv6", "1"},
	{"net/ipv4/conf/all/accept_redirects", "0"},
	{"net/ipv4/conf/default/accept_redirects", "0"},
	{"net/ipv4/ping_group_range", "0 65535"}, /* ping without CAP_NET_RAW */
	{"net/ipv4/ip_unprivileged_port_start", "0"},
};

/* No namespaces inside: most local root holes of the kernel begin with one. */
static const struct sysctl namespaces[] = {
	{"user/max_user_namespaces", "0"},
	{"user/max_mnt_namespaces", "0"},
	{"user/max_net_namespaces", "0"},
	{"user/max_pid_namespaces", "0"},
};

static int set_all(struct rt_child *c, const struct sysctl *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		auto_close int fd = openat(c->sysctl_fd, v[i].path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
		size_t len = strlen(v[i].value);

		if (fd < 0 && errno == ENOENT && qt_starts(v[i].path, "net/ipv6/"))
			continue; /* a kernel without IPv6 */
		if (fd < 0 || write(fd, v[i].value, len) != (ssize_t)len)
			return -1;
	}
	return 0;
}

static int set_network(struct rt_child *c)
{
	return set_all(c, network, QT_LEN(network));
}

static int forbid_namespaces(struct rt_child *c)
{
	return set_all(c, namespaces, QT_LEN(namespaces));
}

static int arrange_fds(struct rt_child *c)
{
	int from[3 + RT_GIVEN + 1] = {c->null_fd, c->null_fd, c->null_fd}, high[QT_LEN(from)];
	int minit = fcntl(c->sp->minit_fd, F_DUPFD_CLOEXEC, 32);
	int sync = fcntl(c->sync_fd, F_DUPFD_CLOEXEC, 32);
	struct stat st;

	_Static_assert(MI_FD_LISTEN == 3 && MI_FD_LOG == 4 && MI_FD_STATUS == 6 && MI_FD_CONFIG == 7 && MI_FD_READY == 3 + RT_GIVEN,
		       "the order of given[]");
	if (minit < 0 || sync < 0)
		return -1;
	/* The node went through the container's tree: look at what was really opened. */
	if (fstat(c->null_fd, &st) < 0)
		return -1;
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
		return fail(ENODEV);
	memcpy(&from[3], c->given, sizeof(c->given));
	from[3 + RT_GIVEN] = c->ready_fd;
	/* First out of the way, then into place: no number is overwritten while it is still a source. */
	for (size_t i = 0; i < QT_LEN(from); i++) {
		high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 32);
		if (high[i] < 0)
			return -1;
	}
	for (size_t i = 0; i < QT_LEN(from); i++)
		if (dup2(high[i], (int)i) < 0)
			return -1;
	c->sync_fd = sync;
	if (syscall(SYS_close_range, QT_LEN(from), ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return -1;
	/* Numbers below 9 that were the runtime's have been replaced; MINIT stays open, close-on-exec. */
	c->ready_fd = minit;
	return 0;
}

static int reset_signals(struct rt_child *c)
{
	sigset_t none;

	(void)c;
	for (int s = 1; s < NSIG; s++)
		if (s != SIGKILL && s != SIGSTOP)
			(void)signal(s, SIG_DFL); /* the two that belong to the C library refuse */
	(void)sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL);
}

static int drop_caps(struct rt_child *c)
{
	return rt_caps_drop(rt_caps_mask(c->what->strict));
}

static int install_filters(struct rt_child *c)
{
	if (rt_filter_install(&c->sp->ioctl_filter) < 0)
		return -1;
	return rt_filter_install(&c->sp->filter[c->what->strict]);
}

static int execute(struct rt_child *c)
{
	static char name[] = "quilt-minit";
	char *const argv[] = {name, NULL}, *const envp[] = {NULL};

	(void)umask(022);
	return (int)syscall(SYS_execveat, c->ready_fd, "", argv, envp, AT_EMPTY_PATH);
}

/* security.md 5.3, in order, but for what no container is needed: that is done before. */
static const struct {
	enum rt_step step;
	int (*fn)(struct rt_child *c);
} steps[] = {
	{RT_STEP_HOLD, hold},
	{RT_STEP_JOIN, join},
	{RT_STEP_CGROUPNS, cgroupns},
	{RT_STEP_IDENTITY, identity},
	{RT_STEP_SIGNALS, reset_signals},
	{RT_STEP_PRIVATE, rt_mount_private},
	{RT_STEP_STAGE, rt_mount_stage},
	{RT_STEP_PROC, rt_mount_proc},
	{RT_STEP_SYS, rt_mount_sys},
	{RT_STEP_DEV, rt_mount_dev},
	{RT_STEP_MASKS, rt_masks},
	{RT_STEP_SYSCTLS, set_network},
	{RT_STEP_WAIT, wait_go},
	{RT_STEP_ROOT, rt_mount_root},
	{RT_STEP_PLACES, rt_mount_places},
	{RT_STEP_TMP, rt_mount_tmp},
	{RT_STEP_FILES, rt_root_files},
	{RT_STEP_EXTRAS, rt_mount_extras},
	{RT_STEP_VOLUMES, rt_mount_volumes},
	{RT_STEP_WORKDIR, rt_root_workdir},
	{RT_STEP_PIVOT, rt_mount_pivot},
	{RT_STEP_READONLY, rt_mount_readonly},
	{RT_STEP_NAMESPACES, forbid_namespaces}, /* behind the last new mount: each one needs a mount namespace for a moment */
	{RT_STEP_MOUNTINFO, rt_mount_check},
	{RT_STEP_NAME, set_name},
	{RT_STEP_FDS, arrange_fds},
	{RT_STEP_CAPS, drop_caps},
	{RT_STEP_SECCOMP, install_filters},
	{RT_STEP_CONNECT, wait_connected}, /* the last: the network takes the longest */
	{RT_STEP_EXEC, execute},
};

_Noreturn void rt_child_main(struct rt_child *c)
{
	for (size_t i = 0; i < QT_LEN(steps); i++)
		if (steps[i].fn(c) < 0) {
			struct rt_report r = {steps[i].step, errno};

			(void)!write(c->sync_fd, &r, sizeof(r));
			_exit(126);
		}
	_exit(125); /* not reached: the last step does not return otherwise */
}
