/* Operations: what a client asked for and does not wait for. Submitted by workers, executed by agents, at least once: so each kind
 * first looks whether an earlier try did it, and each of its steps can be taken again. */
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "clock.h"
#include "inner.h"
#include "str.h"

#define RETRY_MS     20000 /* so long an operation waits for a runtime that is away */
#define RETRY_GAP_MS 200

int qt_life_submit(struct qt_life *l, enum qt_op_type type, const struct qt_ctr *c, json_t *args, struct qt_op *ret, struct qt_err *e)
{
	qt_op_init(ret);
	ret->id = qt_id_new("op");
	ret->tenant = c->tenant;
	ret->type = type;
	ret->status = QT_OP_ACCEPTED;
	ret->container = c->id;
	(void)qt_copy(ret->node, sizeof(ret->node), c->node[0] ? c->node : l->conf->node);
	(void)qt_copy(ret->message, sizeof(ret->message), "accepted");
	if (args) {
		json_decref(ret->args);
		ret->args = args;
	}
	ret->created_ms = ret->updated_ms = qt_now_ms();
	ret->deadline_ms = ret->created_ms + (int64_t)qt_op_type_deadline_s(type) * 1000;
	if (qt_store_op_submit(l->store, ret, e) == 0)
		return 0;
	qt_op_done(ret);
	return -1;
}

static int run_create(struct qt_life *l, const struct qt_op *o, struct qt_ctr *c, struct qt_err *e)
{
	struct qt_ready ready;

	(void)o;
	return qt_life_bring_up(l, c, &ready, e);
}

static int run_start(struct qt_life *l, const struct qt_op *o, struct qt_ctr *c, struct qt_err *e)
{
	struct qt_ready ready;

	(void)o;
	/* Reserved, and whoever should have brought it up did not so far. */
	if (c->state == QT_ST_CREATED)
		return qt_life_bring_up(l, c, &ready, e);
	return qt_life_start_over(l, c, e);
}

static int run_stop(struct qt_life *l, const struct qt_op *o, struct qt_ctr *c, struct qt_err *e)
{
	const json_t *t = json_object_get(o->args, "timeout_ms");
	json_int_t ms = json_is_integer(t) ? json_integer_value(t) : (json_int_t)l->conf->stop_timeout_ms;

	return qt_life_stop(l, c, ms < 0 ? 0 : ms > 600000 ? 600000U : (uint32_t)ms, e);
}

static int run_delete(struct qt_life *l, const struct qt_op *o, struct qt_ctr *c, struct qt_err *e)
{
	(void)o;
	return qt_life_delete(l, c, e);
}

/* Done by an earlier try, or by somebody else after it was asked for? */
static bool is_up(const struct qt_op *o, const struct qt_ctr *c)
{
	(void)o;
	return c->state == QT_ST_RUNNING || c->state == QT_ST_EXITED;
}

static bool is_started(const struct qt_op *o, const struct qt_ctr *c)
{
	return c->state == QT_ST_RUNNING && c->started_ms >= o->created_ms;
}

static bool is_stopped(const struct qt_op *o, const struct qt_ctr *c)
{
	return c->state == QT_ST_EXITED && c->exited_ms >= o->created_ms;
}

static bool is_gone(const struct qt_op *o, const struct qt_ctr *c)
{
	(void)o;
	(void)c;
	return false; /* it is there */
}

static const struct kind {
	int (*run)(struct qt_life *l, const struct qt_op *o, struct qt_ctr *c, struct qt_err *e);
	bool (*done)(const struct qt_op *o, const struct qt_ctr *c);
	bool gone_is_done;
	const char *message;
} kinds[QT_OPT_COUNT] = {
	[QT_OPT_CTR_CREATE] = {run_create, is_up, false, "container is running"},
	[QT_OPT_CTR_START] = {run_start, is_started, false, "container is running"},
	[QT_OPT_CTR_RESUME] = {run_start, is_started, false, "container is running"},
	[QT_OPT_CTR_STOP] = {run_stop, is_stopped, false, "container is stopped"},
	[QT_OPT_CTR_DELETE] = {run_delete, is_gone, true, "container is removed"},
};

static void tell(struct qt_op *o, const struct qt_ctr *c)
{
	json_object_set_new(o->result, "container_id", json_string(o->container.s));
	if (!c)
		return;
	json_object_set_new(o->result, "name", json_string(c->name));
	json_object_set_new(o->result, "state", json_string(qt_state_name(c->state)));
	if (c->has_exit_code)
		json_object_set_new(o->result, "exit_code", json_integer(c->exit_code));
}

/* One try. 1: there was nothing to do any more and its time is over. */
static int attempt(struct qt_life *l, struct qt_op *o, struct qt_err *e)
{
	const struct kind *k = &kinds[o->type];
	struct qt_ctr c;
	int r = 0;

	if (qt_store_ctr_get(l->store, &o->tenant, o->container.s, &c, e) < 0) {
		if (e->code != QT_E_CONTAINER_NOT_FOUND || !k->gone_is_done)
			return -1;
		qt_err_reset(e);
		tell(o, NULL);
		return 0;
	}
	if (!k->done(o, &c)) {
		if (o->deadline_ms > 0 && qt_now_ms() > o->deadline_ms)
			r = qt_fail(e, QT_E_TIMEOUT, "the operation waited too long for the node's agent");
		else
			r = k->run(l, o, &c, e);
	}
	if (r < 0 && k->gone_is_done && e->code == QT_E_CONTAINER_NOT_FOUND) {
		qt_err_reset(e);
		r = 0;
	}
	if (r == 0)
		tell(o, k->gone_is_done ? NULL : &c);
	qt_ctr_done(&c);
	return r;
}

static void failed(struct qt_op *o, const struct qt_err *why)
{
	const struct qt_err_row *row = qt_err_row(why->code);

	o->status = why->code == QT_E_TIMEOUT ? QT_OP_TIMED_OUT : QT_OP_FAILED;
	(void)qt_copy(o->error_code, sizeof(o->error_code), row->name);
	(void)qt_copy(o->error, sizeof(o->error), row->show ? why->msg : "an internal error: the operator's log has the cause");
	(void)qt_copy(o->message, sizeof(o->message), o->status == QT_OP_FAILED ? "failed" : "timed out");
}

int qt_life_execute(struct qt_life *l, struct qt_op_entry *x, struct qt_err *e)
{
	const struct timespec gap = {.tv_nsec = RETRY_GAP_MS * 1000000L};
	int64_t give_up = qt_mono_ms() + RETRY_MS;
	struct qt_op *o = &x->op;
	struct qt_err why = {0};

	for (;;) {
		struct qt_err now = {0};

		if (attempt(l, o, &now) == 0) {
			o->status = QT_OP_SUCCEEDED;
			o->progress_pct = 100;
			(void)qt_copy(o->message, sizeof(o->message), kinds[o->type].message);
			return 0;
		}
		/* A try that was cut off may have taken a reservation with it: then the first reason is the one to tell. */
		if (why.code == QT_OK || now.code != QT_E_CONTAINER_NOT_FOUND)
			why = now;
		if (now.code != QT_E_RUNTIME_UNAVAILABLE || qt_left_ms(give_up) == 0)
			break;
		(void)nanosleep(&gap, NULL);
	}
	if (why.code == QT_E_STORE_UNAVAILABLE) {
		*e = why;
		return -1;
	}
	failed(o, &why);
	return 0;
}
