#include <stdbool.h>
#include <stdlib.h>

#include "cleanup.h"
#include "ranges.h"

int rt_ranges_init(struct rt_ranges *r, uint32_t n, struct qt_err *e)
{
	*r = (struct rt_ranges){.taken = calloc((n + 7) / 8, 1), .n = n};
	return r->taken ? 0 : qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
}

void rt_ranges_done(struct rt_ranges *r)
{
	free(qt_take(&r->taken));
}

static bool is_taken(const struct rt_ranges *r, uint32_t i)
{
	return r->taken[i / 8] & 1U << i % 8;
}

static void take(struct rt_ranges *r, uint32_t i)
{
	r->taken[i / 8] = (uint8_t)(r->taken[i / 8] | 1U << i % 8);
	r->n_taken++;
	r->next = (i + 1) % r->n;
}

int rt_ranges_take(struct rt_ranges *r, uint32_t *ret, struct qt_err *e)
{
	for (uint32_t k = 0; k < r->n; k++) {
		uint32_t i = (r->next + k) % r->n;

		if (is_taken(r, i))
			continue;
		take(r, i);
		*ret = i;
		return 0;
	}
	return qt_fail(e, QT_E_CAPACITY_FULL, "all %u ranges of user ids are taken", r->n);
}

int rt_ranges_take_this(struct rt_ranges *r, uint32_t i, struct qt_err *e)
{
	if (i >= r->n || is_taken(r, i))
		return qt_fail(e, QT_E_CONFLICT, "the range %u of user ids is taken, or not ours", i);
	take(r, i);
	return 0;
}

uint32_t rt_ranges_left(const struct rt_ranges *r)
{
	return r->n - r->n_taken;
}

void rt_ranges_release(struct rt_ranges *r, uint32_t i)
{
	if (i >= r->n || !is_taken(r, i))
		return;
	r->taken[i / 8] = (uint8_t)(r->taken[i / 8] & ~(1U << i % 8));
	r->n_taken--;
}
