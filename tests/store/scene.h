/* scene.h - what most tests of the store begin with: the two users, a tenant, a container; and the last entry of a stream. */
#ifndef QT_TEST_SCENE_H
#define QT_TEST_SCENE_H

#include "store.h"

extern struct qt_store *worker, *agent;

/* As cmocka's group setup and teardown: a Redis (redis.h), and the two logged in to it. */
int up(void **state);
int down(void **state);

struct qt_tenant new_tenant(const char *name, const char *plan);

/* Of node-1, with nothing but what every container has. */
void new_ctr(struct qt_ctr *c, const struct qt_tenant *t, const char *name);

/* The text of field NAME of the last entry of a stream: "events" or "usage". */
void last_of(char *out, size_t size, const char *stream, const struct qt_tenant *t, const char *name);

/* The last event is of KIND and says WANT, which is taken. */
void expect_last_event(const struct qt_tenant *t, const char *kind, json_t *want);

#endif
