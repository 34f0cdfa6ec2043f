#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "fdpass.h"
#include "minit/proto.h"
#include "parts.h"
#include "str.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3 */
#endif
#define MINIT_MAX (16 << 20)

/* What rt_spawn() holds. */
struct attempt {
	const struct rt_spawn *what;
	struct rt_spare *spare;
	int64_t deadline;
};

static int copy_file(int to, int from, struct qt_err *e)
{
	struct stat st;

	if (fstat(from, &st) < 0)
		return qt_fail_sys(e, errno, "look at the init program");
	if (!S_ISREG(st.st_mode) || st.st_size == 0 || st.st_size > MINIT_MAX)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the init program is not a file of a sensible size");
	for (off_t left = st.st_size; left > 0;) {
		ssize_t n = sendfile(to, from, NULL, (size_t)left);

		if (n <= 0)
			return qt_fail_sys(e, n < 0 ? errno : EIO, "copy the init program");
		left -= n;
	}
	return 0;
}

/* Sealed: a container can open its own init by /proc/1/exe, as it did runc's, and gets nothing that can be written. */
static int seal_minit(const char *path, struct qt_err *e)
{
	auto_close int from = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	auto_close int fd = -1, ro = -1;
	char name[40];

	if (from < 0)
		return qt_fail_sys(e, errno, "open the init program");
	fd = memfd_create("quilt-minit", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("quilt-minit", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return qt_fail_sys(e, errno, "make memory for the init program");
	if (copy_file(fd, from, e) < 0)
		return -1;
	if (fchmod(fd, 0555) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return qt_fail_sys(e, errno, "seal the init program");
	/* A descriptor that is open for writing cannot be executed (ETXTBSY). */
	if (!qt_fmt(name, sizeof(name), "/proc/self/fd/%d", fd))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "descriptor number too long");
	ro = open(name, O_RDONLY | O_CLOEXEC);
	return ro >= 0 ? qt_take_fd(&ro) : qt_fail_sys(e, errno, "reopen the init program");
}

int rt_spawner_open(struct rt_spawner **ret, const char *minit_path, struct qt_err *e)
{
	struct rt_spawner *s = calloc(1, sizeof(*s));
	long n = sysconf(_SC_NPROCESSORS_CONF);

	if (!s)
		return qt_fail_sys(e, ENOMEM, "start");
	s->minit_fd = -1;
	s->n_cpus = n > 0 && n < 8192 ? (unsigned)n : 1;
	/* One of them tells for all: a machine either reports throttling or does not. */
	if (faccessat(AT_FDCWD, "/sys/devices/system/cpu/cpu0/thermal_throttle", F_OK, 0) < 0)
		s->n_cpus = 0;
	if (rt_filter_make(&s->filter[false], false, e) < 0 || rt_filter_make(&s->filter[true], true, e) < 0 ||
	    rt_filter_make_ioctl(&s->ioctl_filter, e) < 0 || (s->minit_fd = seal_minit(minit_path, e)) < 0) {
		rt_spawner_close(s);
		return -1;
	}
	*ret = s;
	return 0;
}

void rt_spawner_close(struct rt_spawner *s)
{
	if (!s)
		return;
	rt_filter_done(&s->filter[false]);
	rt_filter_done(&s->filter[true]);
	rt_filter_done(&s->ioctl_filter);
	qt_close(s->minit_fd);
	free(s);
}

static int check(const struct rt_spawn *w, struct qt_err *e)
{
	if (w->n_mounts > RT_MOUNTS_MAX)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/volumes", "at most 32", "There are too many volumes");
	for (unsigned i = 0; i < w->n_mounts; i++)
		if (!rt_target_ok(w->mounts[i].target))
			return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/volumes",
					     "an absolute path that is not /, /proc, /sys or /dev or below one of these",
					     "A volume cannot be attached at this path");
	if (w->workdir[0] != '/' || strlen(w->workdir) >= PATH_MAX)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/working_directory", "an absolute path",
				     "The working directory is not an absolute path");
	if (w->uid_base < 65536 || w->uid_base > UINT32_MAX - 65536)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a range of ids that is not for containers");
	return 0;
}

static int tell_one(struct attempt *a, uint32_t kind, uint32_t index, int fd, struct qt_err *e)
{
	return rt_spare_tell(a->spare, kind, index, &fd, 1, e);
}

