/* pool_rig.h - what the tests of the pool ask of the runtime (rt_rig.h), each in a line; the test fails if it is refused. */
#ifndef POOL_RIG_H
#define POOL_RIG_H

#include "rt_rig.h"

struct qt_id tenant(void);

/* FROM_SNAPSHOT and FROM_VOLUME: "" for an empty one. */
struct qt_id make_volume(struct rig *r, const char *from_snapshot, const char *from_volume, uint64_t max_bytes);
void delete_object(struct rig *r, struct qt_id id);
void delete_container(struct rig *r, struct qt_id id);

/* Texts divided by '|', NULL for none; in BUF. Every VOLUMES here is such a text. */
struct rt_strv list_of(const char *texts, char *buf, size_t size);

int try_create(struct rig *r, struct qt_id id, const char *from, const char *volumes, uint32_t no_start, uint32_t consistency,
	       struct rt_create_rep *rep, struct qt_err *e);
struct qt_id create(struct rig *r, const char *from, const char *volumes, uint32_t no_start);
void create_fails(struct rig *r, enum qt_code want, const char *from, const char *volumes);
void start(struct rig *r, struct qt_id id, const char *volumes);
void stop(struct rig *r, struct qt_id id);
struct rt_snapshot_rep snapshot(struct rig *r, struct qt_id ctr, struct qt_id id, uint32_t consistency, const char *volumes);

/* COMMAND in the container writes WANT. */
void expect(struct rig *r, struct qt_id id, const char *command, const char *want);

/* One of eight places, in turn. */
const char *text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* cmocka's teardown of a test: nothing is left, and no runtime. */
int end(void **state);

/* The groups, each run by its file; as cmocka_run_group_tests(). */
int pool_deaths(int (*make_btrfs)(void **), int (*make_ext4)(void **), int (*unmake)(void **)); /* only with fail points */
int pool_copier(void);

#endif
