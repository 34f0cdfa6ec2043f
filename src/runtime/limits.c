#include <errno.h>
#include <sys/resource.h>

#include "cleanup.h"
#include "fdio.h"
#include "parts.h"

/* security.md 5.7 */
static const struct {
	int resource;
	rlim_t soft, hard;
} limits[] = {
	{RLIMIT_NOFILE, 1024, 65536},
	{RLIMIT_CORE, 0, 0},
	{RLIMIT_MEMLOCK, 65536, 65536},
	{RLIMIT_NPROC, RLIM_INFINITY, RLIM_INFINITY}, /* the cgroup counts */
	{RLIMIT_MSGQUEUE, 819200, 819200},
	{RLIMIT_FSIZE, RLIM_INFINITY, RLIM_INFINITY},
	{RLIMIT_NICE, 0, 0},
	{RLIMIT_RTPRIO, 0, 0},
	{RLIMIT_SIGPENDING, 4096, 4096},
};

/* Raising the hard limit takes CAP_SYS_RESOURCE on the host. Without it the runtime's own hard limit is the most there is. */
static int set_limit(pid_t pid, int resource, struct rlimit want, struct qt_err *e)
{
	struct rlimit now;

	if (prlimit(pid, resource, &want, NULL) == 0)
		return 0;
	if (errno != EPERM || prlimit(pid, resource, NULL, &now) < 0)
		return qt_fail_sys(e, errno, "set a resource limit");
	if (want.rlim_max > now.rlim_max)
		want.rlim_max = now.rlim_max;
	if (want.rlim_cur > want.rlim_max)
		want.rlim_cur = want.rlim_max;
	if (prlimit(pid, resource, &want, NULL) < 0)
		return qt_fail_sys(e, errno, "set a resource limit");
	return 0;
}

int rt_limits_apply(pid_t pid, int proc_fd, struct qt_err *e)
{
	struct qt_err ignored = {0};

	for (size_t i = 0; i < QT_LEN(limits); i++)
		if (set_limit(pid, limits[i].resource, (struct rlimit){limits[i].soft, limits[i].hard}, e) < 0)
			return -1;
	/* The runtime may be protected with a low score: that must not be inherited. Below 0 takes CAP_SYS_RESOURCE. */
	if (qt_write_ctl(proc_fd, "oom_score_adj", "-100", &ignored) == 0)
		return 0;
	return qt_write_ctl(proc_fd, "oom_score_adj", "0", e);
}
