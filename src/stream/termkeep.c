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
#define SWEEP_MOST 16
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

/* --- now and then ---------------------------------------------------------------------------------------- */

static struct sweep {
	struct sq_job job;
	struct sq *sq;
	struct qt_session_name *found; /* at our start: all, n of them */
	int n;
	bool began;
} sweep;
static lws_sorted_usec_list_t timer;

/* Whoever was attached to an earlier life of ours is not any more. */
static void begin(struct sweep *s, struct qt_life *l)
{
	struct qt_err e = {0};

	if (qt_store_sessions_reset(l->store, l->conf->node, &e) < 0)
		return;
	s->found = calloc(TAKE_MOST, sizeof(*s->found));
	s->n = s->found ? qt_store_sessions_due(l->store, l->conf->node, INT64_MAX, s->found, TAKE_MOST, &e) : -1;
	s->began = s->n >= 0;
	if (!s->began)
		free(qt_take(&s->found));
}

static void sweep_work(struct sq_job *j, struct qt_life *l)
{
	struct sweep *s = lws_container_of(j, struct sweep, job);
	struct qt_session_name names[SWEEP_MOST];
	struct qt_err e = {0};
	int n;

	if (!s->began)
		begin(s, l);
	n = qt_store_sessions_due(l->store, l->conf->node, qt_now_ms(), names, SWEEP_MOST, &e);
	for (int i = 0; i < n; i++) {
		struct qt_session x;
		struct qt_err why = {0};

		if (qt_store_session_get(l->store, &names[i].tenant, names[i].id.s, &x, &why) < 0)
			continue;
		qt_log(QT_LOG_INFO, "session %s is over: %s", x.id.s,
		       x.expires_ms <= qt_now_ms() ? "its time is up" : "nothing was typed or written for long");
		if (qt_life_session_end(l, &x, &why) < 0)
			qt_log_err(QT_LOG_WARN, &why, "session %s cannot be ended yet", x.id.s);
	}
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

	for (int i = 0; s->found && i < s->n; i++) {
		struct take_job *k = sq_terminal_find(&s->found[i].id) ? NULL : calloc(1, sizeof(*k));

		if (!k)
			continue;
		*k = (struct take_job){.job = {.work = take_work, .done = take_done, .tenant = s->found[i].tenant}, .sq = s->sq, .id = s->found[i].id,
				       .ends = QT_TERMINAL_NONE};
		sq_job_submit(s->sq, &k->job);
	}
	free(qt_take(&s->found));
	lws_sul_schedule(s->sq->lws, 0, &timer, on_timer, SWEEP_MS * LWS_US_PER_MS);
}

void sq_terminals_open(struct sq *sq)
{
	sweep = (struct sweep){.job = {.work = sweep_work, .done = sweep_done}, .sq = sq};
	lws_sul_schedule(sq->lws, 0, &timer, on_timer, 1);
}
