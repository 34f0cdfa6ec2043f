/* life_world.h - the world of test_life: a Redis and a runtime of one container, one volume, one snapshot and one image, made of a few lines. Both can be
 * made to fail at their n-th request: a client that got no answer, and a process that died there, look the same to everybody else. */
#ifndef QT_TEST_LIFE_WORLD_H
#define QT_TEST_LIFE_WORLD_H

#include "client.h"
#include "err.h"
#include "life.h"
#include "settle.h"

/* Of containers. */
extern struct world {
	struct qt_id id; /* the container's */
	/* Redis */
	bool in_redis;
	struct qt_ctr redis;
	unsigned usage_started, usage_stopped, events, restores;
	/* the runtime */
	bool in_rt, no_image, old_image; /* the last: made by an older quiltd */
	enum rt_state state;
	uint32_t pid, exit_code;
	int64_t started_ms, exited_ms;
	char record[16385], from[40];
	unsigned asked[RT_OP_COUNT];
	/* what fails: the n-th request from now on, and all after it; 0: none. LOST: it is carried out, and the answer is lost. */
	unsigned redis_dies, rt_dies;
	bool lost;
	struct qt_err late; /* what qt_store_settle() will say */
	bool cancelled; /* a client asked for the end of the operation */
	unsigned lease_lost; /* the n-th question for that, and all after it, hear that another has the operation; 0: none */
} world;

extern struct qt_life life;
extern const struct qt_id TENANT;

#define FOUR(x)	  x x x x
#define DIGEST(c) "sha256:" FOUR(FOUR(FOUR(c))) /* of the one managed image, busybox: "a" its manifest's, "b" its configuration's, "c" its layer's */

int redis_away(struct qt_err *e);
int no_ctr(struct qt_err *e);
/* The n-th request from now on fails; 0: none. LOST: it is carried out, and the answer is lost. */
void world_dies(unsigned redis, unsigned rt, bool lost);
struct qt_ctr *world_ctr(void);	/* NULL: Redis has none */
const char *world_from(void);	/* what the runtime made it of; NULL: it has none */
void world_empty(void);		/* of containers */
void ctr_runs(void);		/* at the runtime */
void ctr_ends(uint32_t code);

int setup(void **state);
int teardown(void **state);
void new_ctr(struct qt_ctr *c); /* as a client asks for it */
int world_create(struct qt_err *e);
/* A container that runs, or ran, as both sides know it. */
void given(enum qt_state s);
/* Time passes, and the agent comes by as often as it takes. Everything is well again. */
struct qt_settled settle(void);
/* Nobody believes in something else of the container than the other does. */
void assert_agreed(void);

/* The other parts of the world, each with its tests: life_volumes.c, life_snaps.c, life_images.c. */
void vol_world_clear(void);
void vol_time_passes(void);
int vol_carry_out(enum rt_op op, const void *req, void *rep, struct qt_err *e);
int vol_tests(void);
void snap_world_clear(void);
void snap_time_passes(void);
bool snap_in_rt(void);
bool snap_is_asked(enum rt_op op, const void *req);
int snap_carry_out(enum rt_op op, const void *req, void *rep, struct qt_err *e);
int snap_tests(void);
void img_world_clear(void);
bool img_is_asked(enum rt_op op, const void *req);
int img_carry_out(enum rt_op op, const void *req, void *rep, struct qt_err *e);
int img_tests(void);
int op_tests(void); /* life_ops.c */

#endif
