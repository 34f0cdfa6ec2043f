#include <stdlib.h>

#include "cleanup.h"
#include "clock.h"
#include "inner.h"
#include "settle.h"
#include "str.h"
#include "strv.h"

#define START_BUDGET_MS	 20000
#define KILL_BUDGET_MS	 15000
#define AGAIN_BUDGET_MS	 4000 /* a runtime that did not answer, asked whether it did it */
#define DELETE_BUDGET_MS 15000
#define RECORD_BUDGET_MS 5000
#define SAVE_BUDGET_MS	 2000 /* whoever wants an end does not wait long for jobs' output */
#define AFTER_TIMEOUT_MS 15000 /* on top of the time that a command has to end by itself */

static int start_from(struct qt_life *l, struct qt_ctr *c, unsigned from, struct qt_err *e)
{
	struct rt_start_req req = {.id = c->id, .hostname = rt_str(c->name), .user = rt_str(c->user), .stop_signal = c->stop_signal};
	auto_free char *argv = malloc(QT_STRV_BYTES), *env = malloc(QT_STRV_BYTES), *volumes = malloc(QT_MOUNTS_BYTES);
	auto_free char *gpus = malloc(QT_GPUS_BYTES);
	struct qt_err why = {0}, no_route = {0};
	struct rt_start_rep rep;

	if (!argv || !env || !volumes || !gpus)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	if (qt_strv_command(&req.argv, argv, c, e) < 0 ||
	    qt_strv_env(&req.env, env, c, NULL, e) < 0 ||
	    qt_life_volumes(l, c, volumes, &req.volumes, e) < 0 || qt_life_gpus(l, c, gpus, &req.gpus, e) < 0)
		return -1;
	c->deadline_ms = qt_now_ms() + QT_BRING_UP_MS;
	if (qt_store_ctr_move(l->store, c, from, QT_ST_STARTING, "starting", NULL, e) < 0)
		return -1;
	c->state = QT_ST_STARTING;
	if (rt_start(&l->rt, &req, &rep, START_BUDGET_MS, &why) < 0) {
		struct qt_err ignored = {0};

		*e = why;
		/* Running already: an earlier try of this same operation was cut off after the runtime's part. */
		if (why.code == QT_E_INVALID_STATE && qt_streq(why.state, "running")) {
			struct rt_get_req get = {.id = c->id};
			struct rt_get_rep now;

			if (rt_get(&l->rt, &get, &now, START_BUDGET_MS, &ignored) < 0)
				return -1;
			rep = (struct rt_start_rep){.pid = now.pid, .ip = now.ip, .started_ms = now.started_ms};
			qt_err_reset(e);
		} else {
			(void)qt_copy(c->error, sizeof(c->error), qt_err_row(why.code)->name);
			c->pid = 0;
			(void)qt_store_ctr_move(l->store, c, qt_bit(QT_ST_STARTING), QT_ST_ERROR, "error", NULL, &ignored);
			return -1;
		}
	}
	c->pid = rep.pid;
	(void)qt_copy(c->ip, sizeof(c->ip), rep.ip.s);
	c->started_ms = (int64_t)rep.started_ms;
	c->exited_ms = 0;
	c->has_exit_code = false;
	c->error[0] = '\0';
	if (qt_life_routes(l, c, &no_route) < 0 && qt_answer_lost(&no_route)) {
		*e = no_route; /* taken up again, with the container running */
		return -1;
	}
	if (qt_store_ctr_move(l->store, c, qt_bit(QT_ST_STARTING), QT_ST_RUNNING, "started", "container_started", e) < 0) {
		/* The agent saw it first. */
		if (e->code != QT_E_INVALID_STATE || !qt_streq(e->state, "running"))
			return -1;
		qt_err_reset(e);
	}
	c->state = QT_ST_RUNNING;
	return 0;
}

#define STARTABLE (qt_bit(QT_ST_CREATED) | qt_bit(QT_ST_EXITED) | qt_bit(QT_ST_ERROR))

int qt_life_start(struct qt_life *l, struct qt_ctr *c, struct qt_err *e)
{
	return qt_life_may(c, QT_V_START, e) < 0 ? -1 : start_from(l, c, STARTABLE, e);
}

int qt_life_start_over(struct qt_life *l, struct qt_ctr *c, struct qt_err *e)
{
	if (c->state != QT_ST_STARTING && qt_life_may(c, QT_V_START, e) < 0)
		return -1;
	return start_from(l, c, STARTABLE | qt_bit(QT_ST_STARTING), e);
}

/* The runtime ended it, for us: the record follows. The agent, which hears of the exit at the same moment, may have moved it
 * already, with the same values; the usage record is written by whoever moves it, once. */
static int ended(struct qt_life *l, struct qt_ctr *c, uint32_t exit_code, uint64_t exited_ms, const char *event,
		 struct qt_err *e)
{
	c->pid = 0;
	c->has_exit_code = true;
	c->exit_code = (int)exit_code;
	c->exited_ms = (int64_t)exited_ms;
	if (qt_store_ctr_move(l->store, c, qt_bit(QT_ST_RUNNING) | qt_bit(QT_ST_STARTING), QT_ST_EXITED, event, "container_stopped",
			      e) < 0) {
		if (e->code != QT_E_INVALID_STATE || !qt_streq(e->state, "exited"))
			return -1;
		qt_err_reset(e);
	}
	c->state = QT_ST_EXITED;
	return 0;
}

