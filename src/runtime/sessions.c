#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "fdio.h"
#include "fdpass.h"
#include "files/enter.h"
#include "log.h"
#include "parts.h"
#include "runtime.h"
#include "sessions.h"
#include "str.h"

#define MEMORY_MB   256	  /* of one at work on a volume, the pages of the files that it writes among them */
#define CPU_CENTI   10000 /* one cpu */
#define PIDS	    4
#define CLEAN_MS    20
#define CLEAN_TRIES 500

struct session {
	struct rt_sessions *all;
	struct qt_id tree; /* container or volume; s[0] == 0: the slot is free */
	struct qt_id group; /* its own cgroup; s[0] == 0: it is in the container's */
	uint32_t range;
	bool has_range;
	pid_t pid;
	int pidfd;
	rt_watch_t watch;
	struct rt_timer clean;
	unsigned tries;
};

struct rt_sessions {
	struct rt *rt;
	int program_fd, null_fd;
	char entries[24], bytes[24];		 /* of the settings, as the program's arguments */
	char layer_entries[24], layer_bytes[24]; /* the same, of layers */
	struct session v[RT_SESSIONS_MAX];
};

int rt_sessions_open(struct rt_sessions **ret, struct rt *rt, const char *program, struct qt_err *e)
{
	struct rt_sessions *s = calloc(1, sizeof(*s));

	if (!s)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	s->rt = rt;
	s->program_fd = open(program, O_RDONLY | O_CLOEXEC);
	s->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (s->program_fd < 0 || s->null_fd < 0) {
		(void)qt_fail_sys(e, errno, "open the program that works on files");
		rt_sessions_close(s);
		return -1;
	}
	(void)snprintf(s->entries, sizeof(s->entries), "%" PRIu64, rt->conf.archive_entries);
	(void)snprintf(s->bytes, sizeof(s->bytes), "%" PRIu64, rt->conf.archive_unpacked_bytes);
	(void)snprintf(s->layer_entries, sizeof(s->layer_entries), "%" PRIu64, rt->conf.image_entries);
	(void)snprintf(s->layer_bytes, sizeof(s->layer_bytes), "%" PRIu64, rt->conf.image_max_bytes);
	*ret = s;
	return 0;
}

/* --- the end --------------------------------------------------------------------------------------------- */

static void reap(struct session *x)
{
	siginfo_t si;

	rt_loop_del(x->all->rt->loop, &x->watch);
	if (x->pidfd >= 0)
		while (waitid(P_PIDFD, (id_t)x->pidfd, &si, WEXITED) < 0 && errno == EINTR)
			;
	qt_reset_fd(&x->pidfd, -1);
	x->pid = 0;
}

/* What it had of its own. A dead process can hold its cgroup for a moment. */
static void clean(void *arg)
{
	struct session *x = arg;
	struct rt *rt = x->all->rt;
	struct qt_err e = {0};

	if (x->group.s[0] && !rt_cgroup_remove(rt->cgroups, &x->group)) {
		if (++x->tries < CLEAN_TRIES && rt_timer_set(rt->loop, &x->clean, CLEAN_MS, clean, x, &e) == 0)
			return;
		qt_log(QT_LOG_WARN, "the cgroup %s is left for the next start to remove", x->group.s);
	}
	if (x->has_range)
		rt_ranges_release(&rt->ranges, x->range);
	rt_timer_clear(rt->loop, &x->clean);
	*x = (struct session){.all = x->all, .pidfd = -1};
}

static void ended(void *arg, uint32_t events)
{
	(void)events;
	reap(arg);
	clean(arg);
}

static void end(struct session *x)
{
	if (x->pidfd >= 0) {
		(void)syscall(SYS_pidfd_send_signal, x->pidfd, SIGKILL, NULL, 0);
		reap(x);
	}
	if (x->clean.place == 0)
		clean(x);
}

unsigned rt_sessions_count(const struct rt_sessions *s, const struct qt_id *id)
{
	unsigned n = 0;

	for (size_t i = 0; i < RT_SESSIONS_MAX; i++)
		n += s->v[i].pid > 0 && qt_streq(s->v[i].tree.s, id->s);
	return n;
}

void rt_sessions_end(struct rt_sessions *s, const struct qt_id *id)
{
	for (size_t i = 0; i < RT_SESSIONS_MAX; i++)
		if (s->v[i].pid > 0 && qt_streq(s->v[i].tree.s, id->s))
			end(&s->v[i]);
}

void rt_sessions_close(struct rt_sessions *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < RT_SESSIONS_MAX; i++) {
		if (s->v[i].tree.s[0] && s->v[i].pid > 0)
			end(&s->v[i]);
		if (s->v[i].tree.s[0])
			rt_timer_clear(s->rt->loop, &s->v[i].clean);
	}
	qt_close(s->program_fd);
	qt_close(s->null_fd);
	free(s);
}

