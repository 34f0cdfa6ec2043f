/* life_snaps.h - the part of test_life's world that is about snapshots: one snapshot, in Redis and at the runtime; and its tests. */
#ifndef QT_TEST_LIFE_SNAPS_H
#define QT_TEST_LIFE_SNAPS_H

#include "life_volumes.h"
#include "settle.h"

/* Of test_life.c: its one container. */
struct qt_ctr *world_ctr(void);	/* NULL: Redis has none */
const char *world_from(void);	/* what the runtime made it of; NULL: it has none */
void world_is(const struct qt_id *ctr);
void world_empty(void);
void given(enum qt_state s);
struct qt_settled settle(void);
void assert_agreed(void);

/* For test_life.c. */
void snap_world_clear(void);
void snap_time_passes(void);
bool snap_in_rt(void);
bool snap_is_asked(enum rt_op op, const void *req);
int snap_carry_out(enum rt_op op, const void *req, void *rep, struct qt_err *e);
int snap_tests(void);

#endif
