#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "gui.h"
#include "images.h"
#include "inner.h"
#include "str.h"
#include "strv.h"

#define CREATE_BUDGET_MS  20000
#define AGAIN_BUDGET_MS	  4000 /* the route has 30 s for all three */
#define UNDO_BUDGET_MS	  5000

static const char gui_hint[] = "The operator makes it: quiltctl image build prod-gui (docs/operations.md).";

static void begin(const struct qt_life *l, struct qt_ctr *c)
{
	c->state = QT_ST_CREATED;
	c->created_ms = qt_now_ms();
	if (!c->node[0])
		(void)qt_copy(c->node, sizeof(c->node), l->conf->node);
}

static int no_image(const char *name, struct qt_err *e)
{
	(void)qt_fail_field(e, QT_E_IMAGE_NOT_FOUND, "/image", "an image of this node", "there is no image \"%s\" on this node", name);
	if (qt_streq(name, QT_GUI_IMAGE))
		e->hint = gui_hint;
	return -1;
}

static int find_image(struct qt_life *l, const char *name, struct qt_err *e)
{
	struct qt_managed ignored;
	int r = qt_life_managed(l, name, &ignored, e);

	return r == 0 ? no_image(name, e) : r < 0 ? -1 : 0;
}

/* It may wait in a queue as long as its operation may take. */
static int64_t late(enum qt_op_type type)
{
	return qt_now_ms() + (int64_t)qt_op_type_deadline_s(type) * 1000 + QT_BRING_UP_MS;
}

/* Nobody waits for the runtime's word on this one, so what it would refuse is refused now. */
static int check(struct qt_life *l, const struct qt_ctr *c, bool known_image, struct qt_err *e)
{
	auto_free char *record = qt_ctr_dump(c, e);

	return record && (known_image || c->image_id.s[0] || find_image(l, c->image, e) == 0) ? 0 : -1;
}

int qt_life_reservable(struct qt_life *l, const struct qt_ctr *c, struct qt_err *e)
{
	return check(l, c, false, e);
}

int qt_life_reserve_for(struct qt_life *l, struct qt_ctr *c, int64_t for_ms, struct qt_err *e)
{
	begin(l, c);
	return qt_store_ctr_reserve(l->store, c, c->created_ms + for_ms, e);
}

int qt_life_reserve(struct qt_life *l, struct qt_ctr *c, struct qt_err *e)
{
	if (check(l, c, false, e) < 0)
		return -1;
	begin(l, c);
	return qt_store_ctr_reserve(l->store, c, late(QT_OPT_CTR_CREATE), e);
}

static bool is_to_blame(const struct qt_ctr *c, const struct qt_err *e)
{
	size_t len = strlen(e->received), i;
	json_t *volume;

	if (e->code == QT_E_CONTAINER_NAME_CONFLICT)
		return qt_streq(c->name, e->received);
	if (e->code != QT_E_VOLUME_NOT_FOUND)
		return false;
	json_array_foreach(c->volumes, i, volume)
		if (strncmp(json_string_value(volume), e->received, len) == 0 && json_string_value(volume)[len] == ':')
			return true;
	return false;
}

