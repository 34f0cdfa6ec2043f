/*
 * journal.h - what was made for which container: one file each (keep.h), STATE_DIR/journal/ID.
 *
 * What was written is on disk before anybody is told of it; the intention to make something is written too, but not
 * synced: nothing but files outlives the machine, and files that no entry knows are taken away at start.
 */
#ifndef RT_JOURNAL_H
#define RT_JOURNAL_H

#include "keep.h"

enum rt_phase {
	RT_PH_MAKING,	/* create is under way: undo all */
	RT_PH_STARTING, /* start is under way: undo what runs, keep the rest */
	RT_PH_WHOLE,
	RT_PH_COUNT
};

/* Texts point into the caller's memory, or into the file that was read. */
struct rt_entry {
	uint32_t phase, state; /* enum rt_phase, enum rt_state */
	struct qt_id id, tenant;
	struct rt_str hostname, image, workdir, link, boot_id;
	uint32_t memory_mb, cpu_centi, strict, range, ip, pid, exit_code;
	uint64_t start_time, created_ms, started_ms, exited_ms;
	struct rt_str record;
	struct rt_strv volumes; /* since version 2; as in RT_CREATE */
	struct rt_strv gpus;	/* since version 3; the same */
};

int rt_journal_open(struct rt_keep *j, int state_fd, struct qt_err *e);
int rt_journal_put(struct rt_keep *j, const struct rt_entry *en, bool sync, struct qt_err *e);
int rt_journal_drop(struct rt_keep *j, const struct qt_id *id, struct qt_err *e);
int rt_journal_load(struct rt_keep *j, int (*fn)(const struct rt_entry *en, void *arg, struct qt_err *e), void *arg,
		    struct qt_err *e);

#endif
