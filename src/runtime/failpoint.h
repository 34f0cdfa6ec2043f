/*
 * failpoint.h - places where a test makes the runtime fail or die; nothing of it is compiled into a release.
 *
 * QUILT_FAIL=NAME[:N] in the environment: the Nth pass (1 if not said) through that point fails with INTERNAL_ERROR.
 * QUILT_FAIL=kill:NAME[:N]: the process ends there as by kill -9: in a job, only the job.
 * QUILT_FAIL=hang:NAME[:N]: it goes no further until it is killed, and is called "qt-hangs".
 */
#ifndef RT_FAILPOINT_H
#define RT_FAILPOINT_H

#include "err.h"

enum rt_failpoint {
#define FP(name, verb) RT_FP_##name,
#include "failpoints.def"
#undef FP
	RT_FP_COUNT
};

#ifdef QT_FAILPOINTS
/* -1 with E set when the test wants it so; 0 otherwise. */
int rt_failpoint(enum rt_failpoint p, struct qt_err *e);
#else
static inline int rt_failpoint(enum rt_failpoint p, struct qt_err *e)
{
	(void)p;
	(void)e;
	return 0;
}
#endif

#endif