/* --- the begin ------------------------------------------------------------------------------------------- */

struct start {
	struct session *x;
	const char *kind;
	int sock;
	int fds[2]; /* what it enters, FT_FD_USER and FT_FD_MOUNT or FT_FD_TREE; -1 */
	int sync[2];
	const struct qt_id *group;
	int cgroup_fd; /* of GROUP, or -1: the process enters it */
	uint64_t flags;
	bool own_ids; /* in a user namespace that was made with it */
	bool layer, read_only;
};

static int fail(int sys)
{
	errno = sys;
	return -1;
}

/* Numbers as enter.h has them, and nothing else. */
static int arrange(const struct start *a, int tree)
{
	const struct rt_sessions *s = a->x->all;
	int from[] = {s->null_fd, s->null_fd,
#ifdef QT_SANITIZED
		      STDERR_FILENO, /* what they find, they say there */
#else
		      s->null_fd,
#endif
		      a->sock, tree >= 0 ? tree : a->fds[0], a->fds[1], s->program_fd};
	int high[QT_LEN(from)];

	for (size_t i = 0; i < QT_LEN(from); i++) {
		high[i] = from[i] < 0 ? -1 : fcntl(from[i], F_DUPFD_CLOEXEC, 32);
		if (from[i] >= 0 && high[i] < 0)
			return -1;
	}
	for (size_t i = 0; i + 1 < QT_LEN(from); i++) {
		if (high[i] < 0)
			(void)close((int)i);
		else if (dup2(high[i], (int)i) < 0)
			return -1;
	}
	if (syscall(SYS_close_range, QT_LEN(from) - 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return -1;
	return high[QT_LEN(from) - 1];
}

/* Behind clone3(): into the cgroup, wait until the ids are mapped, then become the program. */
static int child(const struct start *a)
{
	char name[] = "quilt-files";
	struct rt_sessions *all = a->x->all;
	char *argv[] = {name, (char *)(uintptr_t)a->kind, a->layer ? all->layer_entries : all->entries, a->layer ? all->layer_bytes : all->bytes, NULL};
	char *envp[] = {NULL};
	int fds[QT_FDS_MAX], program;
	struct qt_err e = {0};
	size_t n_fds = 0;
	sigset_t none;
	char go;

	(void)close(a->sync[0]);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || (a->cgroup_fd < 0 && rt_cgroup_enter(all->rt->cgroups, a->group, &e) < 0))
		return -1;
	if (qt_recv_fds(a->sync[1], &go, 1, fds, &n_fds, &e) != 1)
		return fail(ECANCELED);
	if (a->own_ids && (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0 ||
			   prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0))
		return -1;
	(void)setsid();
	(void)sigemptyset(&none);
	for (int s = 1; s < NSIG; s++)
		if (s != SIGKILL && s != SIGSTOP)
			(void)signal(s, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	program = arrange(a, n_fds > 0 ? fds[0] : -1);
	if (program < 0)
		return -1;
	return (int)syscall(SYS_execveat, program, "", argv, envp, AT_EMPTY_PATH);
}

static struct session *slot(struct rt_sessions *s, const struct qt_id *tree, struct qt_err *e)
{
	if (rt_sessions_count(s, tree) >= RT_SESSIONS_TREE_MAX)
		return (void)qt_fail(e, QT_E_CAPACITY_FULL, "too many requests work on these files just now"), NULL;
	for (size_t i = 0; i < RT_SESSIONS_MAX; i++) {
		if (s->v[i].tree.s[0])
			continue;
		s->v[i] = (struct session){.all = s, .tree = *tree, .pidfd = -1};
		return &s->v[i];
	}
	return (void)qt_fail(e, QT_E_CAPACITY_FULL, "too many requests work on files just now"), NULL;
}

static int clone_it(struct start *a, struct qt_err *e)
{
	struct session *x = a->x;
	struct clone_args args = {
		.flags = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_PIDFD | a->flags,
		.pidfd = (uint64_t)(uintptr_t)&x->pidfd,
		.exit_signal = SIGCHLD,
	};
	pid_t pid;

	if (a->cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)a->cgroup_fd;
	}
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		_exit(child(a) < 0 ? 126 : 0);
	if (pid < 0) {
		x->pidfd = -1;
		return qt_fail_sys(e, errno, "start the process that works on files");
	}
	x->pid = pid;
	return 0;
}

/* The runtime may be protected with a low score, and that is inherited. */
static int expose(const struct start *a, struct qt_err *e)
{
	char name[40];

	(void)qt_fmt(name, sizeof(name), "/proc/%d/oom_score_adj", (int)a->x->pid); /* not reaped: the number is its own */
	return qt_write_ctl(AT_FDCWD, name, "300", e);
}

/* Until the program is on its way. What fails is undone by end(). */
static int go(struct start *a, int (*prepare)(struct start *a, int *ret_fd, struct qt_err *e), struct qt_err *e)
{
	struct rt *rt = a->x->all->rt;
	auto_close int given = -1;
	int r = -1;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, a->sync) < 0)
		return qt_fail_sys(e, errno, "make a socket");
	a->cgroup_fd = rt_cgroup_fd(rt->cgroups, a->group);
	if (clone_it(a, e) == 0 && expose(a, e) == 0 && (!prepare || prepare(a, &given, e) == 0) &&
	    rt_loop_add(rt->loop, a->x->pidfd, EPOLLIN, ended, a->x, &a->x->watch, e) == 0)
		r = qt_send_fds(a->sync[0], "", 1, &given, given >= 0, e);
	qt_close(a->cgroup_fd);
	qt_close(a->sync[0]);
	qt_close(a->sync[1]);
	return r;
}

