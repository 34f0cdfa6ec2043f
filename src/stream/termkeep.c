/* The records of terminals in Redis, and what is done now and then: sessions that are over are ended; and all sessions of the node are taken up, at our start and
 * from time to time, so that what runs in them goes on whether anybody is attached or not, and so that somebody knows of them if Redis loses their records. */
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "str.h"
#include "terminal_in.h"
#include "ticket.h"

#define TOUCH_MS   20000 /* how often the record hears of activity, or is looked for; and how often those are looked for that we do not have */
#define SWEEP_MS   2000
#define SWEEP_MOST 1000 /* sessions that are over, looked at in one turn */
#define TAKE_MOST  10000 /* sessions of a node that are looked for; the others are taken up when somebody attaches */

/* --- the record ------------------------------------------------------------------------------------------ */

enum what { LOOK, TOUCH, END };
struct record_job {
	struct sq_job job;
	struct qt_session x;
	enum what what;
	bool lost; /* and not there again */
};

static int keep_record(struct qt_life *l, const struct record_job *r, struct qt_err *e)
{
	struct qt_session seen;
	int rc = r->what == TOUCH ? qt_store_session_touch(l->store, &r->x, qt_session_due(l->conf, &r->x), e)
				  : qt_store_session_get(l->store, &r->x.tenant, r->x.id.s, &seen, e);

	if (rc == 0 || e->code != QT_E_SESSION_NOT_FOUND)
		return rc;
	qt_err_reset(e);
	rc = qt_life_session_restore(l, &r->x, e);
	if (rc == 0)
		qt_log(QT_LOG_INFO, "session %s: its record was lost, and is there again", r->x.id.s);
	return rc;
}

static void record_work(struct sq_job *j, struct qt_life *l)
{
	struct record_job *r = lws_container_of(j, struct record_job, job);
	struct qt_err e = {0};
	int rc = r->what == END ? qt_life_session_end(l, &r->x, &e) : keep_record(l, r, &e);

	r->lost = rc < 0 && e.code == QT_E_SESSION_NOT_FOUND;
	if (rc < 0 && !r->lost)
		qt_log_err(QT_LOG_WARN, &e, "session %s: its record is not up to date", r->x.id.s);
}

static void record_done(struct sq_job *j)
{
	struct record_job *r = lws_container_of(j, struct record_job, job);
	struct sq_terminal *t = sq_terminal_find(&r->x.id);

	if (t) {
		t->touching = false;
		if (r->lost) /* its container's record comes first: soon, from the agent */
			t->touched = 0;
	}
	free(r);
}

static void submit(struct sq_terminal *t, enum what what)
{
	struct record_job *r = calloc(1, sizeof(*r));

	if (!r)
		return;
	t->x.attached = t->n_clients;
	*r = (struct record_job){.job = {.work = record_work, .done = record_done, .tenant = t->x.tenant}, .x = t->x, .what = what};
	t->dirty = false;
	t->touching = true;
	t->touched = qt_mono_ms();
	sq_job_submit(t->sq, &r->job);
}

/* One at a time for a session, so that an older state never comes last. */
void sq_terminal_record(struct sq_terminal *t, bool end)
{
	t->dirty = true;
	if (!t->touching || end)
		submit(t, end ? END : TOUCH);
}

static void record_if_due(struct sq_terminal *t)
{
	if (!t->touching && qt_mono_ms() - t->touched >= TOUCH_MS)
		submit(t, t->dirty ? TOUCH : LOOK);
}

/* --- taking up ------------------------------------------------------------------------------------------- */

struct take_job {
	struct sq_job job;
	struct sq *sq;
	struct qt_id id;
	struct qt_session x;
	struct qt_terminal ends;
};
static unsigned taking;

static void take_work(struct sq_job *j, struct qt_life *l)
{
	struct take_job *k = lws_container_of(j, struct take_job, job);
	struct qt_err e = {0};

	if ((qt_life_session_get(l, &j->tenant, k->id.s, &k->x, &e) < 0 || qt_life_session_attach(l, &k->x, &k->ends, &e) < 0) &&
	    e.code != QT_E_SESSION_NOT_FOUND)
		qt_log_err(QT_LOG_WARN, &e, "session %s cannot be taken up yet", k->id.s);
}

static void take_done(struct sq_job *j)
{
	struct take_job *k = lws_container_of(j, struct take_job, job);

	if (k->ends.master >= 0)
		(void)sq_terminal_of(k->sq, &k->x, &k->ends);
	qt_terminal_done(&k->ends);
	free(k);
	taking--;
}

static void take(struct sq *sq, const struct qt_session_name *name)
{
	struct take_job *k = sq_terminal_find(&name->id) ? NULL : calloc(1, sizeof(*k));

	if (!k)
		return;
	*k = (struct take_job){.job = {.work = take_work, .done = take_done, .tenant = name->tenant}, .sq = sq, .id = name->id, .ends = QT_TERMINAL_NONE};
	taking++;
	sq_job_submit(sq, &k->job);
}

/* --- what is over ---------------------------------------------------------------------------------------- */

/* In its tenant's turn: an init that does not answer holds up nobody else's. */
struct end_job {
	struct sq_job job;
	struct end_job *next, **self; /* of those under way */
	struct qt_id id;
	bool held; /* X is it as we know it; else Redis says that it is over */
	struct qt_session x;
};
static struct end_job *ending;

