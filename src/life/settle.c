#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "inner.h"
#include "settle.h"
#include "settle_in.h"
#include "str.h"

#define GET_BUDGET_MS	10000
#define DELETE_SLACK_MS 15000 /* on top of the time that a command has to end: then whoever began the delete is dead */

/* What the runtime says of one. */
struct seen {
	bool there, has_record;
	bool making; /* it comes: nothing can be said of it yet */
	enum rt_state state;
	uint32_t pid;
	int exit_code;
	char ip[16];
	int64_t started_ms, exited_ms;
	struct qt_id tenant;
	struct qt_ctr record; /* initialised if has_record */
};

static void seen_done(struct seen *s)
{
	if (s->has_record)
		qt_ctr_done(&s->record);
}
#define auto_seen QT_AUTO(seen_done)

static int see(struct qt_life *l, const struct qt_id *id, struct seen *ret, struct qt_err *e)
{
	struct rt_get_req req = {.id = *id};
	struct qt_err bad = {0};
	struct rt_get_rep rep;

	memset(ret, 0, sizeof(*ret));
	if (rt_get(&l->rt, &req, &rep, GET_BUDGET_MS, e) < 0) {
		ret->making = e->code == QT_E_INVALID_STATE;
		if (e->code != QT_E_CONTAINER_NOT_FOUND && !ret->making)
			return -1;
		qt_err_reset(e);
		return 0;
	}
	ret->there = true;
	ret->state = (enum rt_state)rep.state;
	ret->pid = rep.pid;
	ret->exit_code = (int)rep.exit_code;
	ret->started_ms = (int64_t)rep.started_ms;
	ret->exited_ms = (int64_t)rep.exited_ms;
	ret->tenant = rep.tenant;
	(void)qt_copy(ret->ip, sizeof(ret->ip), rep.ip.s);
	ret->has_record = qt_ctr_load(&ret->record, rep.record.s, rep.record.len, &bad) == 0;
	if (ret->has_record && (!qt_streq(ret->record.id.s, id->s) || !qt_streq(ret->record.tenant.s, rep.tenant.s))) {
		qt_ctr_done(&ret->record);
		ret->has_record = false;
	}
	return 0;
}

/* Somebody else changed it in between: what he did counts, and the next pass looks again. */
static int unless_raced(struct qt_err *e)
{
	if (e->code != QT_E_INVALID_STATE && e->code != QT_E_CONTAINER_NOT_FOUND && e->code != QT_E_CONFLICT)
		return -1;
	qt_err_reset(e);
	return 0;
}

static int move(struct qt_life *l, struct qt_ctr *c, enum qt_state to, const char *event, const char *usage, unsigned *count,
		struct qt_err *e)
{
	if (qt_store_ctr_move(l->store, c, qt_bit(c->state), to, event, usage, e) < 0)
		return unless_raced(e);
	c->state = to;
	(*count)++;
	return 0;
}

static void take(struct qt_ctr *c, const struct seen *s)
{
	bool runs = s->state == RT_ST_RUNNING;

	c->pid = runs ? s->pid : 0;
	(void)qt_copy(c->ip, sizeof(c->ip), s->ip);
	c->started_ms = s->started_ms;
	c->exited_ms = runs ? 0 : s->exited_ms;
	c->has_exit_code = s->state == RT_ST_EXITED;
	c->exit_code = c->has_exit_code ? s->exit_code : 0;
	c->error[0] = '\0';
}

static bool overdue(const struct qt_ctr *c)
{
	return c->deadline_ms > 0 && qt_now_ms() > c->deadline_ms;
}

/* Made, and never started since: a copy that is left to its caller. */
static bool resting(const struct qt_ctr *c)
{
	return c->state == QT_ST_CREATED && c->deadline_ms == 0;
}

/* Names, labels and environments are Redis's to say; the runtime's record is what they are mended from. */
static int copy_record(struct qt_life *l, const struct qt_ctr *c, struct seen *s, struct qt_settled *ret, struct qt_err *e)
{
	struct rt_record_req req = {.id = c->id};
	auto_free char *text = NULL;
	struct rt_record_rep rep;
	struct qt_ctr now;
	int r;

	if (s->has_record && qt_streq(s->record.name, c->name) && json_equal(s->record.environment, c->environment) &&
	    json_equal(s->record.labels, c->labels) && json_equal(s->record.routes, c->routes))
		return 0;
	/* A worker may be about to do the same: the newest is to win. */
	if (qt_store_ctr_get(l->store, &c->tenant, c->id.s, &now, e) < 0)
		return unless_raced(e);
	text = qt_ctr_dump(&now, e);
	qt_ctr_done(&now);
	if (!text)
		return -1;
	req.record = rt_str(text);
	r = rt_record(&l->rt, &req, &rep, GET_BUDGET_MS, e);
	if (r < 0)
		return unless_raced(e);
	ret->copied++;
	return 0;
}

