/*
 * copy.h - copying and counting trees in jobs: a few at once, and of one running container one at a time. The others wait in order, but whoever has
 * the fewest under way is next, and nobody has more than half: a tenant with large copies keeps no other from his.
 *
 * A driver whose copies are at once (btrfs) takes them while the source runs, several trees too. It is frozen only when that was asked for, or
 * when the trees could not be had of one moment (store_moment.c); with the other drivers it is frozen for as long as the copying takes, whatever was asked. What the
 * job freezes it thaws; whatever becomes of the job, the runtime thaws once more, and so does the next runtime at its start.
 */
#ifndef RT_COPY_H
#define RT_COPY_H

#include "runtime.h"

#define RT_COPY_TREES_MAX 34
#define RT_COPY_NAME	  112 /* of what is made; a layer's name fits (layers.h) */
#define RT_COPY_MAX_MS	  600000 /* a job is ended then */

struct rt_copy_result {
	uint64_t paused_us, flush_us, bytes, files;
	struct qt_err err;
};

struct rt_copy {
	struct rt *rt;
	struct rt_copy *next;
	struct rt_job job;
	struct qt_id id; /* what is made, or counted */
	struct qt_id tenant; /* whose */
	struct qt_id source; /* the container that is copied; "" if what is copied stands still by itself */
	struct qt_id snapshot; /* that what is copied lies in; "" if it is none */
	enum rt_consistency consistency;
	bool count; /* tell bytes and files, of the copies, or, if there is no place for a copy, of the trees themselves */
	bool flush;
	bool freeze, may_freeze; /* from the beginning; if there is no other way */
	bool ended; /* killed: DONE is told so */
	struct {
		int from_dir_fd, from_fd, to_dir_fd; /* owned; to_dir_fd -1: is only counted */
		char from[QT_ID_MAX + 1], to[RT_COPY_NAME];
		struct rt_limit limit;
		uint32_t number; /* of rt_store_number() */
	} trees[RT_COPY_TREES_MAX];
	unsigned n_trees;
	struct rt_copy_result *result; /* shared with the job */

	void (*done)(struct rt_copy *c, struct qt_err *e); /* E->code QT_OK, or why not; C is released afterwards */
	void *arg;
	void (*release)(void *arg); /* may be NULL: called when C goes, whether or not DONE was */
	struct rt_call waiters[RT_WAITERS_MAX];
	unsigned n_waiters;
};

/* ID is TENANT's, or will be. SOURCE may be NULL. Given to rt_copy_start(), or to rt_copy_free(). */
struct rt_copy *rt_copy_new(struct rt *rt, const struct qt_id *tenant, const struct qt_id *id, const struct qt_id *source, struct qt_err *e);
void rt_copy_free(struct rt_copy *c);
/* FROM_DIR_FD/FROM becomes TO_DIR_FD/TO; TO_DIR_FD -1: counted only. */
int rt_copy_add(struct rt_copy *c, int from_dir_fd, const char *from, int to_dir_fd, const char *to, struct rt_limit limit, struct qt_err *e);
/* DONE is called later, in the loop, in any case. */
void rt_copy_start(struct rt_copy *c, void (*done)(struct rt_copy *c, struct qt_err *e), void *arg);
/* Ends it soon; DONE then hears CONFLICT. */
void rt_copy_end(struct rt_copy *c);
/* The same for all that are made of SNAPSHOT, which is no more. */
void rt_copies_end(struct rt *rt, const struct qt_id *snapshot);

/* The copy that makes or counts ID; the copy that reads the container ID. NULL if there is none. */
struct rt_copy *rt_copy_of(const struct rt *rt, const struct qt_id *id);
struct rt_copy *rt_copy_from(const struct rt *rt, const struct qt_id *id);

/* Who waits for the answer. */
int rt_copy_wait(struct rt_copy *c, const struct rt_call *call, struct qt_err *e);
void rt_copy_answer(struct rt_copy *c, const void *rep);
void rt_copy_refuse(struct rt_copy *c, const struct qt_err *why);

/* At the end of this process: ends the jobs, waits for that, thaws; DONE is not called. */
void rt_copies_close(struct rt *rt);

#endif