/* In their order, as many at a time as a message takes. */
static int give(struct attempt *a, struct qt_err *e)
{
	const struct rt_spawn *w = a->what;
	const int fds[RT_GIVEN] = {w->listen_fd, w->log_fd[0], w->log_fd[1], w->status_fd, w->config_fd};

	for (size_t i = 0; i < RT_GIVEN; i += QT_FDS_MAX)
		if (rt_spare_tell(a->spare, RT_TELL_GIVEN, (uint32_t)i, &fds[i], RT_GIVEN - i < QT_FDS_MAX ? RT_GIVEN - i : QT_FDS_MAX, e) < 0)
			return -1;
	return 0;
}

static int hand_over(struct attempt *a, struct qt_err *e)
{
	auto_close int userns = openat(a->spare->proc_fd, "ns/user", O_RDONLY | O_CLOEXEC);
	auto_close int root = -1;

	if (userns < 0)
		return qt_fail_sys(e, errno, "open the user namespace");
	root = rt_overlay_make(a->what, userns, e);
	if (root < 0 || rt_spare_fill(a->spare, a->what, e) < 0 || tell_one(a, RT_TELL_ROOT, 0, root, e) < 0 || give(a, e) < 0)
		return -1;
	for (unsigned i = 0; i < a->what->n_mounts; i++) {
		const struct rt_mount *m = &a->what->mounts[i];
		/* The pool is mounted noexec; a volume may hold programs. */
		auto_close int fd = rt_idmap_clone(m->tree_fd, "", userns,
						   MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
							   (m->read_only ? MOUNT_ATTR_RDONLY : 0U),
						   MOUNT_ATTR_NOEXEC, e);

		if (fd < 0 || tell_one(a, RT_TELL_VOLUME, i, fd, e) < 0)
			return -1;
	}
	return rt_spare_tell(a->spare, RT_TELL_GO, 0, NULL, 0, e);
}

static const char *step_text(uint32_t step)
{
	static const char *const texts[RT_STEP_COUNT] = {
		[RT_STEP_NONE] = "begin",
#define X(sym, text) [RT_STEP_##sym] = text,
		RT_STEPS(X)
#undef X
	};

	return step < RT_STEP_COUNT ? texts[step] : texts[RT_STEP_NONE];
}

/* What the container's own files make impossible, as opposed to what the host fails to give. */
static bool is_tenants_fault(int sys)
{
	switch (sys) {
	case ENOTDIR:
	case EEXIST:
	case EISDIR:
	case ELOOP:
	case ENOENT:
	case ENAMETOOLONG:
	case EACCES:
	case EPERM:
	case EROFS:
	case EXDEV:
		return true;
	default:
		return false;
	}
}

static int fail_step(const struct rt_report *r, struct qt_err *e)
{
	bool theirs = is_tenants_fault(r->sys);

	switch ((enum rt_step)r->step) {
	case RT_STEP_WORKDIR:
		if (theirs)
			return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/working_directory",
					     "an absolute path to a directory; it is made if it is not there",
					     "The working directory cannot be made or is not a directory: %s", strerror(r->sys));
		break;
	case RT_STEP_VOLUMES:
		if (theirs)
			return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/volumes",
					     "a path to a directory without links in it; it is made if it is not there",
					     "A volume cannot be attached: %s", strerror(r->sys));
		break;
	case RT_STEP_EXTRAS:
		if (r->sys == ENODEV)
			return qt_fail(e, QT_E_UNAVAILABLE, "A GPU of this container is not usable on this node");
		/* fall through */
	case RT_STEP_PLACES:
	case RT_STEP_TMP:
	case RT_STEP_FILES:
		/* EPERM and EACCES are the kernel's here: root of the container owns these names. */
		if (theirs && r->sys != EPERM && r->sys != EACCES)
			return qt_fail(e, QT_E_CONFLICT,
				       "The container's file system has something in the way: cannot %s: %s", step_text(r->step),
				       strerror(r->sys));
		break;
	default:
		break;
	}
	return qt_fail_sys(e, r->sys, "start the container: cannot %s", step_text(r->step));
}

