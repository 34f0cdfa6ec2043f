/* procs.h - the processes of a running container, read from /proc: whoever is in its control group and its pid namespace. */
#ifndef RT_PROCS_H
#define RT_PROCS_H

#include <stdint.h>
#include <sys/types.h>

#include "cgroup.h"

struct rt_proc {
	pid_t host;	     /* as we number it: good until it is reaped, by another process; see rt_procs_signal() */
	uint32_t pid, ppid;  /* as the container does; ppid 0: its parent is outside */
	char state;	     /* of proc(5) */
	uint64_t memory_kb;  /* resident */
	uint64_t started_s;  /* since 1970 */
	char command[201];   /* the words of its command line, cut; "[name]" without one. Bytes of the tenant's, without NUL and controls */
};

struct rt_procs {
	struct rt_proc *v; /* sorted by pid; free() */
	uint32_t n;
};

/* INIT is the container's, which lives. What ends meanwhile is left out. */
int rt_procs_read(struct rt_procs *ret, struct rt_cgroups *cg, const struct qt_id *id, pid_t init, struct qt_err *e);

/* PROCESS_NOT_FOUND. That the process is the container's is seen once it cannot become another any more. */
int rt_procs_signal(struct rt_cgroups *cg, const struct qt_id *id, pid_t init, uint32_t pid, int sig, struct qt_err *e);

#endif
