#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "fdpass.h"
#include "parts.h"
#include "str.h"

/* --- what the child is for --------------------------------------------------------------------------------
 * The child was cloned before anybody knew. So it shares memory with the runtime, at the same address: a copy with all that it points to. */

#define SHARED_BYTES (4 << 20) /* more than all texts together can have; untouched pages cost nothing */

struct copying {
	char *at, *end;
};

/* NULL when it is full. */
static void *put(struct copying *to, const void *from, size_t size)
{
	size_t whole = (size + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
	void *p = to->at;

	if (whole > (size_t)(to->end - to->at))
		return NULL;
	to->at += whole;
	return size > 0 ? memcpy(p, from, size) : p;
}

static bool put_text(struct copying *to, const char **text)
{
	return (*text = put(to, *text, strlen(*text) + 1)) != NULL;
}

static bool put_mounts(struct copying *to, struct rt_spawn *w)
{
	struct rt_mount *m = put(to, w->mounts, w->n_mounts * sizeof(*m));

	w->mounts = m;
	for (unsigned i = 0; m && i < w->n_mounts; i++)
		if (!put_text(to, &m[i].target))
			return false;
	return m;
}

static bool put_extras(struct copying *to, struct rt_extras *x)
{
	struct rt_extra_node *nodes = put(to, x->nodes, x->n_nodes * sizeof(*nodes));
	struct rt_extra_file *files = put(to, x->files, x->n_files * sizeof(*files));
	struct rt_extra_link *links = put(to, x->links, x->n_links * sizeof(*links));

	if (!nodes || !files || !links)
		return false;
	x->nodes = nodes;
	x->files = files;
	x->links = links;
	for (unsigned i = 0; i < x->n_nodes; i++)
		if (!put_text(to, &nodes[i].host) || !put_text(to, &nodes[i].path))
			return false;
	for (unsigned i = 0; i < x->n_files; i++)
		if (!put_text(to, &files[i].host) || !put_text(to, &files[i].path))
			return false;
	for (unsigned i = 0; i < x->n_links; i++)
		if (!put_text(to, &links[i].path) || !put_text(to, &links[i].to))
			return false;
	return true;
}

int rt_spare_fill(struct rt_spare *s, const struct rt_spawn *what, struct qt_err *e)
{
	struct copying to = {s->shared, (char *)s->shared + SHARED_BYTES};
	struct rt_spawn *w = put(&to, what, sizeof(*w)); /* the first: there the child looks */

	if (!put_text(&to, &w->hostname) || !put_text(&to, &w->resolv_conf) || !put_text(&to, &w->workdir) || !put_mounts(&to, w) ||
	    !put_extras(&to, &w->extras))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the description of a container is too long");
	return 0;
}

/* --- beginning and end ----------------------------------------------------------------------------------- */

static pid_t clone_child(struct rt_spare *s, int cgroup_fd)
{
	struct clone_args args = {
		.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&s->pid_fd,
		.exit_signal = SIGCHLD,
	};

	if (cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup_fd;
	}
	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static int begin(struct rt_spare *s, const struct rt_spawner *sp, const struct rt_way_in *way, struct qt_err *e)
{
	void *shared = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char name[24];

	if (shared == MAP_FAILED)
		return qt_fail_sys(e, errno, "share memory");
	s->shared = shared;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->sync) < 0)
		return qt_fail_sys(e, errno, "make a socket");
	if (pipe2(s->ready, O_CLOEXEC) < 0)
		return qt_fail_sys(e, errno, "make a pipe");
	s->pid = clone_child(s, way->cgroup_fd);
	if (s->pid < 0) {
		s->pid_fd = -1;
		return qt_fail_sys(e, errno, "make the container's namespaces");
	}
	if (s->pid == 0) {
		struct rt_child c = {.sp = sp, .what = shared, .sync_fd = s->sync[1], .ready_fd = s->ready[1], .stage_fd = -1,
				     .root_fd = -1, .proc_fd = -1, .sys_fd = -1, .dev_fd = -1, .sysctl_fd = -1, .null_fd = -1};

		/* Its own end only: with a copy of the runtime's it would never see the end of the stream. */
		(void)close(s->sync[0]);
		rt_child_main(&c);
	}
	qt_reset_fd(&s->sync[1], -1);
	qt_reset_fd(&s->ready[1], -1);
	if (!qt_fmt(name, sizeof(name), "/proc/%d", s->pid))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "pid too long");
	/* The process is not reaped, so the number is still its own. */
	s->proc_fd = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return s->proc_fd >= 0 ? 0 : qt_fail_sys(e, errno, "open the new process's directory");
}

int rt_spare_tell(struct rt_spare *s, uint32_t kind, uint32_t index, const int *fds, size_t n, struct qt_err *e)
{
	struct rt_tell t = {kind, index};

	return qt_send_fds(s->sync[0], &t, sizeof(t), fds, n, e);
}

static int tell_doors(struct rt_spare *s, const struct rt_way_in *way, struct qt_err *e)
{
	for (unsigned i = 0; i < way->n_doors; i += QT_FDS_MAX)
		if (rt_spare_tell(s, RT_TELL_DOORS, 0, &way->doors[i], way->n_doors - i < QT_FDS_MAX ? way->n_doors - i : QT_FDS_MAX, e) < 0)
			return -1;
	return 0;
}

struct rt_spare *rt_spare_make(struct rt_spawner *sp, uint32_t uid_base, const struct rt_way_in *way, struct qt_err *e)
{
	struct rt_spare *s = malloc(sizeof(*s));

	if (!s)
		return (void)qt_fail_sys(e, ENOMEM, "make a process"), NULL;
	*s = (struct rt_spare){.pid_fd = -1, .proc_fd = -1, .sync = {-1, -1}, .ready = {-1, -1}};
	if (begin(s, sp, way, e) == 0 && tell_doors(s, way, e) == 0 && rt_idmap_write(s->proc_fd, uid_base, e) == 0 &&
	    rt_limits_apply(s->pid, s->proc_fd, e) == 0 && rt_spare_tell(s, RT_TELL_MAPPED, 0, NULL, 0, e) == 0)
		return s;
	rt_spare_end(s);
	return NULL;
}

/* Its pid namespace dies with it, and with the last of those processes the mounts. One that became a container has lost its pid_fd. */
void rt_spare_end(struct rt_spare *s)
{
	siginfo_t si;

	if (!s)
		return;
	if (s->pid_fd >= 0) {
		(void)syscall(SYS_pidfd_send_signal, s->pid_fd, SIGKILL, NULL, 0);
		while (waitid(P_PIDFD, (id_t)s->pid_fd, &si, WEXITED) < 0 && errno == EINTR)
			;
	}
	if (s->shared)
		(void)munmap(s->shared, SHARED_BYTES);
	qt_close(s->pid_fd);
	qt_close(s->proc_fd);
	qt_close(s->sync[0]);
	qt_close(s->sync[1]);
	qt_close(s->ready[0]);
	qt_close(s->ready[1]);
	free(s);
}

pid_t rt_spare_pid(const struct rt_spare *s)
{
	return s->pid;
}

bool rt_spare_lives(const struct rt_spare *s)
{
	/* Its socket closes before it is quite dead; and it says nothing as long as all is well. */
	struct pollfd p[] = {{.fd = s->sync[0], .events = POLLIN}, {.fd = s->pid_fd, .events = POLLIN}};

	return poll(p, QT_LEN(p), 0) == 0;
}
