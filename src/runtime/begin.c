#include "begin.h"
#include "cleanup.h"

struct doors {
	int fds[RT_DOORS_MAX];
	int n;
};

static void close_doors(struct doors *d)
{
	while (d->n > 0)
		qt_close(d->fds[--d->n]);
}

int rt_begin_group(struct rt_ctr *c, const struct rt_gpus *gpus, struct qt_err *e)
{
	struct rt *rt = c->rt;
	const struct rt_limits limits = {
		.memory_mb = c->memory_mb,
		.cpu_centi = c->cpu_centi,
		.pids = (uint32_t)(c->strict ? rt->conf.pids_limit / 4 : rt->conf.pids_limit),
		.devices = gpus ? gpus->devices : NULL,
		.n_devices = gpus ? gpus->n_nodes : 0,
	};

	if (!(c->made & RT_MADE_CGROUP)) {
		c->made |= RT_MADE_CGROUP;
		return rt_cgroup_make(rt->cgroups, &c->id, &limits, e);
	}
	return c->limited && limits.n_devices == 0 ? 0 : rt_cgroup_limit(rt->cgroups, &c->id, &limits, e);
}

int rt_begin_process(struct rt_ctr *c, struct qt_err *e)
{
	struct rt *rt = c->rt;
	QT_AUTO(close_doors) struct doors doors = {.n = 0};
	auto_close int group = -1;

	if (c->spare)
		return 0;
	group = rt_cgroup_fd(rt->cgroups, &c->id);
	doors.n = rt_cgroup_doors(rt->cgroups, &c->id, doors.fds, e);
	if (doors.n < 0)
		return -1;
	c->made |= RT_MADE_PROCESS;
	c->spare = rt_spare_make(rt->spawner, (uint32_t)rt->conf.uid_base + c->range * 65536U,
				 &(struct rt_way_in){.cgroup_fd = group, .doors = doors.fds, .n_doors = (unsigned)doors.n}, e);
	return c->spare ? rt_net_prepare(rt->net, rt_spare_pid(c->spare), e) : -1;
}
