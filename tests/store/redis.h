/* redis.h - a Redis of our own for a test: in a directory of its own, with the ACL users of contrib/redis and our functions. */
#ifndef QT_TEST_REDIS_H
#define QT_TEST_REDIS_H

#include <hiredis/hiredis.h>

#include "conf.h"
#include "store.h"

/* As cmocka's group setup and teardown. The setup loads the functions. */
int redis_up(void **state);
int redis_down(void **state);

/* Kill it; take it up again with its data. */
void redis_kill(void);
void redis_start(void);
pid_t redis_pid(void);

/* A store that is logged in as quilt-worker, quilt-agent, quilt-stream or quilt-admin. */
struct qt_store *store_as(const char *user);
/* Its settings, to be changed by the test. */
struct qt_conf conf_as(const char *user);

/* A command as the administrator, the words separated by single spaces; the caller's reply. */
redisReply *admin(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* And for its effect or its number. */
long long admin_int(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

const char *redis_dir(void);

#endif
