/* Comparing Redis with the runtime: at the start, after each event, and periodically. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "images.h"
#include "settle.h"
#include "spool.h"
#include "str.h"

#define AWAY_GAP_MS 500
#define GRACE_MS    30000 /* after an operation's deadline: whoever has it ends it himself */
#define GONE_MS	    60000 /* a node whose agent was not heard of for so long has none */

static void report(const struct qt_settled *s)
{
	if (s->adopted + s->ended + s->restored + s->released + s->deleted + s->lost + s->copied > 0)
		qt_log(QT_LOG_INFO, "mended: adopted=%u ended=%u restored=%u released=%u deleted=%u lost=%u copied=%u", s->adopted,
		       s->ended, s->restored, s->released, s->deleted, s->lost, s->copied);
}

/* Operations that nobody will end. */
static int time_out(struct qt_life *l, struct qt_err *e)
{
	unsigned n = 0;

	if (qt_store_op_overdue(l->store, GRACE_MS, GONE_MS, &n, e) < 0)
		return -1;
	if (n > 0)
		qt_log(QT_LOG_INFO, "operations that nobody carried out in time: %u", n);
	return 0;
}

static void ready(struct agent *a)
{
	auto_close int fd = openat(a->run_fd, "agent.ready", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	struct qt_err e = {0};

	if (fd < 0) {
		(void)qt_fail_sys(&e, errno, "make agent.ready");
		qt_log_err(QT_LOG_ERROR, &e, "nobody is told that the agent is ready");
		return;
	}
	qt_log(QT_LOG_INFO, "ready");
}

/* The kernel ended something in it for memory. */
static int tell_oom(struct qt_life *l, const struct qt_id *id, struct qt_err *e)
{
	struct qt_ctr c;
	json_t *data;
	int r;

	if (qt_settle_find(l, id, &c, e) < 0) {
		if (e->code != QT_E_CONTAINER_NOT_FOUND)
			return -1;
		qt_err_reset(e);
		return 0;
	}
	data = json_pack("{s:s, s:s, s:s, s:s, s:s}", "container_id", c.id.s, "name", c.name, "state", qt_state_name(c.state), "event",
			 "resource_limit", "resource", "memory");
	r = qt_store_event(l->store, &c.tenant, "container_update", data, e);
	json_decref(data);
	qt_ctr_done(&c);
	return r;
}

/* What is due now, at most one; else waits, until then or WHEN. */
static bool next_due(struct agent *a, int64_t when, struct agent_due *ret, bool *ret_all)
{
	bool found = false;

	(void)pthread_mutex_lock(&a->lock);
	for (;;) {
		int64_t next = when, now = qt_mono_ms();
		struct timespec until;

		for (unsigned i = 0; i < a->n_due && !found; i++) {
			if (a->due[i].at <= now) {
				*ret = a->due[i];
				a->due[i] = a->due[--a->n_due];
				found = true;
			} else if (a->due[i].at < next) {
				next = a->due[i].at;
			}
		}
		if (found || a->all_due || now >= when || atomic_load(&a->stopping))
			break;
		until = (struct timespec){next / 1000, (next % 1000) * 1000000L};
		(void)pthread_cond_timedwait(&a->wake, &a->lock, &until);
	}
	*ret_all = !found && (a->all_due || qt_mono_ms() >= when);
	if (*ret_all)
		a->all_due = false;
	(void)pthread_mutex_unlock(&a->lock);
	return found;
}

void *agent_mend_main(void *arg)
{
	struct agent *a = arg;
	struct agent_trouble away = {.what = "the store and the runtime cannot be compared"};
	struct qt_settle st = {0};
	struct qt_life l;
	struct qt_err e = {0};
	unsigned strange = 0, lost = 0;
	int64_t next_all = 0;
	bool is_ready = false;

	while (qt_life_init(&l, &a->conf, &e) < 0 && !atomic_load(&a->stopping)) {
		agent_trouble(&away, &e);
		qt_err_reset(&e);
		agent_pause(a, AWAY_GAP_MS);
	}
	for (;;) {
		struct qt_settled did = {0};
		struct agent_due due;
		bool all, one = next_due(a, next_all, &due, &all);
		int r = 0;

		if (atomic_load(&a->stopping))
			break;
		qt_err_reset(&e);
		if (one)
			r = due.kind == AGENT_DUE_OOM ? tell_oom(&l, &due.id, &e) : qt_settle_id(&l, &due.id, &did, &e);
		else if (all)
			r = qt_settle_all(&l, &st, &did, &e) < 0 ? -1 : time_out(&l, &e);
		report(&did);
		if (r < 0) {
			agent_trouble(&away, &e);
			if (one)
				agent_due(a, &due.id, due.kind, AWAY_GAP_MS);
			else
				next_all = qt_mono_ms() + AWAY_GAP_MS;
			agent_pause(a, AWAY_GAP_MS / 5);
			continue;
		}
		agent_well(&away);
		if (!all)
			continue;
		if (did.strange != strange)
			qt_log(QT_LOG_WARN, "the runtime has %u containers, volumes or snapshots with a record that cannot be read", did.strange);
		strange = did.strange;
		if (did.lost_volumes + did.lost_snapshots != lost)
			qt_log(QT_LOG_WARN, "the runtime does not have %u volumes and %u snapshots that Redis knows of", did.lost_volumes,
			       did.lost_snapshots);
		lost = did.lost_volumes + did.lost_snapshots;
		next_all = qt_mono_ms() + (int64_t)a->conf.reconcile_s * 1000;
		if (qt_spool_sweep(&l, &e) < 0)
			qt_log_err(QT_LOG_WARN, &e, "the spool is not swept");
		qt_err_reset(&e);
		if (qt_secret_sweep(&l, &e) < 0)
			qt_log_err(QT_LOG_WARN, &e, "credentials are not swept");
		qt_err_reset(&e);
		if (!is_ready)
			ready(a);
		is_ready = true;
	}
	qt_settle_done(&st);
	qt_life_done(&l);
	return NULL;
}
