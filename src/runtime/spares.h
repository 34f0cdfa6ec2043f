/*
 * spares.h - containers that nobody asked for yet, as far as they can be made without knowing for whom: so a create has half as much to do.
 *
 * A spare is a struct rt_ctr that is in no list but this one, and in no journal. Its id is spare_0, spare_1 … : under that name it has an empty layer, files, its
 * init's socket, and on cgroup v1 also a control group, a range of ids, and a process with its namespaces and mounts (spawn.h, struct rt_spare). A create gives all of
 * that the container's name. What is left of one after a crash nobody knows, so the sweep takes it away.
 *
 * Spares are made while nobody waits, some milliseconds behind a create. None is used twice. It has no address, no link, and nobody's limits but the last container's.
 *
 * No process on cgroup v2: there groups keep their names, and a process can only be cloned into its group without waiting.
 */
#ifndef RT_SPARES_H
#define RT_SPARES_H

#include <stdint.h>

#include "loop.h"

struct rt;
struct rt_ctr;

#define RT_SPARES_MAX 64 /* as settings.def */

struct rt_spares {
	struct rt_ctr *v[RT_SPARES_MAX]; /* NULL: to be made */
	unsigned n;
	uint32_t memory_mb, cpu_centi; /* of the last container: the next is likely to be like it */
	struct rt_timer timer;
	int64_t since;	 /* when the timer was first set */
	unsigned failed; /* how often in turn one could not be made */
};

/* Begin to make them, as many as the setting `spares` says. */
void rt_spares_open(struct rt *rt);
void rt_spares_close(struct rt *rt);

/* One, the caller's, for rt_spares_give(); NULL: there is none. Others are made later. */
struct rt_ctr *rt_spares_take(struct rt *rt);
/* What S has is C's afterwards, as C's bits in `made` say; what cannot be handed over goes. S is gone. */
void rt_spares_give(struct rt_ctr *s, struct rt_ctr *c);

#endif
