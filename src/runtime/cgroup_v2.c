#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "cgroup_parts.h"
#include "cleanup.h"
#include "clock.h"
#include "fdio.h"
#include "str.h"

/* Controllers that must be handed down, from the root to our directory and from there to the containers. Devices have no
 * controller here: a BPF program does it. */
static const char *const needed[] = {"memory", "cpu", "pids"};

static bool has_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = strstr(text, word); p; p = strstr(p + 1, word))
		if ((p == text || p[-1] == ' ') && (p[n] == '\0' || p[n] == ' ' || p[n] == '\n'))
			return true;
	return false;
}

static int hand_down(int dir, struct qt_err *e)
{
	struct qt_err ignored = {0};
	char text[512];

	if (qt_read_file(dir, "cgroup.controllers", text, sizeof(text), e) < 0)
		return -1;
	for (size_t i = 0; i < QT_LEN(needed); i++) {
		char change[32];

		if (!has_word(text, needed[i]))
			return qt_fail(e, QT_E_INTERNAL_ERROR, "the %s controller is not there", needed[i]);
		if (!qt_fmt(change, sizeof(change), "+%s", needed[i]))
			return qt_fail(e, QT_E_INTERNAL_ERROR, "name too long");
		/* One at a time: the error then names the one. */
		if (qt_write_ctl(dir, "cgroup.subtree_control", change, e) < 0)
			return qt_context(e, "controller %s", needed[i]);
	}
	if (has_word(text, "io")) /* for the counters only */
		(void)qt_write_ctl(dir, "cgroup.subtree_control", "+io", &ignored);
	return 0;
}

static int setup(struct rt_cgroups *c, struct qt_err *e)
{
	if (hand_down(c->root[0], e) < 0 || hand_down(c->dir[0], e) < 0)
		return -1;
	return 0;
}

static int limit_cpu(int dir, const char *id, uint32_t cpu_centi, struct qt_err *e)
{
	struct rt_quota q = rt_quota(cpu_centi);
	char text[64], got[64];

	if (!qt_fmt(text, sizeof(text), "%llu %llu", (unsigned long long)q.quota_us, (unsigned long long)q.period_us))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "quota too long");
	if (rt_cgroup_write(dir, id, "cpu.max", text, e) < 0)
		return -1;
	if (!rt_cgroup_read(dir, id, "cpu.max", got, sizeof(got)) || strncmp(got, text, strlen(text)) != 0 ||
	    (got[strlen(text)] != '\n' && got[strlen(text)] != '\0'))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the kernel did not keep a limit (cpu.max)");
	return 0;
}

