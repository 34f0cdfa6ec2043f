/* begin.h - a container's control group, and the process in it that will be its init: of a spare, or of a container that found none. */
#ifndef RT_BEGIN_H
#define RT_BEGIN_H

#include "gpus.h"
#include "runtime.h"

/* C's group with its limits, unless it has both. GPUS: what else it may open; NULL: nothing. RT_MADE_CGROUP. */
int rt_begin_group(struct rt_ctr *c, const struct rt_gpus *gpus, struct qt_err *e);

/* C->spare, unless there is one: in C's group, with C's range of ids, its network namespace prepared. RT_MADE_PROCESS. */
int rt_begin_process(struct rt_ctr *c, struct qt_err *e);

#endif
