/* job.h - long work in a child of its own, so that the loop never waits for a disk. */
#ifndef RT_JOB_H
#define RT_JOB_H

#include <sys/types.h>

#include "loop.h"

#define RT_JOB_KEEP_MAX 80

struct rt_job {
	struct rt_loop *loop;
	pid_t pid; /* 0: none runs */
	int pidfd;
	rt_watch_t watch;
	void (*done)(void *arg, int exit_code); /* exit_code 128 + n: signal n */
	void *arg;
};

/* Run WORK in a child, with idle disk priority and none of our descriptors but FD (its only one besides 0 to 2, as number 3). One at
 * a time for each struct rt_job: the caller looks at pid first. DONE is called in the loop. */
int rt_job_start(struct rt_job *j, struct rt_loop *loop, int fd, int (*work)(int fd), void (*done)(void *arg, int exit_code),
		 void *arg, struct qt_err *e);

/* The same for work that needs more: WORK(WORK_ARG) in a child that keeps the N descriptors of KEEP, under their numbers, and runs with the
 * priority of this process: somebody may stand still until it is done. */
int rt_job_fork(struct rt_job *j, struct rt_loop *loop, const int *keep, size_t n, int (*work)(void *arg), void *work_arg,
		void (*done)(void *arg, int exit_code), void *arg, struct qt_err *e);

/* End it, and wait for that; DONE is not called. */
void rt_job_cancel(struct rt_job *j);

#endif
