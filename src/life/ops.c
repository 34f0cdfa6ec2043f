/* Operations: what a client asked for and does not wait for. Submitted by workers, executed by agents, at least once: so each executor
 * first looks whether an earlier try did it, and each of its steps can be taken again. */
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "clock.h"
#include "images.h"
#include "inner.h"
#include "spool.h"
#include "str.h"

int qt_life_submit_op(struct qt_life *l, struct qt_op *o, struct qt_err *e)
{
	if (!o->id.s[0])
		o->id = qt_id_new("op");
	if (!o->node[0])
		(void)qt_copy(o->node, sizeof(o->node), l->conf->node);
	o->status = QT_OP_ACCEPTED;
	(void)qt_copy(o->message, sizeof(o->message), "accepted");
	o->created_ms = o->updated_ms = qt_now_ms();
	o->deadline_ms = o->created_ms + (int64_t)qt_op_type_deadline_s(o->type) * 1000;
	return qt_store_op_submit(l->store, o, e);
}

int qt_life_submit(struct qt_life *l, enum qt_op_type type, const struct qt_ctr *c, json_t *args, struct qt_op *ret, struct qt_err *e)
{
	qt_op_init(ret);
	ret->tenant = c->tenant;
	ret->type = type;
	ret->container = c->id;
	(void)qt_copy(ret->node, sizeof(ret->node), c->node);
	if (args) {
		json_decref(ret->args);
		ret->args = args;
	}
	if (qt_life_submit_op(l, ret, e) == 0)
		return 0;
	qt_op_done(ret);
	return -1;
}

int qt_life_op_cancel(struct qt_life *l, const struct qt_id *tenant, const char *id, struct qt_op *ret, struct qt_err *e)
{
	if (qt_store_op_cancel(l->store, tenant, id, ret, e) < 0)
		return -1;
	/* Nobody had begun it, so no executor will do it; if we die now, the agent's sweeps do. */
	if (qt_op_final(ret->status)) {
		qt_secret_drop(l->conf, ret);
		qt_spool_drop(l->conf, ret);
	}
	return 0;
}

/* One row a type; the executors are in op_*.c. Of a type without one no route submits operations. */
static const struct kind {
	int (*run)(struct qt_life *l, struct qt_op *o, struct qt_err *e);
	const char *message; /* when it succeeded */
	bool makes;	     /* o->container, which was reserved at submit: nothing is left of it when it fails */
} kinds[QT_OPT_COUNT] = {
	[QT_OPT_CTR_CREATE] = {qt_op_ctr_create, "container is running", true},
	[QT_OPT_CTR_START] = {qt_op_ctr_start, "container is running", false},
	[QT_OPT_CTR_RESUME] = {qt_op_ctr_start, "container is running", false},
	[QT_OPT_CTR_STOP] = {qt_op_ctr_stop, "container is stopped", false},
	[QT_OPT_CTR_ARCHIVE] = {qt_op_ctr_archive, "archive is unpacked", false},
	[QT_OPT_VOL_ARCHIVE] = {qt_op_vol_archive, "archive is unpacked", false},
	[QT_OPT_CTR_DELETE] = {qt_op_ctr_delete, "container is removed", false},
	[QT_OPT_CTR_BATCH] = {qt_op_ctr_batch, "all containers are running", false},
	[QT_OPT_CTR_FORK] = {qt_op_ctr_fork, "container is forked", false},
	[QT_OPT_SNAP_CREATE] = {qt_op_snap_create, "snapshot is ready", false},
	[QT_OPT_SNAP_CLONE] = {qt_op_snap_clone, "container is cloned", false},
	[QT_OPT_IMG_PULL] = {qt_op_img_pull, "image is pulled", false},
	[QT_OPT_IMG_BUILD] = {qt_op_img_build, "image is built", false},
	[QT_OPT_VOL_DELETE] = {qt_op_vol_delete, "volume is removed", false},
};

/* What Redis answered, who asks of the newest token only. */
static void hear(struct qt_life *l, int r, const struct qt_err *e)
{
	l->op_cancelled |= r == 1;
	l->op_lost |= r < 0 && e->code == QT_E_CONFLICT;
}

bool qt_op_cancelled(struct qt_life *l, const struct qt_op *o)
{
	struct qt_err ignored = {0};

	(void)o;
	if (!l->op_cancelled && !l->op_lost && l->entry)
		hear(l, qt_store_op_asked(l->store, l->entry, &ignored), &ignored);
	return l->op_cancelled || l->op_lost;
}

int qt_op_go_on(struct qt_life *l, const struct qt_op *o, struct qt_err *e)
{
	int r = l->entry ? qt_store_op_asked(l->store, l->entry, e) : 0;

	hear(l, r, e);
	if (r < 0)
		return -1;
	if (r == 1)
		return qt_fail(e, QT_E_CONFLICT, "the operation was cancelled");
	if (o->deadline_ms > 0 && qt_now_ms() > o->deadline_ms)
		return qt_fail(e, QT_E_TIMEOUT, "the operation was not done within %u s", qt_op_type_deadline_s(o->type));
	return 0;
}