/* What is to be ended, or false. Of a session that we hold the record may be lost, or say that somebody had to do with it elsewhere (who resized it). */
static bool is_over(struct end_job *k, struct qt_life *l, struct qt_session *ret)
{
	struct qt_err e = {0};
	int rc = qt_store_session_get(l->store, &k->job.tenant, k->id.s, ret, &e);

	if (!k->held)
		return rc == 0;
	if (rc == 0)
		k->x.last_ms = ret->last_ms > k->x.last_ms ? ret->last_ms : k->x.last_ms;
	else if (e.code != QT_E_SESSION_NOT_FOUND)
		return false;
	*ret = k->x;
	return qt_session_due(l->conf, ret) <= qt_now_ms();
}

static void end_work(struct sq_job *j, struct qt_life *l)
{
	struct end_job *k = lws_container_of(j, struct end_job, job);
	struct qt_err e = {0};
	struct qt_session x;

	if (!is_over(k, l, &x))
		return;
	qt_log(QT_LOG_INFO, "session %s is over: %s", x.id.s, x.expires_ms <= qt_now_ms() ? "its time is up" : "nothing was typed or written for long");
	if (qt_life_session_end(l, &x, &e) < 0)
		qt_log_err(QT_LOG_WARN, &e, "session %s cannot be ended yet", x.id.s);
}

static void end_done(struct sq_job *j)
{
	struct end_job *k = lws_container_of(j, struct end_job, job);
	struct sq_terminal *t = sq_terminal_find(&k->id);

	if (t && k->held && t->x.last_ms < k->x.last_ms)
		t->x.last_ms = k->x.last_ms;
	*k->self = k->next;
	if (k->next)
		k->next->self = k->self;
	free(k);
}

/* T: NULL if it is not held here. */
static void end(struct sq *sq, const struct qt_id *tenant, const struct qt_id *id, const struct sq_terminal *t)
{
	struct end_job *k = ending;

	while (k && !qt_streq(k->id.s, id->s))
		k = k->next;
	if (k)
		return;
	k = calloc(1, sizeof(*k));
	if (!k)
		return;
	*k = (struct end_job){.job = {.work = end_work, .done = end_done, .tenant = *tenant}, .next = ending, .self = &ending, .id = *id, .held = t != NULL};
	if (t)
		k->x = t->x;
	if (k->next)
		k->next->self = &k->next;
	ending = k;
	sq_job_submit(sq, &k->job);
}

static bool is_due(const struct sq_terminal *t)
{
	return qt_session_due(&t->sq->conf, &t->x) <= qt_now_ms();
}

/* Whatever Redis says, or does not say any more. */
static void end_if_due(struct sq_terminal *t)
{
	if (is_due(t))
		end(t->sq, &t->x.tenant, &t->x.id, t);
}

/* The record hears of activity now and then only: something may have been typed or written since. */
static void end_as_listed(struct sq *sq, const struct qt_session_name *name)
{
	struct sq_terminal *t = sq_terminal_find(&name->id);

	if (t && !is_due(t))
		sq_terminal_record(t, false);
	else
		end(sq, &name->tenant, &name->id, t);
}

/* --- now and then ---------------------------------------------------------------------------------------- */

struct names {
	struct qt_session_name *v;
	int n;
};
static struct sweep {
	struct sq_job job;
	struct sq *sq;
	struct names here, over; /* all sessions; those that are over */
	bool began, look, found; /* all are looked for in this turn; and they were found */
	int64_t look_at;
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
		s->began = qt_store_sessions_reset(l->store, l->conf->node, &e) == 0;
	s->found = s->began && s->look && find(l, INT64_MAX, TAKE_MOST, &s->here);
	(void)find(l, qt_now_ms(), SWEEP_MOST, &s->over);
}

static void on_timer(lws_sorted_usec_list_t *sul)
{
	(void)sul;
	sq_tickets_sweep(qt_mono_ms());
	sq_terminal_each(record_if_due);
	sq_terminal_each(end_if_due);
	/* Not before each of those of last time has had its answer: they may belong to inits that stand still. */
	sweep.look = taking == 0 && qt_mono_ms() >= sweep.look_at;
	sq_job_submit(sweep.sq, &sweep.job);
}

static void sweep_done(struct sq_job *j)
{
	struct sweep *s = lws_container_of(j, struct sweep, job);

	for (int i = 0; i < s->here.n; i++)
		take(s->sq, &s->here.v[i]);
	for (int i = 0; i < s->over.n; i++)
		end_as_listed(s->sq, &s->over.v[i]);
	free(s->here.v);
	free(s->over.v);
	s->here = s->over = (struct names){0};
	if (s->found)
		s->look_at = qt_mono_ms() + TOUCH_MS;
	lws_sul_schedule(s->sq->lws, 0, &timer, on_timer, SWEEP_MS * LWS_US_PER_MS);
}

void sq_terminals_open(struct sq *sq)
{
	sweep = (struct sweep){.job = {.work = sweep_work, .done = sweep_done}, .sq = sq};
	lws_sul_schedule(sq->lws, 0, &timer, on_timer, 1);
}
