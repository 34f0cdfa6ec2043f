/* The threads for what blocks: Redis, the runtime, and all handlers of routes. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "cleanup.h"
#include "log.h"
#include "str.h"
#include "stream.h"

#define TENANT_SHARE 8 /* of the threads, one part */
#define BUCKETS	     256

struct queue {
	struct sq_job *first, **end;
};

/* What is to be done for one tenant. It is there while something is. */
struct sq_lane {
	struct sq_lane *next, **self; /* in its bucket */
	struct sq_lane *later;	      /* in the ring of those from which something can be taken */
	struct qt_id tenant;
	struct queue todo;
	unsigned running, most;
	bool in_ring;
};

struct sq_jobs {
	struct sq *sq;
	pthread_mutex_t lock; /* of all that follows, but for the loop's own */
	pthread_cond_t wake;
	struct sq_lane *lanes[BUCKETS], ours;
	struct sq_lane *ring, **ring_end;
	struct queue done;
	int event_fd; /* tells the loop that something is done */
	struct sq_watch watch;
};

static void put(struct queue *q, struct sq_job *j)
{
	j->next = NULL;
	*q->end = j;
	q->end = &j->next;
}

static struct sq_job *take(struct queue *q)
{
	struct sq_job *j = q->first;

	if (j && !(q->first = j->next))
		q->end = &q->first;
	return j;
}

/* --- lanes ----------------------------------------------------------------------------------------------- */

static struct sq_lane **bucket(struct sq_jobs *all, const struct qt_id *tenant)
{
	uint32_t h = 0;

	for (const char *s = tenant->s; *s; s++)
		h = h * 31 + (unsigned char)*s;
	return &all->lanes[h % BUCKETS];
}

static struct sq_lane *lane_of(struct sq_jobs *all, const struct qt_id *tenant)
{
	struct sq_lane **first = bucket(all, tenant), *l = *first;
	uint64_t threads = all->sq->conf.stream_threads;

	if (tenant->s[0] == '\0')
		return &all->ours;
	while (l && !qt_streq(l->tenant.s, tenant->s))
		l = l->next;
	if (l)
		return l;
	l = calloc(1, sizeof(*l));
	if (!l) /* fairness can wait */
		return &all->ours;
	*l = (struct sq_lane){.next = *first, .self = first, .tenant = *tenant};
	l->todo.end = &l->todo.first;
	l->most = threads < TENANT_SHARE ? 1 : (unsigned)(threads / TENANT_SHARE);
	if (l->next)
		l->next->self = &l->next;
	*first = l;
	return l;
}

static void lane_drop(struct sq_lane *l)
{
	*l->self = l->next;
	if (l->next)
		l->next->self = l->self;
	free(l);
}

/* At the end of the ring, if something of it can be taken, and it is not there. */
static void offer(struct sq_jobs *all, struct sq_lane *l)
{
	if (l->in_ring || !l->todo.first || l->running >= l->most)
		return;
	l->in_ring = true;
	l->later = NULL;
	*all->ring_end = l;
	all->ring_end = &l->later;
	(void)pthread_cond_signal(&all->wake);
}

/* One of the tenant whose turn it is. */
static struct sq_job *next_job(struct sq_jobs *all)
{
	struct sq_lane *l = all->ring;
	struct sq_job *j;

	if (!l)
		return NULL;
	all->ring = l->later;
	if (!all->ring)
		all->ring_end = &all->ring;
	l->in_ring = false;
	j = take(&l->todo);
	l->running++;
	offer(all, l);
	return j;
}

static void finished(struct sq_jobs *all, struct sq_job *j)
{
	struct sq_lane *l = j->lane;

	l->running--;
	offer(all, l);
	if (l != &all->ours && l->running == 0 && !l->todo.first)
		lane_drop(l);
	put(&all->done, j);
}

/* --- threads --------------------------------------------------------------------------------------------- */

static void *thread_main(void *arg)
{
	struct sq_jobs *all = arg;
	struct qt_err e = {0};
	struct qt_life l;

	if (qt_life_init(&l, &all->sq->conf, &e) < 0) {
		qt_log_err(QT_LOG_ERROR, &e, "a thread cannot begin");
		exit(1);
	}
	for (;;) {
		struct sq_job *j;

		(void)pthread_mutex_lock(&all->lock);
		while (!(j = next_job(all)))
			(void)pthread_cond_wait(&all->wake, &all->lock);
		(void)pthread_mutex_unlock(&all->lock);
		j->work(j, &l);
		(void)pthread_mutex_lock(&all->lock);
		finished(all, j);
		(void)pthread_mutex_unlock(&all->lock);
		(void)eventfd_write(all->event_fd, 1);
	}
	return NULL;
}

static void on_done(void *arg, uint32_t events)
{
	struct sq_jobs *all = arg;
	eventfd_t n;

	(void)events;
	(void)eventfd_read(all->event_fd, &n);
	for (;;) {
		struct sq_job *j;

		(void)pthread_mutex_lock(&all->lock);
		j = take(&all->done);
		(void)pthread_mutex_unlock(&all->lock);
		if (!j)
			break;
		j->done(j);
	}
	sq_watch_change(all->sq, &all->watch, EPOLLIN);
}

void sq_job_submit(struct sq *sq, struct sq_job *j)
{
	struct sq_jobs *all = sq->jobs;

	(void)pthread_mutex_lock(&all->lock);
	j->lane = lane_of(all, &j->tenant);
	put(&j->lane->todo, j);
	offer(all, j->lane);
	(void)pthread_mutex_unlock(&all->lock);
}

int sq_jobs_open(struct sq *sq, struct qt_err *e)
{
	struct sq_jobs *all = calloc(1, sizeof(*all));

	if (!all)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	all->sq = sq;
	all->ring_end = &all->ring;
	all->done.end = &all->done.first;
	all->ours.most = (unsigned)sq->conf.stream_threads;
	all->ours.todo.end = &all->ours.todo.first;
	(void)pthread_mutex_init(&all->lock, NULL);
	(void)pthread_cond_init(&all->wake, NULL);
	sq->jobs = all;
	all->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (all->event_fd < 0)
		return qt_fail_sys(e, errno, "eventfd");
	if (sq_watch(sq, &all->watch, all->event_fd, EPOLLIN, on_done, all, e) < 0)
		return -1;
	for (uint64_t i = 0; i < sq->conf.stream_threads; i++) {
		pthread_t t;
		int sys = pthread_create(&t, NULL, thread_main, all);

		if (sys != 0)
			return qt_fail_sys(e, sys, "start a thread");
		(void)pthread_detach(t);
	}
	return 0;
}
