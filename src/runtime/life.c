#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "fdio.h"
#include "files.h"
#include "layers.h"
#include "life.h"
#include "log.h"
#include "peer.h"
#include "undo.h"

#define EXIT_KILLED   137 /* 128 + SIGKILL */
#define KILL_AGAIN_MS 500
#define CLEAN_MS      1
#define CLEAN_MAX_MS  500
#define OOM_LOOK_MS   20
#define OOM_TRIES     250

/* --- who waits ----------------------------------------------------------------------------------------- */

int rt_life_wait(struct rt_ctr *c, const struct rt_call *call, struct qt_err *e)
{
	if (c->n_waiters == RT_WAITERS_MAX)
		return qt_fail(e, QT_E_UNAVAILABLE, "too many wait for the end of this container");
	c->waiters[c->n_waiters++] = *call;
	return 0;
}

/* Those who wait for the end of the run, or, with WHY or DELETED, all. */
static void tell_waiters(struct rt_ctr *c, bool deleted, const struct qt_err *why)
{
	const struct rt_stop_rep stopped = {.exit_code = c->exit_code, .exited_ms = c->exited_ms};
	const struct rt_kill_rep killed = {.exit_code = c->exit_code, .exited_ms = c->exited_ms};
	const struct rt_delete_rep gone = {0};
	unsigned kept = 0;

	for (unsigned i = 0; i < c->n_waiters; i++) {
		const struct rt_call *w = &c->waiters[i];

		if (w->op == RT_DELETE && !deleted && !why)
			c->waiters[kept++] = *w;
		else if (why)
			rt_refuse(c->rt, w, why);
		else if (w->op == RT_DELETE)
			rt_answer(c->rt, w, &gone);
		else if (w->op == RT_STOP)
			rt_answer(c->rt, w, &stopped);
		else
			rt_answer(c->rt, w, &killed);
	}
	c->n_waiters = kept;
}

void rt_life_gone(struct rt_ctr *c)
{
	tell_waiters(c, true, NULL);
}

/* --- ending -------------------------------------------------------------------------------------------- */

static void kill_again(void *arg)
{
	rt_life_kill(arg);
}

void rt_life_kill(struct rt_ctr *c)
{
	struct qt_err e = {0};

	if (c->gone)
		return;
	c->ending = c->killed = true;
	if (rt_cgroup_kill(c->rt->cgroups, &c->id, &e) < 0)
		qt_log_err(QT_LOG_WARN, &e, "container %s: kill", c->id.s);
	qt_err_reset(&e);
	if (rt_timer_set(c->rt->loop, &c->stop_timer, KILL_AGAIN_MS, kill_again, c, &e) < 0)
		qt_log_err(QT_LOG_WARN, &e, "container %s: not killed again", c->id.s);
}

void rt_life_stop(struct rt_ctr *c, uint32_t timeout_ms)
{
	const struct mi_msg stop = {.magic = MI_MAGIC, .kind = MI_STOP};
	struct qt_err e = {0};
	auto_close int fd = -1;

	c->ending = true;
	if (timeout_ms == 0) {
		rt_life_kill(c);
		return;
	}
	fd = rt_files_connect(c->rt, &c->id, &e);
	if (fd < 0 || qt_send_fds(fd, &stop, sizeof(stop), NULL, 0, &e) < 0 ||
	    rt_timer_set(c->rt->loop, &c->stop_timer, timeout_ms, kill_again, c, &e) < 0) {
		qt_log_err(QT_LOG_WARN, &e, "container %s: its init cannot be asked to stop, and is killed", c->id.s);
		rt_life_kill(c);
		return;
	}
	qt_reset_fd(&c->stop_fd, qt_take_fd(&fd));
}

void rt_life_read_end(struct rt_ctr *c, bool same_boot)
{
	struct mi_status s;

	c->exit_code = EXIT_KILLED;
	c->exited_ms = (uint64_t)qt_now_ms();
	if (c->killed || !same_boot || !rt_files_status(c->rt, &c->id, &s) || s.exiting != 1)
		return;
	c->exit_code = (uint32_t)s.exit_code & 0xff;
	/* Within what is possible: the clock may have been set meanwhile. */
	if (s.exited_ms >= c->started_ms && s.exited_ms <= c->exited_ms)
		c->exited_ms = s.exited_ms;
}

static void on_exit_seen(void *arg, uint32_t events)
{
	struct rt_ctr *c = arg;
	siginfo_t si = {0};

	(void)events;
	rt_life_read_end(c, true);
	/* What the kernel says of a child beats what a file says. */
	if (c->is_child && waitid(P_PIDFD, (id_t)c->pidfd, &si, WEXITED | WNOHANG) == 0 && si.si_pid != 0) {
		c->exit_code = (uint32_t)(si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status);
		c->exited_ms = (uint64_t)qt_now_ms();
	}
	if (c->killed)
		c->exit_code = EXIT_KILLED;
	c->gone = true;
	rt_life_ended(c);
}

static void clean(void *arg);