static int limit(struct rt_cgroups *c, const char *id, const struct rt_limits *l, bool fresh, struct qt_err *e)
{
	int dir = c->dir[0];
	auto_close int group = -1;

	if (rt_cgroup_set(dir, id, "memory.max", (uint64_t)l->memory_mb << 20, e) < 0)
		return -1;
	/* Not there on a kernel without swap. */
	if (rt_cgroup_is_there(dir, id, "memory.swap.max") && rt_cgroup_set(dir, id, "memory.swap.max", 0, e) < 0)
		return -1;
	if (limit_cpu(dir, id, l->cpu_centi, e) < 0 || rt_cgroup_set(dir, id, "pids.max", l->pids, e) < 0)
		return -1;
	if (!fresh) /* one more program could only take something away */
		return l->n_devices == 0 ? 0 : qt_fail(e, QT_E_INTERNAL_ERROR, "the devices of a control group are chosen once here");
	group = openat(dir, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (group < 0)
		return qt_fail_sys(e, errno, "open the container's control group");
	return rt_devices_v2(group, l, e);
}

static int kill_all(struct rt_cgroups *c, const char *id, struct qt_err *e)
{
	if (!rt_cgroup_is_there(c->dir[0], id, "cgroup.procs"))
		return 0;
	return rt_cgroup_write(c->dir[0], id, "cgroup.kill", "1", e); /* Linux 5.14; it reaches frozen ones and forks too */
}

static bool empty(struct rt_cgroups *c, const char *id)
{
	char text[256];

	return !rt_cgroup_read(c->dir[0], id, "cgroup.events", text, sizeof(text)) || rt_cgroup_key(text, "populated") == 0;
}

static int freeze(struct rt_cgroups *c, const char *id, bool on, int budget_ms, struct qt_err *e)
{
	int64_t deadline = qt_mono_ms() + budget_ms;
	auto_close int fd = -1;
	struct qt_err ignored = {0};
	char path[128], text[256];

	if (!qt_fmt(path, sizeof(path), "%s/cgroup.events", id))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "name too long");
	fd = openat(c->dir[0], path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return qt_fail_sys(e, errno, "open the container's events");
	if (rt_cgroup_write(c->dir[0], id, "cgroup.freeze", on ? "1" : "0", e) < 0)
		return -1;
	for (;;) {
		struct pollfd p = {fd, POLLPRI, 0};
		ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

		if (n < 0)
			return qt_fail_sys(e, errno, "read the container's events");
		text[n] = '\0';
		if (rt_cgroup_key(text, "frozen") == (on ? 1U : 0U))
			return 0;
		if (qt_left_ms(deadline) == 0)
			break;
		(void)poll(&p, 1, qt_left_ms(deadline));
	}
	if (on)
		(void)rt_cgroup_write(c->dir[0], id, "cgroup.freeze", "0", &ignored);
	return qt_fail(e, QT_E_TIMEOUT, "The container could not be %s in time", on ? "frozen" : "thawed");
}

static uint64_t dirty(struct rt_cgroups *c, const char *id)
{
	char text[16384];

	if (!rt_cgroup_read(c->dir[0], id, "memory.stat", text, sizeof(text)))
		return 0;
	return rt_cgroup_key(text, "file_dirty") + rt_cgroup_key(text, "file_writeback");
}

static void stats(struct rt_cgroups *c, const char *id, struct rt_cgroup_stats *ret)
{
	int dir = c->dir[0];
	char text[16384];

	if (rt_cgroup_read(dir, id, "cpu.stat", text, sizeof(text))) {
		ret->cpu_usage_usec = rt_cgroup_key(text, "usage_usec");
		ret->cpu_user_usec = rt_cgroup_key(text, "user_usec");
		ret->cpu_system_usec = rt_cgroup_key(text, "system_usec");
		ret->cpu_throttled_usec = rt_cgroup_key(text, "throttled_usec");
	}
	ret->memory_current = rt_cgroup_number(dir, id, "memory.current");
	ret->memory_peak = rt_cgroup_number(dir, id, "memory.peak"); /* Linux 5.19 */
	ret->memory_limit = rt_cgroup_number(dir, id, "memory.max");
	if (rt_cgroup_read(dir, id, "memory.stat", text, sizeof(text))) {
		ret->memory_cache = rt_cgroup_key(text, "file");
		ret->memory_rss = rt_cgroup_key(text, "anon");
	}
	if (rt_cgroup_read(dir, id, "memory.events", text, sizeof(text)))
		ret->oom_kills = rt_cgroup_key(text, "oom_kill");
	if (rt_cgroup_read(dir, id, "io.stat", text, sizeof(text))) {
		ret->read_bytes = rt_cgroup_sum(text, "rbytes=");
		ret->write_bytes = rt_cgroup_sum(text, "wbytes=");
		ret->read_ops = rt_cgroup_sum(text, "rios=");
		ret->write_ops = rt_cgroup_sum(text, "wios=");
	}
	ret->pids = rt_cgroup_number(dir, id, "pids.current");
}

static int oom_fd(struct rt_cgroups *c, const char *id)
{
	auto_close int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char path[160];

	/* By way of our own descriptor: inotify takes paths only. */
	if (fd < 0 || !qt_fmt(path, sizeof(path), "/proc/self/fd/%d/%s/memory.events", c->dir[0], id) ||
	    inotify_add_watch(fd, path, IN_MODIFY) < 0)
		return -1;
	return qt_take_fd(&fd);
}

const struct rt_cgroup_ops rt_cgroup_v2 = {
	.enter = "cgroup.procs",
	.setup = setup,
	.limit = limit,
	.kill = kill_all,
	.empty = empty,
	.freeze = freeze,
	.dirty = dirty,
	.stats = stats,
	.oom_fd = oom_fd,
};
