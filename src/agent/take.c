/* From the node's stream into the queue, and from there to the slots. One thread claims for all, so that it knows whether a slot is free: what
 * begins at once is claimed as running, else as queued. The leases of both are renewed (beat.c). */
#include <string.h>
#include <time.h>

#include "agent.h"
#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "str.h"

#define WAIT_MS	    1000
#define LOOK_MS	    500
#define AWAY_GAP_MS 500

/* Under the lock. */
static void wait_for_change(struct agent *a)
{
	int64_t until = qt_mono_ms() + LOOK_MS;
	struct timespec t = {until / 1000, (until % 1000) * 1000000L};

	(void)pthread_cond_timedwait(&a->work, &a->lock, &t);
}

/* Slots that TENANT has; with QUEUED, and places in the queue. */
static unsigned held(const struct agent *a, const struct qt_id *tenant, bool queued)
{
	unsigned n = 0;

	for (unsigned i = 0; i < AGENT_SLOTS; i++)
		n += a->slots[i].busy && qt_streq(a->slots[i].lease.op.tenant.s, tenant->s);
	for (unsigned i = 0; queued && i < a->n_queue; i++)
		n += qt_streq(a->queue[i].op.tenant.s, tenant->s);
	return n;
}

static bool too_many_pulls(const struct agent *a)
{
	unsigned n = 0;

	for (unsigned i = 0; i < AGENT_SLOTS; i++)
		n += a->slots[i].busy && a->slots[i].lease.op.type == QT_OPT_IMG_PULL;
	return n >= AGENT_PULLS;
}

static bool too_many_builds(const struct agent *a)
{
	unsigned n = 0;

	for (unsigned i = 0; i < AGENT_SLOTS; i++)
		n += a->slots[i].busy && a->slots[i].lease.op.type == QT_OPT_IMG_BUILD;
	return n >= AGENT_BUILDS;
}

static bool must_wait(const struct agent *a, const struct qt_op *o)
{
	return held(a, &o->tenant, false) >= AGENT_TENANT_SLOTS || (o->type == QT_OPT_IMG_PULL && too_many_pulls(a)) ||
	       (o->type == QT_OPT_IMG_BUILD && too_many_builds(a));
}

/* The place in the queue of the oldest that may begin; n_queue if there is none. */
static unsigned next_of(const struct agent *a)
{
	unsigned k = 0;

	while (k < a->n_queue && must_wait(a, &a->queue[k].op))
		k++;
	return k;
}

bool agent_take(struct agent *a, unsigned i, struct qt_op_entry *ret)
{
	unsigned k;
	bool found;

	(void)pthread_mutex_lock(&a->lock);
	a->n_idle++;
	k = next_of(a);
	if (k == a->n_queue) {
		wait_for_change(a);
		k = next_of(a);
	}
	a->n_idle--;
	found = k < a->n_queue;
	if (found) {
		*ret = a->queue[k];
		memmove(a->queue + k, a->queue + k + 1, (--a->n_queue - k) * sizeof(a->queue[0]));
		a->slots[i].lease = *ret;
		a->slots[i].busy = true;
		(void)pthread_cond_broadcast(&a->work);
	}
	(void)pthread_mutex_unlock(&a->lock);
	return found;
}

void agent_let_go(struct agent *a, unsigned i)
{
	(void)pthread_mutex_lock(&a->lock);
	a->slots[i].busy = false;
	(void)pthread_cond_broadcast(&a->work);
	(void)pthread_mutex_unlock(&a->lock);
}

/* May a tenant have no slot more, counting what waits? Then nobody knows whether what comes next begins at once. */
static bool crowded(const struct agent *a)
{
	for (unsigned i = 0; i < AGENT_SLOTS; i++)
		if (a->slots[i].busy && held(a, &a->slots[i].lease.op.tenant, true) >= AGENT_TENANT_SLOTS)
			return true;
	for (unsigned i = 0; i < a->n_queue; i++)
		if (held(a, &a->queue[i].op.tenant, true) >= AGENT_TENANT_SLOTS)
			return true;
	return false;
}

/* There is room in the queue. *NOW: and a slot for what comes next, which only gets truer until it is put in: this thread alone puts in. */
static bool room(struct agent *a, bool *now)
{
	bool is;

	(void)pthread_mutex_lock(&a->lock);
	if (a->n_queue == AGENT_QUEUE)
		wait_for_change(a);
	is = a->n_queue < AGENT_QUEUE;
	*now = a->n_idle > a->n_queue && !crowded(a);
	(void)pthread_mutex_unlock(&a->lock);
	return is;
}

/* Is it under way here, or does it wait here? Then it is not abandoned, even if Redis was away for so long that its lease has run out. */
static bool is_ours(void *arg, const char *op)
{
	struct agent *a = arg;
	bool is = false;

	(void)pthread_mutex_lock(&a->lock);
	for (unsigned i = 0; i < AGENT_SLOTS; i++)
		is |= a->slots[i].busy && qt_streq(a->slots[i].lease.op.id.s, op);
	for (unsigned i = 0; i < a->n_queue; i++)
		is |= qt_streq(a->queue[i].op.id.s, op);
	(void)pthread_mutex_unlock(&a->lock);
	return is;
}

static void put(struct agent *a, const struct qt_op_entry *x)
{
	(void)pthread_mutex_lock(&a->lock);
	a->queue[a->n_queue++] = *x;
	(void)pthread_cond_broadcast(&a->work);
	(void)pthread_mutex_unlock(&a->lock);
}

void *agent_take_main(void *arg)
{
	struct agent_trouble away = {.what = "operations cannot be fetched"};
	struct agent *a = arg;
	const struct qt_op_held ours = {is_ours, a};
	bool orphaned = false;
	struct qt_store *s;
	struct qt_err e = {0};

	while (qt_store_new(&s, &a->conf, &e) < 0) {
		agent_trouble(&away, &e);
		qt_err_reset(&e);
		agent_pause(a, AWAY_GAP_MS);
		if (atomic_load(&a->stopping))
			return NULL;
	}
	while (!atomic_load(&a->stopping)) {
		struct qt_op_entry x;
		bool now;
		int r = 0;

		if (!room(a, &now))
			continue;
		memset(&x, 0, sizeof(x));
		qt_err_reset(&e);
		/* Whoever had the lock on our directory before us is dead, and does not renew his leases. */
		if (!orphaned)
			r = qt_store_op_orphan(s, a->conf.node, a->conf.node, &e);
		orphaned |= r == 0;
		/* Before Redis is asked for what nobody has: after it was away, that would be all of ours. */
		if (r == 0 && !agent_renewed(a, AGENT_LEASE_MS / 2))
			r = agent_renew(a, s, &e);
		if (r == 0)
			r = qt_store_op_next(s, a->conf.node, a->conf.node, WAIT_MS, AGENT_LEASE_MS, now, &ours, &x, &e);
		if (r < 0) {
			agent_trouble(&away, &e);
			agent_pause(a, AWAY_GAP_MS);
			continue;
		}
		agent_well(&away);
		if (r > 0)
			put(a, &x);
	}
	qt_store_free(s);
	return NULL;
}