static int finish_delete(struct qt_life *l, struct qt_ctr *c, struct qt_settled *ret, struct qt_err *e)
{
	if (qt_life_delete(l, c, e) < 0)
		return unless_raced(e);
	ret->deleted++;
	return 0;
}

static int remove_record(struct qt_life *l, const struct qt_ctr *c, unsigned *count, struct qt_err *e)
{
	if (qt_store_ctr_remove(l->store, &c->tenant, &c->id, e) < 0)
		return unless_raced(e);
	(*count)++;
	return 0;
}

static int lost(struct qt_life *l, struct qt_ctr *c, struct qt_settled *ret, struct qt_err *e)
{
	/* It is not running as far as the bill goes. */
	const char *usage = c->state == QT_ST_RUNNING ? "container_stopped" : NULL;

	c->pid = 0;
	if (usage)
		c->exited_ms = qt_now_ms();
	(void)qt_copy(c->error, sizeof(c->error), "lost by the node");
	return move(l, c, QT_ST_ERROR, "died", usage, &ret->lost, e);
}

/* Whoever began to delete it is still at it, for all we know. */
static bool delete_under_way(const struct qt_life *l, const struct qt_ctr *c)
{
	return qt_now_ms() < c->deleting_ms + (int64_t)l->conf->stop_timeout_ms + DELETE_SLACK_MS;
}

/* The runtime does not know it. TWICE: nor did it the time before. */
static int absent(struct qt_life *l, struct qt_ctr *c, bool twice, struct qt_settled *ret, struct qt_err *e)
{
	if (c->deleting_ms > 0)
		return delete_under_way(l, c) ? 0 : finish_delete(l, c, ret, e);
	if (c->state == QT_ST_CREATED && !resting(c))
		return overdue(c) ? remove_record(l, c, &ret->released, e) : 0;
	if (c->state == QT_ST_ERROR || !twice || (c->state == QT_ST_STARTING && !overdue(c)))
		return 0;
	return lost(l, c, ret, e);
}

/* A container of a build is its executor's to take away, as long as the operation is not over: 1. */
static int over(struct qt_life *l, const struct qt_ctr *c, struct qt_err *e)
{
	struct qt_op o;
	int r;

	if (qt_store_op_get(l->store, &c->tenant, c->build.s, &o, e) < 0) {
		if (e->code != QT_E_OPERATION_NOT_FOUND)
			return -1;
		qt_err_reset(e);
		return 1;
	}
	r = qt_op_final(o.status);
	qt_op_done(&o);
	return r;
}

/* C is Redis's word, S the runtime's, and asked for after C was read: a change that S does not show yet makes the move from C's state
 * fail. */
static int mend(struct qt_life *l, struct qt_ctr *c, struct seen *s, bool twice, struct qt_settled *ret, struct qt_err *e)
{
	bool rt_runs = s->state == RT_ST_RUNNING, runs = c->state == QT_ST_RUNNING;
	bool coming = c->state == QT_ST_CREATED || c->state == QT_ST_STARTING;

	if (s->making)
		return 0;
	if (c->build.s[0]) {
		int is_over = over(l, c, e);

		if (is_over != 0)
			return is_over < 0 ? -1 : finish_delete(l, c, ret, e);
	}
	if (!s->there)
		return absent(l, c, twice, ret, e);
	if (s->state == RT_ST_CREATED && coming && overdue(c)) {
		take(c, s);
		c->deadline_ms = 0;
		if (move(l, c, QT_ST_CREATED, NULL, NULL, &ret->adopted, e) < 0)
			return -1;
	} else if (!rt_runs && (runs || (coming && overdue(c)))) {
		take(c, s);
		if (move(l, c, QT_ST_EXITED, "died", runs ? "container_stopped" : NULL, &ret->ended, e) < 0)
			return -1;
	}
	if (c->deleting_ms > 0)
		return delete_under_way(l, c) ? 0 : finish_delete(l, c, ret, e);
	if (rt_runs && (!runs || c->pid != s->pid || c->started_ms != s->started_ms)) {
		take(c, s);
		if (move(l, c, QT_ST_RUNNING, runs ? NULL : "started", runs ? NULL : "container_started", &ret->adopted, e) < 0)
			return -1;
	}
	return (c->state == QT_ST_CREATED && !resting(c)) || c->state == QT_ST_STARTING ? 0 : copy_record(l, c, s, ret, e);
}

