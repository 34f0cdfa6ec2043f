/* The records of terminals in Redis, and what is done now and then: sessions that are over are ended; and once, at our start, all sessions of the node are taken up
 * again, so that what runs in them goes on whether anybody is attached or not. */
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "str.h"
#include "terminal_in.h"
#include "ticket.h"

#define TOUCH_MS   20000 /* how often the record hears of activity */
#define SWEEP_MS   2000
#define SWEEP_MOST 1000 /* sessions that are over, looked at in one turn */
#define TAKE_MOST  10000 /* sessions of a node that are taken up; the others when somebody attaches */

/* --- the record ------------------------------------------------------------------------------------------ */

struct record_job {
	struct sq_job job;
	struct qt_session x;
	bool end;
};

static void record_work(struct sq_job *j, struct qt_life *l)
{
	struct record_job *r = lws_container_of(j, struct record_job, job);
	struct qt_err e = {0};
	int rc = r->end ? qt_life_session_end(l, &r->x, &e) : qt_store_session_touch(l->store, &r->x, qt_session_due(l->conf, &r->x), &e);

	if (rc < 0 && e.code != QT_E_SESSION_NOT_FOUND)
		qt_log_err(QT_LOG_WARN, &e, "session %s: its record is not up to date", r->x.id.s);
}

static void record_done(struct sq_job *j)
{
	struct record_job *r = lws_container_of(j, struct record_job, job);
	struct sq_terminal *t = sq_terminal_find(&r->x.id);

	if (t)
		t->touching = false;
	free(r);
}

/* One at a time for a session, so that an older state never comes last. */
void sq_terminal_record(struct sq_terminal *t, bool end)
{
	struct record_job *r;

	t->dirty = true;
	if (t->touching && !end)
		return;
	r = calloc(1, sizeof(*r));
	if (!r)
		return;
	t->x.attached = t->n_clients;
	*r = (struct record_job){.job = {.work = record_work, .done = record_done, .tenant = t->x.tenant}, .x = t->x, .end = end};
	t->dirty = false;
	t->touching = true;
	t->touched = qt_mono_ms();
	sq_job_submit(t->sq, &r->job);
}

static void record_if_due(struct sq_terminal *t)
{
	if (t->dirty && !t->touching && qt_mono_ms() - t->touched >= TOUCH_MS)
		sq_terminal_record(t, false);
}

/* --- taking up ------------------------------------------------------------------------------------------- */

struct take_job {
	struct sq_job job;
	struct sq *sq;
	struct qt_id id;
	struct qt_session x;
	struct qt_terminal ends;
};

static void take_work(struct sq_job *j, struct qt_life *l)
{
	struct take_job *k = lws_container_of(j, struct take_job, job);
	struct qt_err e = {0};

	if ((qt_life_session_get(l, &j->tenant, k->id.s, &k->x, &e) < 0 || qt_life_session_attach(l, &k->x, &k->ends, &e) < 0) &&
	    e.code != QT_E_SESSION_NOT_FOUND)
		qt_log_err(QT_LOG_WARN, &e, "session %s stands still until somebody attaches", k->id.s);
}

static void take_done(struct sq_job *j)
{
	struct take_job *k = lws_container_of(j, struct take_job, job);

	if (k->ends.master >= 0)
		(void)sq_terminal_of(k->sq, &k->x, &k->ends);
	qt_terminal_done(&k->ends);
	free(k);
}

static void take(struct sq *sq, const struct qt_session_name *name)
{
	struct take_job *k = sq_terminal_find(&name->id) ? NULL : calloc(1, sizeof(*k));

	if (!k)
		return;
	*k = (struct take_job){.job = {.work = take_work, .done = take_done, .tenant = name->tenant}, .sq = sq, .id = name->id, .ends = QT_TERMINAL_NONE};
	sq_job_submit(sq, &k->job);
}

/* --- what is over ---------------------------------------------------------------------------------------- */

/* In its tenant's turn: an init that does not answer holds up nobody else's. */
struct end_job {
	struct sq_job job;
	struct end_job *next, **self; /* of those under way */
	struct qt_id id;
};
static struct end_job *ending;