int qt_life_reserve_all(struct qt_life *l, struct qt_ctr *v, size_t n, size_t *bad, struct qt_err *e)
{
	for (*bad = 0; *bad < n; ++*bad) {
		begin(l, &v[*bad]);
		if (check(l, &v[*bad], *bad > 0 && qt_streq(v[*bad].image, v[*bad - 1].image), e) < 0)
			return -1;
	}
	if (qt_store_ctr_reserve_all(l->store, v, n, late(QT_OPT_CTR_BATCH), e) == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (is_to_blame(&v[i], e))
			*bad = i;
	return -1;
}

static void take(struct qt_ctr *c, enum qt_state state, uint32_t pid, const char *ip, uint64_t started_ms)
{
	c->state = state;
	c->deadline_ms = 0;
	c->pid = pid;
	(void)qt_copy(c->ip, sizeof(c->ip), ip);
	c->started_ms = (int64_t)started_ms;
	c->exited_ms = 0;
	c->has_exit_code = false;
	c->error[0] = '\0';
}

/* The answer to RT_CREATE may be lost with a runtime that dies: then the journal knows. */
static int ask_again(struct qt_life *l, struct qt_ctr *c, const struct qt_bringing *b)
{
	struct rt_get_req req = {.id = c->id};
	struct qt_err e = {0};
	struct rt_get_rep rep;

	if (rt_get(&l->rt, &req, &rep, AGAIN_BUDGET_MS, &e) < 0 || rep.state != (b->no_start ? RT_ST_CREATED : RT_ST_RUNNING))
		return -1;
	take(c, b->no_start ? QT_ST_CREATED : QT_ST_RUNNING, rep.pid, rep.ip.s, rep.started_ms);
	return 0;
}

static int make(struct qt_life *l, struct qt_ctr *c, struct qt_bringing *b, struct qt_err *e)
{
	struct rt_create_req req = {.id = c->id,
				    .tenant = c->tenant,
				    .hostname = rt_str(c->name),
				    .image = rt_str(c->image_id.s[0] ? c->image_id.s : c->image),
				    .workdir = rt_str(c->workdir),
				    .memory_mb = c->memory_mb,
				    .cpu_centi = c->cpu_centi,
				    .strict = c->strict,
				    .user = rt_str(c->user),
				    .stop_signal = c->stop_signal,
				    .from = rt_str(b->from ? b->from : c->copied_from.s),
				    .consistency = b->consistency,
				    .no_start = b->no_start};
	auto_free char *argv = malloc(QT_STRV_BYTES), *env = malloc(QT_STRV_BYTES), *volumes = malloc(QT_MOUNTS_BYTES), *record = NULL;
	auto_free char *gpus = malloc(QT_GPUS_BYTES);
	struct rt_create_rep rep;

	if (!argv || !env || !volumes || !gpus)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	if (qt_strv_command(&req.argv, argv, c, e) < 0 ||
	    qt_strv_env(&req.env, env, c, NULL, e) < 0 ||
	    qt_life_volumes(l, c, volumes, &req.volumes, e) < 0 || qt_life_gpus(l, c, gpus, &req.gpus, e) < 0)
		return -1;
	record = qt_ctr_dump(c, e);
	if (!record)
		return -1;
	req.record = rt_str(record);
	if (rt_create(&l->rt, &req, &rep, b->budget_ms ? b->budget_ms : CREATE_BUDGET_MS, e) < 0) {
		b->unsent = l->rt.unsent;
		if (e->code == QT_E_IMAGE_NOT_FOUND && qt_ctr_has_gui(c))
			e->hint = gui_hint;
		if (b->unsent || !qt_answer_lost(e) || ask_again(l, c, b) < 0)
			return -1;
		qt_err_reset(e);
		return 0;
	}
	b->paused_us = rep.paused_us;
	b->flush_us = rep.flush_us;
	take(c, b->no_start ? QT_ST_CREATED : QT_ST_RUNNING, rep.pid, rep.ip.s, rep.started_ms);
	return 0;
}

/* Nothing is left of a create that was refused. -1: the runtime does not say whether it has it. */
static int undo(struct qt_life *l, const struct qt_ctr *c)
{
	struct rt_delete_req req = {.id = c->id};
	struct rt_delete_rep rep;
	struct qt_err ignored = {0};

	if (rt_delete(&l->rt, &req, &rep, UNDO_BUDGET_MS, &ignored) < 0 && ignored.code != QT_E_CONTAINER_NOT_FOUND)
		return -1;
	qt_err_reset(&ignored);
	(void)qt_store_ctr_remove(l->store, &c->tenant, &c->id, &ignored);
	return 0;
}

void qt_life_undo_create(struct qt_life *l, const struct qt_ctr *c)
{
	struct qt_ctr expired = *c; /* borrows the JSON */
	struct qt_err ignored = {0};

	if (undo(l, c) == 0)
		return;
	expired.deadline_ms = qt_now_ms();
	(void)qt_store_ctr_move(l->store, &expired, qt_bit(QT_ST_CREATED), QT_ST_CREATED, NULL, NULL, &ignored);
}

void qt_life_unmake(struct qt_life *l, const struct qt_ctr *c)
{
	if (undo(l, c) < 0)
		(void)qt_store_ctr_deleting(l->store, &c->tenant, &c->id, &(struct qt_err){0});
}

/* Its answer is read when the container has been looked at. */
static int move_up(struct qt_life *l, const struct qt_ctr *c, struct qt_err *e)
{
	unsigned from = qt_bit(QT_ST_CREATED) | qt_bit(QT_ST_STARTING);

	if (c->state == QT_ST_CREATED)
		return qt_store_ctr_move_post(l->store, c, qt_bit(QT_ST_CREATED), QT_ST_CREATED, NULL, NULL, e);
	return qt_store_ctr_move_post(l->store, c, from, QT_ST_RUNNING, "started", "container_started", e);
}

static void look(struct qt_life *l, const struct qt_ctr *c, struct qt_ready *ret)
{
	struct qt_err e = {0};

	memset(ret, 0, sizeof(*ret));
	ret->state = c->state;
	ret->has_gui = qt_ctr_has_gui(c);
	if (c->state == QT_ST_RUNNING && qt_life_ready(l, c, ret, &e) < 0)
		ret->state = c->state; /* created all the same: exec_ready is false */
}

int qt_life_bring(struct qt_life *l, struct qt_ctr *c, struct qt_bringing *b, struct qt_ready *ready, struct qt_err *e)
{
	struct qt_err moved = {0};

	if (make(l, c, b, e) < 0) {
		if (!b->keep)
			(void)undo(l, c);
		return -1;
	}
	if (move_up(l, c, &moved) == 0) {
		look(l, c, ready);
		(void)qt_store_settle(l->store, &moved);
	}
	if (moved.code != QT_OK) {
		/* The agent, which watches the runtime, may have been quicker; then it is as it should be. */
		if (moved.code != QT_E_INVALID_STATE || !qt_streq(moved.state, "running")) {
			*e = moved;
			if (!b->keep && moved.code != QT_E_STORE_UNAVAILABLE)
				(void)undo(l, c);
			return -1;
		}
	}
	return 0;
}

int qt_life_bring_up(struct qt_life *l, struct qt_ctr *c, struct qt_ready *ready, struct qt_err *e)
{
	return qt_life_bring(l, c, &(struct qt_bringing){0}, ready, e);
}

int qt_life_create(struct qt_life *l, struct qt_ctr *c, struct qt_ready *ready, struct qt_err *e)
{
	struct qt_bringing b = {0};
	struct qt_err ignored = {0};

	if (qt_life_reserve_for(l, c, QT_BRING_UP_MS, e) < 0)
		return -1;
	if (qt_life_bring(l, c, &b, ready, e) == 0)
		return 0;
	if (b.unsent) /* there was no runtime, so it certainly has no such container */
		(void)qt_store_ctr_remove(l->store, &c->tenant, &c->id, &ignored);
	return -1;
}
