/* rt_rig.h - a real quilt-runtime with directories, links and cgroups of its own, and a busybox image made on the spot. */
#ifndef RT_RIG_H
#define RT_RIG_H

#include <stdbool.h>
#include <sys/types.h>

#include "client.h"

#define BUDGET_MS 60000 /* the machine is shared: nothing here fails for being slow */

struct rig {
	char dir[64];	   /* pool/ (a mount), state/, run/, conf */
	char instance[8], prefix[5];
	uint32_t gateway;
	pid_t pid;	   /* of the runtime; 0: none */
	unsigned snapshots, volumes, images, layers, blobs;
	struct rt_client rt;
};

/* Make directories, pool and image. POOL: "ext4" (copies), "xfs" (reflink) or "btrfs" (QT_RIG_SIZE: of so many bytes, 1G if not set), on a loop
 * file; which driver it is the runtime finds out. */
void rig_make(struct rig *r, const char *pool);
/* A line of its configuration: "name = value", for the next start. */
void rig_set(struct rig *r, const char *line);
/* Nothing of it is left on the machine afterwards; fails if something of the runtime's was. */
void rig_unmake(struct rig *r);

/* Start the runtime, FAIL in QUILT_FAIL unless NULL; returns when it answers. */
void rig_start(struct rig *r, const char *fail);
void rig_kill(struct rig *r); /* -9 */
void rig_term(struct rig *r); /* and it must end with 0 */
void rig_died(struct rig *r); /* wait until it has been killed by its fail point */
void rig_shutdown(struct rig *r);
/* So many names a directory of its (below r->dir) has, spares' left out; 0 if there is none. */
unsigned rig_count(const struct rig *r, const char *name);
/* After a failure: kill it, and forget every container. */
void rig_reset(struct rig *r);

/* A request for a container that idles: tests change what they need. The text in it is static. */
struct rt_create_req rig_create_req(struct qt_id id);
/* Create it, or fail the test. */
struct rt_create_rep rig_create(struct rig *r, struct qt_id id);
int rig_delete(struct rig *r, struct qt_id id, struct qt_err *e);
struct rt_get_rep rig_get(struct rig *r, struct qt_id id);

/* Run argv in the container by RT_CONNECT, collect what it writes to stdout, check that it ended with 0. */
void rig_exec(struct rig *r, struct qt_id id, const char *command, char *out, size_t size);

#define RIG_SPARES 2 /* of the configuration: a third container in a row finds none */
/* Wait until it has them. */
void rig_wait_spares(struct rig *r);
/* rm -r of a path below its directory. */
void rig_remove(struct rig *r, const char *path);

/* What is on the machine: exactly N containers' worth of files, and RUNNING containers' worth of cgroups, links and sockets, and
 * as many snapshots, volumes, images and layers as was said by rig_expect() and rig_expect_images(). Waits for
 * what the kernel does in its own time (links go with their namespaces; the trash is emptied). */
void rig_census(struct rig *r, unsigned n, unsigned running);

void rig_expect(struct rig *r, unsigned snapshots, unsigned volumes);
void rig_expect_images(struct rig *r, unsigned images, unsigned layers, unsigned blobs); /* pulled ones; what the store has of them */

/* The client id of a list. Its number of containers. */
unsigned rig_list(struct rig *r, struct qt_id *ids, unsigned max);

/* The test fails unless the runtime answers, or refuses with the code WANT. */
#define CALL(r, verb, rep, ...)                                                                              \
	({                                                                                                   \
		struct rt_##verb##_req req_ = {__VA_ARGS__};                                                 \
		struct qt_err e_ = {0};                                                                      \
		memset((rep), 0, sizeof(*(rep)));                                                            \
		if (rt_##verb(&(r)->rt, &req_, (rep), BUDGET_MS, &e_) < 0)                                   \
			fail_msg(#verb ": %s: %s", qt_err_row(e_.code)->name, e_.msg);                       \
	})

#define REFUSED(r, want, verb, ...)                                                                          \
	({                                                                                                   \
		struct rt_##verb##_req req_ = {__VA_ARGS__};                                                 \
		struct rt_##verb##_rep rep_;                                                                 \
		struct qt_err e_ = {0};                                                                      \
		assert_int_equal(rt_##verb(&(r)->rt, &req_, &rep_, BUDGET_MS, &e_), -1);                     \
		assert_string_equal(qt_err_row(e_.code)->name, qt_err_row(want)->name);                      \
		assert_null(strstr(e_.msg, "/tmp"));                                                         \
		e_;                                                                                          \
	})

/* N texts in one literal, a NUL between each. */
#define WORDS(n, literal) ((struct rt_strv){literal, sizeof(literal), n})

#ifdef QT_FAILPOINTS
/* Every point at which the runtime can be told to fail or to die, and in which request it is. */
struct rig_point {
	const char *name, *verb;
};
extern const struct rig_point rig_points[];
extern const size_t rig_n_points;
#endif

#endif