static void end_work(struct sq_job *j, struct qt_life *l)
{
	struct end_job *k = lws_container_of(j, struct end_job, job);
	struct qt_err e = {0};
	struct qt_session x;

	if (qt_store_session_get(l->store, &j->tenant, k->id.s, &x, &e) < 0)
		return;
	qt_log(QT_LOG_INFO, "session %s is over: %s", x.id.s, x.expires_ms <= qt_now_ms() ? "its time is up" : "nothing was typed or written for long");
	if (qt_life_session_end(l, &x, &e) < 0)
		qt_log_err(QT_LOG_WARN, &e, "session %s cannot be ended yet", x.id.s);
}

static void end_done(struct sq_job *j)
{
	struct end_job *k = lws_container_of(j, struct end_job, job);

	*k->self = k->next;
	if (k->next)
		k->next->self = k->self;
	free(k);
}

/* The record hears of activity now and then only: something was typed or written since. */
static bool goes_on(struct sq *sq, const struct qt_id *id)
{
	struct sq_terminal *t = sq_terminal_find(id);

	if (!t || qt_session_due(&sq->conf, &t->x) <= qt_now_ms())
		return false;
	sq_terminal_record(t, false);
	return true;
}

static void end(struct sq *sq, const struct qt_session_name *name)
{
	struct end_job *k = ending;

	if (goes_on(sq, &name->id))
		return;
	while (k && !qt_streq(k->id.s, name->id.s))
		k = k->next;
	if (k)
		return;
	k = calloc(1, sizeof(*k));
	if (!k)
		return;
	*k = (struct end_job){.job = {.work = end_work, .done = end_done, .tenant = name->tenant}, .next = ending, .self = &ending, .id = name->id};
	if (k->next)
		k->next->self = &k->next;
	ending = k;
	sq_job_submit(sq, &k->job);
}

/* --- now and then ---------------------------------------------------------------------------------------- */

struct names {
	struct qt_session_name *v;
	int n;
};
static struct sweep {
	struct sq_job job;
	struct sq *sq;
	struct names here, over; /* all sessions, at our start; those that are over */
	bool began;
} sweep;
static lws_sorted_usec_list_t timer;

static bool find(struct qt_life *l, int64_t until_ms, unsigned most, struct names *ret)
{
	struct qt_err e = {0};

	ret->v = calloc(most, sizeof(*ret->v));
	ret->n = ret->v ? qt_store_sessions_due(l->store, l->conf->node, until_ms, ret->v, most, &e) : -1;
	if (ret->n > 0)
		return true;
	free(qt_take(&ret->v));
	return ret->n == 0;
}

static void sweep_work(struct sq_job *j, struct qt_life *l)
{
	struct sweep *s = lws_container_of(j, struct sweep, job);
	struct qt_err e = {0};

	/* Whoever was attached to an earlier life of ours is not any more. */
	if (!s->began)
		s->began = qt_store_sessions_reset(l->store, l->conf->node, &e) == 0 && find(l, INT64_MAX, TAKE_MOST, &s->here);
	(void)find(l, qt_now_ms(), SWEEP_MOST, &s->over);
}

static void on_timer(lws_sorted_usec_list_t *sul)
{
	(void)sul;
	sq_tickets_sweep(qt_mono_ms());
	sq_terminal_each(record_if_due);
	sq_job_submit(sweep.sq, &sweep.job);
}

static void sweep_done(struct sq_job *j)
{
	struct sweep *s = lws_container_of(j, struct sweep, job);

	for (int i = 0; i < s->here.n; i++)
		take(s->sq, &s->here.v[i]);
	for (int i = 0; i < s->over.n; i++)
		end(s->sq, &s->over.v[i]);
	free(s->here.v);
	free(s->over.v);
	s->here = s->over = (struct names){0};
	lws_sul_schedule(s->sq->lws, 0, &timer, on_timer, SWEEP_MS * LWS_US_PER_MS);
}

void sq_terminals_open(struct sq *sq)
{
	sweep = (struct sweep){.job = {.work = sweep_work, .done = sweep_done}, .sq = sq};
	lws_sul_schedule(sq->lws, 0, &timer, on_timer, 1);
}