static int restore(struct qt_life *l, struct seen *s, struct qt_settled *ret, struct qt_err *e)
{
	struct qt_ctr *c = &s->record;
	struct seen again;

	take(c, s);
	c->state = s->state == RT_ST_RUNNING ? QT_ST_RUNNING : s->state == RT_ST_CREATED ? QT_ST_CREATED : QT_ST_EXITED;
	c->deadline_ms = c->deleting_ms = 0;
	(void)qt_copy(c->node, sizeof(c->node), l->conf->node);
	if (qt_store_ctr_restore(l->store, c, e) < 0)
		return unless_raced(e);
	ret->restored++;
	/* Deleted while we looked at it? Then it must not come back. */
	if (see(l, &c->id, &again, e) < 0)
		return -1;
	if (!again.there)
		return remove_record(l, c, &ret->released, e);
	seen_done(&again);
	return 0;
}

int qt_settle_find(struct qt_life *l, const struct qt_id *id, struct qt_ctr *ret, struct qt_err *e)
{
	auto_seen struct seen s;

	if (see(l, id, &s, e) < 0)
		return -1;
	if (!s.there)
		return qt_fail(e, QT_E_CONTAINER_NOT_FOUND, "there is no such container");
	return qt_store_ctr_get(l->store, &s.tenant, id->s, ret, e);
}

/* One that Redis did not list. */
static int stray(struct qt_life *l, const struct qt_id *id, struct qt_settled *ret, struct qt_err *e)
{
	auto_seen struct seen first;
	struct qt_ctr c;
	int r;

	if (see(l, id, &first, e) < 0)
		return -1;
	if (!first.there)
		return 0;
	if (qt_store_ctr_get(l->store, &first.tenant, id->s, &c, e) == 0) {
		auto_seen struct seen s;

		/* Anew, since it must be asked for after Redis (mend). */
		r = see(l, id, &s, e);
		if (r == 0)
			r = mend(l, &c, &s, false, ret, e);
		qt_ctr_done(&c);
		return r;
	}
	if (e->code != QT_E_CONTAINER_NOT_FOUND)
		return -1;
	qt_err_reset(e);
	if (!first.has_record) {
		ret->strange++;
		return 0;
	}
	return restore(l, &first, ret, e);
}

int qt_settle_id(struct qt_life *l, const struct qt_id *id, struct qt_settled *ret, struct qt_err *e)
{
	return stray(l, id, ret, e);
}

/* --- all of them --------------------------------------------------------------------------------------- */

static int list_runtime(struct qt_life *l, struct qt_ids *ret, struct qt_err *e)
{
	char after[QT_ID_MAX + 1] = "";

	for (;;) {
		struct rt_list_req req = {.after = rt_str(after)};
		struct rt_list_rep rep;
		int r;

		if (rt_list(&l->rt, &req, &rep, GET_BUDGET_MS, e) < 0)
			return -1;
		r = qt_ids_add_page(ret, &rep.ids, NULL, after, e);
		if (r <= 0)
			return r;
	}
}

void qt_settle_done(struct qt_settle *s)
{
	free(qt_take(&s->before));
	s->n_before = 0;
}

static int compare(struct qt_life *l, struct qt_settle *st, const struct qt_ctr_list *redis, struct qt_ids *known, struct qt_ids *suspects,
		   struct qt_settled *ret, struct qt_err *e)
{
	auto_ids struct qt_ids here = {0};

	for (size_t i = 0; i < redis->n; i++) {
		struct qt_ctr *c = &redis->v[i];
		auto_seen struct seen s = {0};

		if (qt_ids_add(known, &c->id, e) < 0 || see(l, &c->id, &s, e) < 0 ||
		    mend(l, c, &s, qt_ids_have(&(struct qt_ids){st->before, st->n_before, 0}, &c->id), ret, e) < 0)
			return -1;
		if (!s.there && qt_ids_add(suspects, &c->id, e) < 0)
			return -1;
	}
	if (list_runtime(l, &here, e) < 0)
		return -1;
	qt_ids_sort(known);
	for (size_t i = 0; i < here.n; i++)
		if (!qt_ids_have(known, &here.v[i]) && stray(l, &here.v[i], ret, e) < 0)
			return -1;
	return 0;
}

int qt_settle_all(struct qt_life *l, struct qt_settle *st, struct qt_settled *ret, struct qt_err *e)
{
	auto_ids struct qt_ids known = {0}, suspects = {0};
	struct qt_ctr_list redis;
	int r;

	/* Volumes first: containers have them. */
	if (qt_settle_volumes(l, ret, e) < 0 || qt_settle_snapshots(l, ret, e) < 0 || qt_settle_images(l, ret, e) < 0 || qt_store_ctr_of_node(l->store, l->conf->node, &redis, e) < 0)
		return -1;
	r = compare(l, st, &redis, &known, &suspects, ret, e);
	qt_ctr_list_done(&redis);
	if (r < 0)
		return -1;
	qt_settle_done(st);
	qt_ids_sort(&suspects);
	st->n_before = suspects.n;
	st->before = qt_take(&suspects.v);
	return 0;
}