static int fail_ready(const struct mi_ready *m, struct qt_err *e)
{
	if (m->step == MI_STEP_CWD && is_tenants_fault((int)m->sys))
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/working_directory", "a directory that its user may enter",
				     "The working directory cannot be entered: %s", strerror((int)m->sys));
	if (m->step == MI_STEP_USER)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/image", "a user that the image's passwd has",
				     "The image's user cannot be found in it: %s", strerror((int)m->sys));
	return qt_fail_sys(e, (int)m->sys, "start the container: the init failed (step %u)", m->step);
}

/* 1: ready. 0: not yet. -1: failed. */
static int read_ready(struct attempt *a, struct qt_err *e)
{
	struct mi_ready m;
	ssize_t n = read(a->spare->ready[0], &m, sizeof(m)); /* one write of less than PIPE_BUF */

	if (n < 0)
		return errno == EINTR ? 0 : qt_fail_sys(e, errno, "hear from the init");
	/* A failed step has told, or tells, more by the other way. */
	if (n == 0)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "start the container: the init ended before it was ready");
	if (n != sizeof(m) || m.magic != MI_MAGIC)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "start the container: the init said something unknown");
	return m.step == 0 ? 1 : fail_ready(&m, e);
}

/* 0: the socket is closed, so the init was executed, or the child is dead. -1: a step failed. */
static int read_report(struct attempt *a, struct qt_err *e)
{
	struct rt_report r;
	ssize_t n = recv(a->spare->sync[0], &r, sizeof(r), 0);

	/* It died with a message of ours unread. That is said once, and before what it had to say. */
	if (n < 0 && errno == ECONNRESET)
		n = recv(a->spare->sync[0], &r, sizeof(r), 0);
	if (n == sizeof(r))
		return fail_step(&r, e);
	if (n < 0)
		return qt_fail_sys(e, errno, "hear from the new process");
	if (n > 0)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "start the container: a report of an unknown shape");
	return 0;
}

static int wait_ready(struct attempt *a, struct qt_err *e)
{
	struct pollfd p[2] = {{a->spare->sync[0], POLLIN, 0}, {a->spare->ready[0], POLLIN, 0}};

	for (;;) {
		int n = poll(p, 2, qt_left_ms(a->deadline)), rc;

		if (n < 0 && errno != EINTR)
			return qt_fail_sys(e, errno, "wait for the init");
		if (n == 0)
			return qt_fail(e, QT_E_TIMEOUT, "The container did not become ready in time");
		if (n < 0)
			continue;
		/* The report first: when the child dies of a failed step, both are readable. */
		if (p[0].revents) {
			if (read_report(a, e) < 0)
				return -1;
			p[0].fd = -1;
			p[0].revents = 0;
		} else if (p[1].revents) {
			rc = read_ready(a, e);
			if (rc != 0)
				return rc < 0 ? -1 : 0;
		}
	}
}

/* When the child has failed, what the runtime does to it fails too: what it said is the better message. */
static int said_better(struct attempt *a, struct qt_err *e)
{
	struct pollfd p = {a->spare->sync[0], POLLIN, 0};
	struct qt_err said = {0};

	if (poll(&p, 1, 0) == 1 && read_report(a, &said) < 0)
		*e = said;
	return -1;
}

static int go(struct attempt *a, struct qt_err *e)
{
	const struct rt_spawn *w = a->what;

	if (w->attach && w->attach(w->arg, a->spare->pid, e) < 0)
		return -1;
	if (hand_over(a, e) < 0)
		return said_better(a, e);
	if (w->connect && w->connect(w->arg, a->spare->pid, e) < 0)
		return said_better(a, e);
	if (rt_spare_tell(a->spare, RT_TELL_CONNECTED, 0, NULL, 0, e) < 0)
		return said_better(a, e);
	if (wait_ready(a, e) < 0)
		return -1;
	return rt_verify(w, a->spare->proc_fd, e);
}

int rt_spawn(struct rt_spare *spare, const struct rt_spawn *what, int budget_ms, pid_t *ret_pid, int *ret_pidfd, struct qt_err *e)
{
	struct attempt a = {.what = what, .spare = spare, .deadline = qt_mono_ms() + budget_ms};
	int rc = check(what, e) < 0 ? -1 : go(&a, e);

	if (rc == 0) {
		*ret_pid = spare->pid;
		*ret_pidfd = qt_take_fd(&spare->pid_fd);
	}
	rt_spare_end(spare);
	return rc;
}
