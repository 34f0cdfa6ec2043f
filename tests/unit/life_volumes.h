/* life_volumes.h - the part of test_life's world that is about volumes: one volume, in Redis and at the runtime; and its tests. */
#ifndef QT_TEST_LIFE_VOLUMES_H
#define QT_TEST_LIFE_VOLUMES_H

#include "err.h"
#include "life.h"

/* Of test_life.c. */
extern struct qt_life life;
int redis_away(struct qt_err *e);
/* The n-th request from now on fails; 0: none. LOST: it is carried out, and the answer is lost. */
void world_dies(unsigned redis, unsigned rt, bool lost);
unsigned world_asked(enum rt_op op);
int setup(void **state);
int teardown(void **state);

/* For test_life.c. */
void vol_world_clear(void);
int vol_carry_out(enum rt_op op, const void *req, void *rep, struct qt_err *e);
int vol_tests(void);

#endif
