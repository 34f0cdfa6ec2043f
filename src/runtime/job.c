#include <errno.h>
#include <linux/ioprio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "job.h"

static int reap(pid_t pid)
{
	siginfo_t si = {0};
	int r;

	do
		r = waitid(P_PID, (id_t)pid, &si, WEXITED);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return 255;
	return si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status;
}

static void release(struct rt_job *j)
{
	rt_loop_del(j->loop, &j->watch);
	qt_reset_fd(&j->pidfd, -1);
	j->pid = 0;
}

static void ended(void *arg, uint32_t events)
{
	struct rt_job *j = arg;
	int code = reap(j->pid);

	(void)events;
	release(j);
	j->done(j->arg, code);
}

/* A job that outlives us could fight with the one of our successor. */
static void begin(void)
{
	sigset_t none;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void child(int fd, int (*work)(int fd))
{
	begin();
	(void)setpriority(PRIO_PROCESS, 0, 10);
	(void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
	if (fd != 3 && dup2(fd, 3) < 0)
		_exit(255);
	if (syscall(SYS_close_range, 4, ~0U, 0) < 0)
		_exit(255);
	_exit(work(3));
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* What a child keeps open of our peers' connections would not be closed when we close it. */
static bool close_others(const int *keep, size_t n)
{
	int sorted[RT_JOB_KEEP_MAX];
	unsigned from = 3;

	if (n > RT_JOB_KEEP_MAX)
		return false;
	memcpy(sorted, keep, n * sizeof(*keep));
	qsort(sorted, n, sizeof(sorted[0]), by_number);
	for (size_t i = 0; i < n; i++) {
		unsigned fd = (unsigned)sorted[i];

		if (fd > from && syscall(SYS_close_range, from, fd - 1, 0) < 0)
			return false;
		from = fd >= from ? fd + 1 : from;
	}
	return syscall(SYS_close_range, from, ~0U, 0) == 0;
}

static int watch(struct rt_job *j, struct rt_loop *loop, pid_t pid, void (*done)(void *arg, int exit_code), void *arg,
		 struct qt_err *e)
{
	*j = (struct rt_job){.loop = loop, .pid = pid, .done = done, .arg = arg};
	j->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (j->pidfd < 0) {
		(void)qt_fail_sys(e, errno, "pidfd_open");
	} else if (rt_loop_add(loop, j->pidfd, EPOLLIN, ended, j, &j->watch, e) == 0) {
		return 0;
	}
	rt_job_cancel(j);
	return -1;
}

int rt_job_start(struct rt_job *j, struct rt_loop *loop, int fd, int (*work)(int fd), void (*done)(void *arg, int exit_code),
		 void *arg, struct qt_err *e)
{
	pid_t pid = fork();

	if (pid < 0)
		return qt_fail_sys(e, errno, "fork a job");
	if (pid == 0)
		child(fd, work);
	return watch(j, loop, pid, done, arg, e);
}

int rt_job_fork(struct rt_job *j, struct rt_loop *loop, const int *keep, size_t n, int (*work)(void *arg), void *work_arg,
		void (*done)(void *arg, int exit_code), void *arg, struct qt_err *e)
{
	pid_t pid = fork();

	if (pid < 0)
		return qt_fail_sys(e, errno, "fork a job");
	if (pid == 0) {
		begin();
		_exit(close_others(keep, n) ? work(work_arg) : 255);
	}
	return watch(j, loop, pid, done, arg, e);
}

void rt_job_cancel(struct rt_job *j)
{
	if (j->pid == 0)
		return;
	(void)kill(j->pid, SIGKILL);
	(void)reap(j->pid);
	release(j);
}