/* Why the runtime did not end C, or what it did all the same. 0: it is down since BEGUN, by us as far as anybody can tell. */
static int not_ended(struct qt_life *l, struct qt_ctr *c, int64_t begun, uint32_t *ret_code, uint64_t *ret_exited_ms, struct qt_err *e)
{
	struct rt_get_req req = {.id = c->id};
	struct qt_err ignored = {0};
	struct rt_get_rep rep;

	if (qt_answer_lost(e) && rt_get(&l->rt, &req, &rep, AGAIN_BUDGET_MS, &ignored) == 0 && rep.state == RT_ST_EXITED &&
	    rep.exited_ms >= (uint64_t)begun) {
		qt_err_reset(e);
		*ret_code = rep.exit_code;
		*ret_exited_ms = rep.exited_ms;
		return 0;
	}
	/* It had ended before, and Redis has not heard of it. */
	if (e->code == QT_E_INVALID_STATE)
		(void)qt_settle_id(l, &c->id, &(struct qt_settled){0}, &ignored);
	return -1;
}

int qt_life_stop(struct qt_life *l, struct qt_ctr *c, uint32_t timeout_ms, struct qt_err *e)
{
	struct rt_stop_req req = {.id = c->id, .timeout_ms = timeout_ms};
	int64_t begun = qt_now_ms();
	struct rt_stop_rep rep;

	if (qt_life_may(c, QT_V_STOP, e) < 0)
		return -1;
	qt_life_jobs_save(l, c, SAVE_BUDGET_MS);
	if (rt_stop(&l->rt, &req, &rep, (int)timeout_ms + AFTER_TIMEOUT_MS, e) < 0 &&
	    not_ended(l, c, begun, &rep.exit_code, &rep.exited_ms, e) < 0)
		return -1;
	return ended(l, c, rep.exit_code, rep.exited_ms, "stopped", e);
}

int qt_life_kill(struct qt_life *l, struct qt_ctr *c, struct qt_err *e)
{
	struct rt_kill_req req = {.id = c->id};
	int64_t begun = qt_now_ms();
	struct rt_kill_rep rep;

	if (qt_life_may(c, QT_V_KILL, e) < 0)
		return -1;
	qt_life_jobs_save(l, c, SAVE_BUDGET_MS);
	if (rt_kill(&l->rt, &req, &rep, KILL_BUDGET_MS, e) < 0 &&
	    not_ended(l, c, begun, &rep.exit_code, &rep.exited_ms, e) < 0)
		return -1;
	return ended(l, c, rep.exit_code, rep.exited_ms, "died", e);
}

int qt_life_delete(struct qt_life *l, struct qt_ctr *c, struct qt_err *e)
{
	struct rt_delete_req req = {.id = c->id};
	struct rt_delete_rep rep;

	/* From here on it will go, and if we do not live to see that, the agent does the rest. */
	if (qt_store_ctr_deleting(l->store, &c->tenant, &c->id, e) < 0)
		return -1;
	if (c->state == QT_ST_RUNNING) {
		struct qt_err stop = {0};

		/* It may end by itself meanwhile, or be stopped by another: gone is gone. */
		if (qt_life_stop(l, c, (uint32_t)l->conf->stop_timeout_ms, &stop) < 0 && stop.code != QT_E_INVALID_STATE &&
		    stop.code != QT_E_CONTAINER_NOT_FOUND) {
			*e = stop;
			return -1;
		}
	}
	if (rt_delete(&l->rt, &req, &rep, DELETE_BUDGET_MS, e) < 0) {
		if (e->code != QT_E_CONTAINER_NOT_FOUND)
			return -1;
		qt_err_reset(e);
	}
	return qt_store_ctr_remove(l->store, &c->tenant, &c->id, e);
}

/* Redis first, since names and environments are its to keep; then the runtime's copy, from which they are mended. The agent brings the
 * copy up to date when the runtime is away just now. */
void qt_life_copy(struct qt_life *l, const struct qt_ctr *c)
{
	struct rt_record_req req = {.id = c->id};
	struct rt_record_rep rep;
	struct qt_err ignored = {0};
	auto_free char *record = qt_ctr_dump(c, &ignored);

	if (!record)
		return;
	req.record = rt_str(record);
	(void)rt_record(&l->rt, &req, &rep, RECORD_BUDGET_MS, &ignored);
}

int qt_life_rename(struct qt_life *l, struct qt_ctr *c, const char *new_name, char *old_name, struct qt_err *e)
{
	if (qt_store_ctr_rename(l->store, &c->tenant, &c->id, new_name, old_name, e) < 0)
		return -1;
	(void)qt_copy(c->name, sizeof(c->name), new_name);
	qt_life_copy(l, c);
	return 0;
}

int qt_life_env(struct qt_life *l, struct qt_ctr *c, const json_t *env, bool merge, struct qt_err *e)
{
	struct qt_ctr now;

	if (qt_store_ctr_env(l->store, &c->tenant, &c->id, env, merge, &now, e) < 0)
		return -1;
	qt_ctr_done(c);
	*c = now;
	qt_life_copy(l, c);
	return 0;
}
