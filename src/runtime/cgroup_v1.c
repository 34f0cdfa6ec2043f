#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cgroup_parts.h"
#include "cleanup.h"
#include "clock.h"
#include "fdio.h"
#include "num.h"
#include "str.h"

#define PIDS_MAX (4U << 20) /* bytes of a cgroup.procs that are read at once; the rest on the next round */

static int setup(struct rt_cgroups *c, struct qt_err *e)
{
	(void)c;
	(void)e;
	return 0; /* v1 gives every controller to every directory */
}

static int limit_memory(struct rt_cgroups *c, const char *id, uint64_t bytes, struct qt_err *e)
{
	static const char sum[] = "memory.memsw.limit_in_bytes";
	int dir = rt_cgroup_dir(c, RT_CG_MEMORY);
	uint64_t now = rt_cgroup_number(dir, id, sum);

	/* The sum may never be less than the memory alone. */
	if (now > 0 && now < bytes && rt_cgroup_set(dir, id, sum, bytes, e) < 0)
		return -1;
	if (rt_cgroup_set(dir, id, "memory.limit_in_bytes", bytes, e) < 0)
		return -1;
	if (now > 0)
		return now < bytes ? 0 : rt_cgroup_set(dir, id, sum, bytes, e);
	/* A host that does not count swap: at least do not prefer it to a kill. */
	return rt_cgroup_set(dir, id, "memory.swappiness", 0, e);
}

static int limit(struct rt_cgroups *c, const char *id, const struct rt_limits *l, bool fresh, struct qt_err *e)
{
	struct rt_quota q = rt_quota(l->cpu_centi);
	int cpu = rt_cgroup_dir(c, RT_CG_CPU);

	if (limit_memory(c, id, (uint64_t)l->memory_mb << 20, e) < 0 ||
	    rt_cgroup_set(cpu, id, "cpu.cfs_period_us", q.period_us, e) < 0 ||
	    rt_cgroup_set(cpu, id, "cpu.cfs_quota_us", q.quota_us, e) < 0 ||
	    rt_cgroup_set(rt_cgroup_dir(c, RT_CG_PIDS), id, "pids.max", l->pids, e) < 0)
		return -1;
	return rt_devices_v1(rt_cgroup_dir(c, RT_CG_DEVICES), id, l, fresh, e);
}

/* Waits for the freezer to say STATE. */
static bool frozen_is(struct rt_cgroups *c, const char *id, const char *state, int budget_ms)
{
	int64_t deadline = qt_mono_ms() + budget_ms;
	char got[16];

	for (;;) {
		if (!rt_cgroup_read(rt_cgroup_dir(c, RT_CG_FREEZER), id, "freezer.state", got, sizeof(got)))
			return false;
		got[strcspn(got, "\n")] = '\0';
		if (qt_streq(got, state))
			return true;
		if (qt_left_ms(deadline) == 0)
			return false;
		/* The v1 freezer tells nobody; it is done within microseconds unless a process sleeps in the kernel. */
		(void)poll(NULL, 0, 1);
	}
}

static int freeze(struct rt_cgroups *c, const char *id, bool on, int budget_ms, struct qt_err *e)
{
	int dir = rt_cgroup_dir(c, RT_CG_FREEZER);
	struct qt_err ignored = {0};

	if (rt_cgroup_write(dir, id, "freezer.state", on ? "FROZEN" : "THAWED", e) < 0)
		return -1;
	if (frozen_is(c, id, on ? "FROZEN" : "THAWED", budget_ms))
		return 0;
	if (on)
		(void)rt_cgroup_write(dir, id, "freezer.state", "THAWED", &ignored);
	return qt_fail(e, QT_E_TIMEOUT, "The container could not be %s in time", on ? "frozen" : "thawed");
}

/* SIGKILL to every process that the hierarchy's group lists. */
static void kill_listed(int dir, const char *id)
{
	char *save = NULL;
	auto_free char *text = malloc(PIDS_MAX);

	if (!text || !rt_cgroup_read(dir, id, "cgroup.procs", text, PIDS_MAX))
		return;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		uint32_t pid;

		/* 0: a process that this pid namespace cannot name. Frozen, none can end and leave its number to another. */
		if (qt_u32(&pid, line, 1, INT32_MAX))
			(void)kill((pid_t)pid, SIGKILL);
	}
}

static int kill_all(struct rt_cgroups *c, const char *id, struct qt_err *e)
{
	int dir = rt_cgroup_dir(c, RT_CG_FREEZER);
	struct qt_err ignored = {0};

	if (!rt_cgroup_is_there(dir, id, "freezer.state"))
		return 0;
	/* A group that cannot be frozen in time is killed as it runs: forks in flight then die with their pid namespace. */
	(void)freeze(c, id, true, 200, &ignored);
	kill_listed(dir, id);
	return rt_cgroup_write(dir, id, "freezer.state", "THAWED", e);
}

