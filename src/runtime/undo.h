/* undo.h - taking away what was made, in the order opposite to making. */
#ifndef RT_UNDO_H
#define RT_UNDO_H

#include "ctr.h"

/* Undo those of WHAT (enum rt_made) that C has. True when they are gone; false when the kernel still holds one (a process that
 * dies, a cgroup with a dead process in it): ask again a little later. Nothing is undone before all that was made after it is. */
bool rt_undo(struct rt_ctr *c, unsigned what);

/* C is out of the table already: undo all, now and by a timer, then free it. Returns at once. Until then C is in
 * rt->leaving, so that nobody makes another of its id while parts of the old one go. */
void rt_abandon(struct rt_ctr *c);

/* For start-up, shutdown and failed attempts: the same as rt_undo(), waiting up to BUDGET_MS. */
bool rt_undo_now(struct rt_ctr *c, unsigned what, int budget_ms);

#endif
