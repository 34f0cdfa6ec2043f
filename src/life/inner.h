/* inner.h - what the files of src/life share and others do not need. */
#ifndef QT_LIFE_INNER_H
#define QT_LIFE_INNER_H

#include "life.h"

/* Bits of a set of states. */
static inline unsigned qt_bit(enum qt_state s)
{
	return 1U << s;
}

/* After it, whoever brings a container up has failed, and the agent settles what is there. */
#define QT_BRING_UP_MS 60000

/* qt_life_start(), and also from starting: whoever began that died, or is another executor, and then both end at the same. */
int qt_life_start_over(struct qt_life *l, struct qt_ctr *c, struct qt_err *e);

/* The runtime's answer was lost (or it never got the request): nobody knows what it did. */
static inline bool qt_answer_lost(const struct qt_err *e)
{
	return e->code == QT_E_RUNTIME_UNAVAILABLE || e->code == QT_E_TIMEOUT;
}

#endif
