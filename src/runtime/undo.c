#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "dirs.h"
#include "files.h"
#include "log.h"
#include "runtime.h"
#include "undo.h"

#define RETRY_MS     2
#define RETRY_MAX_MS 1000
#define TELL_AFTER   50 /* tries, the last of them a second apart */

static void tell(struct rt_ctr *c, const struct qt_err *e, const char *what)
{
	if (e->code != QT_OK && c->clean_tries % TELL_AFTER == 0)
		qt_log_err(QT_LOG_WARN, e, "container %s: %s is not gone yet", c->id.s, what);
}

static bool undo_net(struct rt_ctr *c)
{
	struct qt_err e = {0};

	if (rt_net_detach(c->rt->net, &c->addr, &e) < 0)
		return tell(c, &e, "the network"), false;
	return true;
}

static bool undo_process(struct rt_ctr *c)
{
	struct pollfd p = {.fd = c->pidfd, .events = POLLIN};
	struct qt_err e = {0};

	rt_spare_end(qt_take(&c->spare));
	if (!c->gone && c->pidfd >= 0 && poll(&p, 1, 0) == 0) {
		if (rt_cgroup_kill(c->rt->cgroups, &c->id, &e) < 0)
			tell(c, &e, "the init");
		return false;
	}
	if (!c->gone && c->pidfd < 0 && !rt_cgroup_empty(c->rt->cgroups, &c->id)) {
		/* Its pid was never written down, but nothing of a container is outside its cgroup. */
		if (rt_cgroup_kill(c->rt->cgroups, &c->id, &e) < 0)
			tell(c, &e, "the init");
		return false;
	}
	if (c->is_child && !c->gone) {
		siginfo_t si;

		(void)waitid(P_PID, (id_t)c->pid, &si, WEXITED | WNOHANG);
	}
	rt_loop_del(c->rt->loop, &c->exit_watch);
	rt_loop_del(c->rt->loop, &c->oom_watch);
	qt_reset_fd(&c->pidfd, -1);
	qt_reset_fd(&c->oom_fd, -1);
	c->gone = true;
	return true;
}

static bool undo_socket(struct rt_ctr *c)
{
	qt_reset_fd(&c->listen_fd, -1);
	rt_files_drop_socket(c->rt, c->id.s);
	return true;
}

static bool undo_cgroup(struct rt_ctr *c)
{
	struct qt_err e = {0};

	if (rt_cgroup_remove(c->rt->cgroups, &c->id))
		return true;
	/* One that was cloned into it and whose pid nobody wrote down, or a fork in flight. */
	if (!rt_cgroup_empty(c->rt->cgroups, &c->id) && rt_cgroup_kill(c->rt->cgroups, &c->id, &e) < 0)
		tell(c, &e, "the cgroup");
	return false;
}

static bool undo_files(struct rt_ctr *c)
{
	rt_files_drop(c->rt, c->id.s);
	return true;
}

static bool undo_tree(struct rt_ctr *c)
{
	struct qt_err e = {0};

	if (rt_store_drop(&c->rt->store, c->rt->store.ctr_fd, c->id.s, &e) < 0)
		return tell(c, &e, "the layer"), false;
	return true;
}

static bool undo_range(struct rt_ctr *c)
{
	rt_ranges_release(&c->rt->ranges, c->range);
	return true;
}

/* Its link may still be there; who gives addresses looks. */
static bool undo_addr(struct rt_ctr *c)
{
	rt_net_release(c->rt->net, &c->addr);
	return true;
}

/* In the order of undoing. */
static const struct {
	unsigned bit;
	bool (*fn)(struct rt_ctr *c);
} steps[] = {
	{RT_MADE_PROCESS, undo_process}, /* before the network: rules stay as long as something could send */
	{RT_MADE_NET, undo_net},	 {RT_MADE_SOCKET, undo_socket}, {RT_MADE_CGROUP, undo_cgroup},
	{RT_MADE_FILES, undo_files},	 {RT_MADE_TREE, undo_tree},	{RT_MADE_RANGE, undo_range},
	{RT_MADE_ADDR, undo_addr},
};

bool rt_undo(struct rt_ctr *c, unsigned what)
{
	for (size_t i = 0; i < QT_LEN(steps); i++) {
		if (!(c->made & what & steps[i].bit))
			continue;
		if (!steps[i].fn(c))
			return false;
		c->made &= ~steps[i].bit;
	}
	return true;
}

bool rt_undo_now(struct rt_ctr *c, unsigned what, int budget_ms)
{
	int64_t deadline = qt_mono_ms() + budget_ms;

	while (!rt_undo(c, what)) {
		if (qt_mono_ms() >= deadline)
			return false;
		(void)poll(NULL, 0, 1);
	}
	return true;
}

static void retry(void *arg);

static void go_on(struct rt_ctr *c)
{
	struct qt_err e = {0};
	int64_t in = RETRY_MS << (c->clean_tries < 10 ? c->clean_tries : 10);

	if (!rt_undo(c, RT_MADE_ALL)) {
		c->clean_tries++;
		if (rt_timer_set(c->rt->loop, &c->clean_timer, in < RETRY_MAX_MS ? in : RETRY_MAX_MS, retry, c, &e) == 0)
			return;
		/* Out of memory: what is left is for the sweep at the next start. */
		qt_log_err(QT_LOG_ERROR, &e, "container %s: something of it is left on the host", c->id.s);
	}
	rt_ctr_remove(&c->rt->leaving, c);
	rt_ctr_free(c);
}

static void retry(void *arg)
{
	go_on(arg);
}

void rt_abandon(struct rt_ctr *c)
{
	struct qt_err e = {0};

	rt_loop_del(c->rt->loop, &c->exit_watch);
	rt_loop_del(c->rt->loop, &c->oom_watch);
	rt_timer_clear(c->rt->loop, &c->oom_timer);
	c->clean_tries = 0;
	if (rt_ctr_insert(&c->rt->leaving, c, &e) < 0)
		qt_log_err(QT_LOG_WARN, &e, "container %s: its name is not kept from being used again", c->id.s);
	go_on(c);
}