/* --- of a container -------------------------------------------------------------------------------------- */

static int open_ns(pid_t pid, const char *kind, struct qt_err *e)
{
	char path[48];
	int fd;

	(void)qt_fmt(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kind);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 ? fd : qt_fail_sys(e, errno, "open the container's %s namespace", kind);
}

int rt_sessions_container(struct rt_sessions *s, const struct rt_ctr *c, bool build, int sock, struct qt_err *e)
{
	/* The init is not reaped as long as the journal says that it runs, so its number is its own. */
	auto_close int user = open_ns(c->pid, "user", e), mnt = user < 0 ? -1 : open_ns(c->pid, "mnt", e);
	struct start a = {.kind = build ? "build" : "container", .group = &c->id, .sock = sock, .fds = {user, mnt}, .sync = {-1, -1}, .cgroup_fd = -1};

	if (mnt < 0)
		return -1;
	a.x = slot(s, &c->id, e);
	if (!a.x)
		return -1;
	if (go(&a, NULL, e) == 0)
		return 0;
	end(a.x);
	return -1;
}

/* --- of a volume or an image ----------------------------------------------------------------------------------------- */

static int map_ids(struct start *a, int *ret_fd, struct qt_err *e)
{
	const struct rt *rt = a->x->all->rt;
	auto_close int proc = -1, userns = -1;
	char name[24];

	(void)qt_fmt(name, sizeof(name), "/proc/%d", (int)a->x->pid);
	proc = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC); /* not reaped: the number is its own */
	if (proc < 0 || (userns = openat(proc, "ns/user", O_RDONLY | O_CLOEXEC)) < 0)
		return qt_fail_sys(e, errno, "open the new process's directory");
	if (rt_idmap_write(proc, (uint32_t)(rt->conf.uid_base + (uint64_t)a->x->range * 65536), e) < 0)
		return -1;
	*ret_fd = rt_idmap_clone(a->fds[0], "", userns,
				 MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | (a->read_only ? MOUNT_ATTR_RDONLY : 0U), 0, e);
	return *ret_fd < 0 ? -1 : 0;
}

static int on_tree(struct rt_sessions *s, const struct qt_id *id, struct start a, struct qt_err *e)
{
	const struct rt_limits limits = {.memory_mb = MEMORY_MB, .cpu_centi = CPU_CENTI, .pids = PIDS};
	struct qt_id group = qt_id_new("file");

	a.sync[0] = a.sync[1] = a.fds[1] = a.cgroup_fd = -1;
	a.group = &group;
	a.flags = CLONE_NEWUSER | CLONE_NEWNS;
	a.own_ids = true;

	a.x = slot(s, id, e);
	if (!a.x)
		return -1;
	if (rt_ranges_take(&s->rt->ranges, &a.x->range, e) == 0) {
		a.x->has_range = true;
		a.x->group = group;
		if (rt_cgroup_make(s->rt->cgroups, &group, &limits, e) == 0 && go(&a, map_ids, e) == 0)
			return 0;
	}
	end(a.x);
	return -1;
}

int rt_sessions_volume(struct rt_sessions *s, const struct qt_id *id, int tree_fd, int sock, struct qt_err *e)
{
	return on_tree(s, id, (struct start){.kind = "volume", .sock = sock, .fds = {tree_fd}}, e);
}

int rt_sessions_image(struct rt_sessions *s, const struct qt_id *id, int tree_fd, bool read_only, bool build, int sock, struct qt_err *e)
{
	return on_tree(s, id, (struct start){.kind = build ? "context" : "volume", .sock = sock, .fds = {tree_fd}, .read_only = read_only}, e);
}

int rt_sessions_layer(struct rt_sessions *s, const struct qt_id *id, int tree_fd, int sock, struct qt_err *e)
{
	return on_tree(s, id, (struct start){.kind = "layer", .sock = sock, .fds = {tree_fd}, .layer = true}, e);
}