static bool empty(struct rt_cgroups *c, const char *id)
{
	for (int i = 0; i < RT_CG_COUNT; i++) {
		char path[128], byte;
		auto_close int fd = -1;

		if (c->dir[i] < 0 || !qt_fmt(path, sizeof(path), "%s/cgroup.procs", id))
			continue;
		fd = openat(c->dir[i], path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && read(fd, &byte, 1) > 0)
			return false;
	}
	return true;
}

static void blkio_stats(struct rt_cgroups *c, const char *id, struct rt_cgroup_stats *ret)
{
	int dir = rt_cgroup_dir(c, RT_CG_BLKIO);
	char text[16384];

	if (dir < 0)
		return;
	if (rt_cgroup_read(dir, id, "blkio.throttle.io_service_bytes", text, sizeof(text))) {
		ret->read_bytes = rt_cgroup_sum(text, "Read ");
		ret->write_bytes = rt_cgroup_sum(text, "Write ");
	}
	if (rt_cgroup_read(dir, id, "blkio.throttle.io_serviced", text, sizeof(text))) {
		ret->read_ops = rt_cgroup_sum(text, "Read ");
		ret->write_ops = rt_cgroup_sum(text, "Write ");
	}
}

static void cpu_stats(struct rt_cgroups *c, const char *id, struct rt_cgroup_stats *ret)
{
	int acct = rt_cgroup_dir(c, RT_CG_CPUACCT);
	uint64_t tick_us = 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
	char text[4096];

	if (acct >= 0) {
		ret->cpu_usage_usec = rt_cgroup_number(acct, id, "cpuacct.usage") / 1000;
		if (rt_cgroup_read(acct, id, "cpuacct.stat", text, sizeof(text))) {
			ret->cpu_user_usec = rt_cgroup_key(text, "user") * tick_us;
			ret->cpu_system_usec = rt_cgroup_key(text, "system") * tick_us;
		}
	}
	if (rt_cgroup_read(rt_cgroup_dir(c, RT_CG_CPU), id, "cpu.stat", text, sizeof(text)))
		ret->cpu_throttled_usec = rt_cgroup_key(text, "throttled_time") / 1000;
}

static uint64_t dirty(struct rt_cgroups *c, const char *id)
{
	char text[16384];

	if (!rt_cgroup_read(rt_cgroup_dir(c, RT_CG_MEMORY), id, "memory.stat", text, sizeof(text)))
		return 0;
	return rt_cgroup_key(text, "total_dirty") + rt_cgroup_key(text, "total_writeback");
}

static void stats(struct rt_cgroups *c, const char *id, struct rt_cgroup_stats *ret)
{
	int mem = rt_cgroup_dir(c, RT_CG_MEMORY);
	char text[16384];

	cpu_stats(c, id, ret);
	ret->memory_current = rt_cgroup_number(mem, id, "memory.usage_in_bytes");
	ret->memory_peak = rt_cgroup_number(mem, id, "memory.max_usage_in_bytes");
	ret->memory_limit = rt_cgroup_number(mem, id, "memory.limit_in_bytes");
	if (rt_cgroup_read(mem, id, "memory.stat", text, sizeof(text))) {
		ret->memory_cache = rt_cgroup_key(text, "total_cache");
		ret->memory_rss = rt_cgroup_key(text, "total_rss");
	}
	if (rt_cgroup_read(mem, id, "memory.oom_control", text, sizeof(text)))
		ret->oom_kills = rt_cgroup_key(text, "oom_kill");
	blkio_stats(c, id, ret);
	ret->pids = rt_cgroup_number(rt_cgroup_dir(c, RT_CG_PIDS), id, "pids.current");
}

static int oom_fd(struct rt_cgroups *c, const char *id)
{
	int dir = rt_cgroup_dir(c, RT_CG_MEMORY);
	auto_close int efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	auto_close int control = -1;
	struct qt_err e = {0};
	char text[128];

	if (efd < 0 || !qt_fmt(text, sizeof(text), "%s/memory.oom_control", id))
		return -1;
	control = openat(dir, text, O_RDONLY | O_CLOEXEC);
	if (control < 0 || !qt_fmt(text, sizeof(text), "%d %d", efd, control) ||
	    rt_cgroup_write(dir, id, "cgroup.event_control", text, &e) < 0)
		return -1;
	return qt_take_fd(&efd);
}

const struct rt_cgroup_ops rt_cgroup_v1 = {
	.enter = "tasks",
	.setup = setup,
	.limit = limit,
	.kill = kill_all,
	.empty = empty,
	.freeze = freeze,
	.dirty = dirty,
	.stats = stats,
	.oom_fd = oom_fd,
};