static void finish(struct rt_ctr *c)
{
	bool ran = c->state == RT_ST_RUNNING;
	struct qt_err e = {0};

	(void)rt_failpoint(RT_FP_exit_cleaned, &e);
	if (ran)
		c->state = RT_ST_EXITED;
	c->phase = RT_PH_WHOLE;
	c->pid = 0;
	c->start_time = 0;
	c->ending = c->gone = c->killed = false;
	qt_err_reset(&e);
	/* If it cannot be written (a full disk), the journal still says running: the next start finds no such process, and ends it then. */
	if (rt_ctr_save(c, true, &e) < 0)
		qt_log_err(QT_LOG_ERROR, &e, "container %s: its end is not recorded", c->id.s);
	(void)rt_failpoint(RT_FP_exit_commit, &e);
	if (ran)
		rt_event(c->rt, &c->id, RT_EV_EXITED, c->exit_code);
	tell_waiters(c, false, NULL);
	if (c->deleting)
		rt_life_remove(c);
}

void rt_life_ended(struct rt_ctr *c)
{
	struct qt_err e = {0};

	c->ending = true;
	c->clean_tries = 0;
	rt_loop_del(c->rt->loop, &c->exit_watch);
	rt_loop_del(c->rt->loop, &c->oom_watch);
	rt_timer_clear(c->rt->loop, &c->oom_timer);
	rt_timer_clear(c->rt->loop, &c->stop_timer);
	qt_reset_fd(&c->stop_fd, -1);
	(void)rt_failpoint(RT_FP_exit_seen, &e);
	clean(c);
}

static void clean(void *arg)
{
	struct rt_ctr *c = arg;
	int64_t in = CLEAN_MS << (c->clean_tries < 9 ? c->clean_tries : 9);
	struct qt_err e = {0};

	if (!rt_undo(c, RT_MADE_RUN)) {
		c->clean_tries++;
		if (rt_timer_set(c->rt->loop, &c->clean_timer, in < CLEAN_MAX_MS ? in : CLEAN_MAX_MS, clean, c, &e) == 0)
			return;
		qt_log_err(QT_LOG_ERROR, &e, "container %s: something of its run is left on the host", c->id.s);
	}
	finish(c);
}

/* --- removing ------------------------------------------------------------------------------------------ */

void rt_life_remove(struct rt_ctr *c)
{
	struct rt *rt = c->rt;
	struct qt_err e = {0};

	/* The point of no return: what the journal does not know is swept at the next start. */
	if (rt_failpoint(RT_FP_delete_begin, &e) < 0 || rt_journal_drop(&rt->journal, &c->id, &e) < 0) {
		c->deleting = false;
		tell_waiters(c, false, &e);
		return;
	}
	(void)rt_failpoint(RT_FP_delete_journal, &e);
	rt_ctr_remove(&rt->ctrs, c);
	(void)rt_undo(c, RT_MADE_FILES);
	(void)rt_failpoint(RT_FP_delete_files, &e);
	(void)rt_undo(c, RT_MADE_TREE | RT_MADE_RANGE);
	(void)rt_failpoint(RT_FP_delete_tree, &e);
	rt_image_left(rt, c->image);
	rt_event(rt, &c->id, RT_EV_DELETED, 0);
	tell_waiters(c, true, NULL);
	rt_abandon(c);
}

/* --- watching ------------------------------------------------------------------------------------------ */

static void count_kills(void *arg)
{
	struct rt_ctr *c = arg;
	struct rt_cgroup_stats now;
	struct qt_err e = {0};

	rt_cgroup_stats(c->rt->cgroups, &c->id, &now);
	if (now.oom_kills > c->oom_kills) {
		c->oom_kills = now.oom_kills;
		rt_event(c->rt, &c->id, RT_EV_OOM, 0);
		return;
	}
	/* The kernel wakes us when it begins to look for somebody to kill, and counts when it has. */
	if (c->oom_tries++ < OOM_TRIES && rt_timer_set(c->rt->loop, &c->oom_timer, OOM_LOOK_MS, count_kills, c, &e) < 0)
		qt_log_err(QT_LOG_WARN, &e, "container %s: a memory event is lost", c->id.s);
}

static void on_oom(void *arg, uint32_t events)
{
	struct rt_ctr *c = arg;
	char drain[4096];
	ssize_t got = read(c->oom_fd, drain, sizeof(drain));

	/* It also wakes when the cgroup goes, or for a descriptor that can only be closed: level triggered, it would wake us for ever. */
	if ((events & (EPOLLERR | EPOLLHUP)) || got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
		rt_loop_del(c->rt->loop, &c->oom_watch);
		qt_reset_fd(&c->oom_fd, -1);
		return;
	}
	c->oom_tries = 0;
	count_kills(c);
}

int rt_life_watch(struct rt_ctr *c, struct qt_err *e)
{
	struct rt_cgroup_stats now;
	struct qt_err ignored = {0};

	if (rt_loop_add(c->rt->loop, c->pidfd, EPOLLIN, on_exit_seen, c, &c->exit_watch, e) < 0)
		return -1;
	c->oom_fd = rt_cgroup_oom_fd(c->rt->cgroups, &c->id);
	if (c->oom_fd < 0)
		return 0; /* the host cannot tell: no event, and no harm */
	c->oom_kills = 0;
	if (!c->is_child) { /* adopted: what happened before is no news; a fresh cgroup has not killed */
		rt_cgroup_stats(c->rt->cgroups, &c->id, &now);
		c->oom_kills = now.oom_kills;
	}
	if (qt_set_nonblock(c->oom_fd, true, &ignored) < 0 ||
	    rt_loop_add(c->rt->loop, c->oom_fd, EPOLLIN, on_oom, c, &c->oom_watch, &ignored) < 0) {
		qt_log_err(QT_LOG_WARN, &ignored, "container %s: its memory events are not watched", c->id.s);
		qt_reset_fd(&c->oom_fd, -1);
	}
	return 0;
}
