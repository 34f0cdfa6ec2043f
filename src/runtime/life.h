/* life.h - from a container that runs to one that does not, or is not: all of it in steps, none of which waits. */
#ifndef RT_LIFE_H
#define RT_LIFE_H

#include "failpoint.h"
#include "ops.h"

/* Watch the init and the memory events of a container that runs. */
int rt_life_watch(struct rt_ctr *c, struct qt_err *e);

/* Wait for the end of C together with the others who do. */
int rt_life_wait(struct rt_ctr *c, const struct rt_call *call, struct qt_err *e);

/* C never came to be: so are those told who wait for its end. */
void rt_life_gone(struct rt_ctr *c);

/* SIGKILL to all of it, again and again until it is gone. */
void rt_life_kill(struct rt_ctr *c);
/* MI_STOP to the init; rt_life_kill() after TIMEOUT_MS, or at once when the init does not take it. */
void rt_life_stop(struct rt_ctr *c, uint32_t timeout_ms);

/* The init is gone, or an attempt to start it failed: take away what belongs to the run, then journal and tell. */
void rt_life_ended(struct rt_ctr *c);

/* Nothing runs: take it away for good, tell who waits for that. C is gone afterwards, unless the journal could not be changed. */
void rt_life_remove(struct rt_ctr *c);

/* The exit code and the time of an init that this process did not see end. */
void rt_life_read_end(struct rt_ctr *c, bool same_boot);

#endif
