/*
 * journal.h - what was made for which container: one file each, STATE_DIR/journal/ID, replaced by rename.
 *
 * A file is a struct head (journal.c) and the fields of struct rt_entry as a message of the wire library, which brings
 * the bounds. What was written is on disk before anybody is told of it; the intention to make something is written too, but not
 * synced: nothing but files outlives the machine, and files that no entry knows are taken away at start.
 */
#ifndef RT_JOURNAL_H
#define RT_JOURNAL_H

#include "rt.h"

struct rt_journal {
	int dir_fd, bad_fd;
};

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
};

int rt_journal_open(struct rt_journal *j, int state_fd, struct qt_err *e);
void rt_journal_close(struct rt_journal *j);

int rt_journal_put(struct rt_journal *j, const struct rt_entry *en, bool sync, struct qt_err *e);

/* Forget ID; synced. That there is nothing to forget is well. */
int rt_journal_drop(struct rt_journal *j, const struct qt_id *id, struct qt_err *e);

/* FN for every entry. A file that is not whole is set aside (STATE_DIR/journal.bad) and logged. One that a newer version wrote
 * ends it: -1, and nothing was touched; so does an FN that returns -1. */
int rt_journal_load(struct rt_journal *j, int (*fn)(const struct rt_entry *en, void *arg, struct qt_err *e), void *arg,
		    struct qt_err *e);

/* Was the file of this id set aside? Then nobody knows what the container was, but its tree is somebody's data. */
bool rt_journal_is_bad(struct rt_journal *j, const char *id);

#endif
