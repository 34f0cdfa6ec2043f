/* The threads for what blocks: Redis, the runtime, and all handlers of routes. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "cleanup.h"
#include "log.h"
#include "stream.h"

struct queue {
	struct sq_job *first, **end;
};

struct sq_jobs {
	struct sq *sq;
	pthread_mutex_t lock; /* of both queues */
	pthread_cond_t wake;
	struct queue todo, done;
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
		while (!(j = take(&all->todo)))
			(void)pthread_cond_wait(&all->wake, &all->lock);
		(void)pthread_mutex_unlock(&all->lock);
		j->work(j, &l);
		(void)pthread_mutex_lock(&all->lock);
		put(&all->done, j);
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
	(void)pthread_mutex_lock(&sq->jobs->lock);
	put(&sq->jobs->todo, j);
	(void)pthread_cond_signal(&sq->jobs->wake);
	(void)pthread_mutex_unlock(&sq->jobs->lock);
}

int sq_jobs_open(struct sq *sq, struct qt_err *e)
{
	struct sq_jobs *all = calloc(1, sizeof(*all));

	if (!all)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	all->sq = sq;
	all->todo.end = &all->todo.first;
	all->done.end = &all->done.first;
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
