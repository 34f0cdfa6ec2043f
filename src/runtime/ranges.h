/* ranges.h - which of the host's id ranges are taken: one of 65,536 ids a container. */
#ifndef RT_RANGES_H
#define RT_RANGES_H

#include <stdint.h>

#include "err.h"

struct rt_ranges {
	uint8_t *taken; /* a bit each */
	uint32_t n, n_taken, next;
};

int rt_ranges_init(struct rt_ranges *r, uint32_t n, struct qt_err *e);
void rt_ranges_done(struct rt_ranges *r);

/* A free one, round robin: one that was just released is the last to be given again. CAPACITY_FULL when none is left. */
int rt_ranges_take(struct rt_ranges *r, uint32_t *ret, struct qt_err *e);

/* The one that the journal remembers; CONFLICT if it is taken, or past the end. The round goes on behind it. */
int rt_ranges_take_this(struct rt_ranges *r, uint32_t i, struct qt_err *e);

uint32_t rt_ranges_left(const struct rt_ranges *r); /* that are free */
void rt_ranges_release(struct rt_ranges *r, uint32_t i);

#endif
