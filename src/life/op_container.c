/* Operations on one container that exists: create (it is reserved), start, stop, delete. */
#include "cleanup.h"
#include "inner.h"
#include "str.h"

static int run_create(struct qt_life *l, const struct qt_op *o, struct qt_ctr *c, struct qt_err *e)
{
	struct qt_ready ready;

	(void)o;
	return qt_life_bring_up(l, c, &ready, e);
}

static int run_start(struct qt_life *l, const struct qt_op *o, struct qt_ctr *c, struct qt_err *e)
{
	/* Reserved, and whoever should have brought it up did not so far. Without a deadline it is made, and has never been started. */
	if (c->state == QT_ST_CREATED && c->deadline_ms > 0)
		return run_create(l, o, c, e);
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

struct verb {
	int (*run)(struct qt_life *l, const struct qt_op *o, struct qt_ctr *c, struct qt_err *e);
	bool (*done)(const struct qt_op *o, const struct qt_ctr *c);
	bool gone_is_done;
};

void qt_op_tell(struct qt_op *o, const struct qt_ctr *c)
{
	json_object_set_new(o->result, "container_id", json_string(o->container.s));
	if (!c)
		return;
	json_object_set_new(o->result, "name", json_string(c->name));
	json_object_set_new(o->result, "state", json_string(qt_state_name(c->state)));
	if (c->has_exit_code)
		json_object_set_new(o->result, "exit_code", json_integer(c->exit_code));
}

/* The runtime found it done: an earlier try was cut off between it and Redis, which has heard of it by now. */
static int done_after_all(struct qt_life *l, const struct qt_op *o, const struct verb *v, struct qt_ctr *c, struct qt_err *e)
{
	struct qt_err ignored = {0};
	struct qt_ctr now;

	if (qt_store_ctr_get(l->store, &o->tenant, o->container.s, &now, &ignored) < 0)
		return -1;
	qt_ctr_done(c);
	*c = now;
	if (!v->done(o, c))
		return -1;
	qt_err_reset(e);
	return 0;
}

static int on_container(struct qt_life *l, struct qt_op *o, const struct verb *v, struct qt_err *e)
{
	struct qt_ctr c;
	int r = 0;

	if (qt_store_ctr_get(l->store, &o->tenant, o->container.s, &c, e) < 0) {
		if (e->code != QT_E_CONTAINER_NOT_FOUND || !v->gone_is_done)
			return -1;
		qt_err_reset(e);
		qt_op_tell(o, NULL);
		return 0;
	}
	if (!v->done(o, &c))
		r = qt_op_go_on(l, o, e) < 0 ? -1 : v->run(l, o, &c, e);
	if (r < 0 && e->code == QT_E_INVALID_STATE)
		r = done_after_all(l, o, v, &c, e);
	if (r < 0 && v->gone_is_done && e->code == QT_E_CONTAINER_NOT_FOUND) {
		qt_err_reset(e);
		r = 0;
	}
	if (r == 0)
		qt_op_tell(o, v->gone_is_done ? NULL : &c);
	qt_ctr_done(&c);
	return r;
}

int qt_op_ctr_create(struct qt_life *l, struct qt_op *o, struct qt_err *e)
{
	return on_container(l, o, &(struct verb){run_create, is_up, false}, e);
}

int qt_op_ctr_start(struct qt_life *l, struct qt_op *o, struct qt_err *e)
{
	return on_container(l, o, &(struct verb){run_start, is_started, false}, e);
}

int qt_op_ctr_stop(struct qt_life *l, struct qt_op *o, struct qt_err *e)
{
	return on_container(l, o, &(struct verb){run_stop, is_stopped, false}, e);
}

int qt_op_ctr_delete(struct qt_life *l, struct qt_op *o, struct qt_err *e)
{
	return on_container(l, o, &(struct verb){run_delete, is_gone, true}, e);
}