void qt_op_progress(struct qt_life *l, struct qt_op *o, unsigned pct, const char *message)
{
	struct qt_err ignored = {0}; /* a record that cannot be written now is behind, and nothing else */

	o->progress_pct = pct > 100 ? 100 : pct;
	(void)qt_fmt(o->message, sizeof(o->message), "%.*s", (int)qt_utf8_span(message, strnlen(message, sizeof(o->message) - 1)), message);
	if (l->entry)
		hear(l, qt_store_op_progress(l->store, l->entry, &ignored), &ignored);
}

static bool is_patient(struct qt_life *l)
{
	int64_t now = qt_mono_ms();

	/* A try that lasted had a runtime until just now. */
	if (l->op_began > 0 && now - l->op_began > QT_RETRY_MS) {
		l->op_began = now;
		l->op_give_up = now + QT_RETRY_MS;
	}
	return qt_left_ms(l->op_give_up) > 0;
}

int qt_op_vanished(struct qt_life *l, const struct qt_err *e)
{
	if (e->code == QT_E_IMAGE_NOT_FOUND && is_patient(l))
		l->op_again = true;
	return -1;
}

bool qt_op_leave(struct qt_life *l, const struct qt_err *e)
{
	if (e->code == QT_E_RUNTIME_UNAVAILABLE && is_patient(l))
		l->op_again = true;
	return l->op_again || l->op_lost || e->code == QT_E_STORE_UNAVAILABLE;
}

static void failed(struct qt_op *o, bool cancelled, const struct qt_err *why)
{
	const struct qt_err_row *row = qt_err_row(why->code);

	if (cancelled) {
		o->status = QT_OP_CANCELLED;
		(void)qt_copy(o->message, sizeof(o->message), "cancelled");
		return;
	}
	o->status = why->code == QT_E_TIMEOUT ? QT_OP_TIMED_OUT : QT_OP_FAILED;
	(void)qt_copy(o->error_code, sizeof(o->error_code), row->name);
	(void)qt_copy(o->error, sizeof(o->error), row->show ? why->msg : "an internal error: the operator's log has the cause");
	(void)qt_copy(o->message, sizeof(o->message), o->status == QT_OP_FAILED ? "failed" : "timed out");
}

/* Whatever the executor left of the container that it was to make. */
static void take_back(struct qt_life *l, const struct qt_op *o)
{
	struct qt_err ignored = {0};
	struct qt_ctr c;

	if (qt_store_ctr_get(l->store, &o->tenant, o->container.s, &c, &ignored) < 0)
		return;
	if (c.state == QT_ST_CREATED)
		qt_life_undo_create(l, &c);
	qt_ctr_done(&c);
}

static int run(struct qt_life *l, struct qt_op *o, struct qt_err *e)
{
	if (!kinds[o->type].run)
		return qt_fail(e, QT_E_NOT_IMPLEMENTED, "this node's agent cannot execute %s", qt_op_type_name(o->type));
	return kinds[o->type].run(l, o, e);
}

/* Until it is done, or has failed for another reason than a runtime that is away. */
static int run_patiently(struct qt_life *l, struct qt_op *o, struct qt_err *why)
{
	const struct timespec gap = {.tv_nsec = QT_RETRY_GAP_MS * 1000000L};

	l->op_give_up = qt_mono_ms() + QT_RETRY_MS;
	l->op_anew = o->attempts > 1;
	for (;;) {
		struct qt_err now = {0};

		l->op_again = false;
		l->op_began = qt_mono_ms();
		if (run(l, o, &now) == 0)
			return 0;
		/* A try that was cut off may have taken a reservation with it: then the first reason is the one to tell. */
		if (why->code == QT_OK || now.code != QT_E_CONTAINER_NOT_FOUND)
			*why = now;
		if (l->op_lost || (!l->op_again && (now.code != QT_E_RUNTIME_UNAVAILABLE || !is_patient(l))))
			return -1;
		l->op_anew = true;
		(void)nanosleep(&gap, NULL);
	}
}

int qt_life_execute(struct qt_life *l, struct qt_op_entry *x, struct qt_err *e)
{
	struct qt_op *o = &x->op;
	struct qt_err why = {0};
	int r;

	l->entry = x;
	l->op_cancelled = l->op_lost = false;
	r = run_patiently(l, o, &why);
	l->entry = NULL;
	l->op_began = 0;
	if (r == 0) {
		o->status = QT_OP_SUCCEEDED;
		o->progress_pct = 100;
		(void)qt_copy(o->message, sizeof(o->message), kinds[o->type].message);
		return 0;
	}
	if (why.code == QT_E_STORE_UNAVAILABLE || l->op_lost) {
		*e = why;
		return -1;
	}
	if (kinds[o->type].makes)
		take_back(l, o);
	failed(o, l->op_cancelled, &why);
	return 0;
}
