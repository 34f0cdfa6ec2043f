/* ctr.h - the containers of this node in memory: the journal, and what only lives as long as this process. */
#ifndef RT_CTR_H
#define RT_CTR_H

#include "journal.h"
#include "loop.h"
#include "net.h"
#include "rt.h"

struct rt;

/* A request that waits for its answer (peer.h). */
struct rt_call {
	rt_watch_t peer;
	uint64_t serial;
	enum rt_op op;
};

/* What exists of a container, in the order of making. A bit is set before its step acts, so that a failure in the middle is
 * undone as well: each undo takes "not there" for success (undo.h). */
enum rt_made {
	RT_MADE_ADDR = 1 << 0,
	RT_MADE_RANGE = 1 << 1,
	RT_MADE_TREE = 1 << 2,
	RT_MADE_FILES = 1 << 3,
	RT_MADE_CGROUP = 1 << 4,
	RT_MADE_SOCKET = 1 << 5,
	RT_MADE_PROCESS = 1 << 6,
	RT_MADE_NET = 1 << 7,
	RT_MADE_RUN = RT_MADE_CGROUP | RT_MADE_SOCKET | RT_MADE_PROCESS | RT_MADE_NET,
	RT_MADE_KEEP = RT_MADE_ADDR | RT_MADE_RANGE | RT_MADE_TREE | RT_MADE_FILES,
	RT_MADE_ALL = RT_MADE_RUN | RT_MADE_KEEP,
};

#define RT_WAITERS_MAX 16

struct rt_ctr {
	struct rt *rt;
	struct qt_id id, tenant;
	enum rt_state state;
	enum rt_phase phase;
	char hostname[65], image[129], workdir[513];
	uint32_t memory_mb, cpu_centi, strict, range;
	struct rt_addr addr;
	char *record; /* owned */
	uint32_t record_len;
	struct rt_strv volumes, gpus; /* their memory is owned: rt_ctr_set_list() */
	uint64_t created_ms, started_ms, exited_ms;
	uint32_t exit_code;

	unsigned made; /* enum rt_made */
	/* Of a spare (spares.h), until it runs. */
	struct rt_spare *spare; /* owned */
	int listen_fd;		/* its init's socket, -1: none */
	bool limited;		/* the group has its limits */

	pid_t pid;
	uint64_t start_time;
	int pidfd;
	bool same_boot; /* the journal's entry was written since the machine started */
	bool is_child; /* ours to reap; one that was adopted is its new parent's */
	rt_watch_t exit_watch;
	int oom_fd;
	rt_watch_t oom_watch;
	uint64_t oom_kills;
	struct rt_timer oom_timer;
	unsigned oom_tries;

	/* The way to its end. */
	bool ending;   /* stop, kill or delete is under way, or the init is gone and what it held goes */
	bool gone;     /* the init is gone */
	bool killed;   /* by us: exit code 137, whatever the init left */
	bool deleting; /* and then take it away */
	int stop_fd;   /* the connection that carried MI_STOP */
	struct rt_timer stop_timer, clean_timer;
	unsigned clean_tries;
	struct rt_call waiters[RT_WAITERS_MAX];
	unsigned n_waiters;
};

/* Sorted by id. */
struct rt_ctrs {
	struct rt_ctr **v;
	uint32_t n, cap;
};

struct rt_ctr *rt_ctr_find(const struct rt_ctrs *t, const struct qt_id *id);
/* The place of the first id behind AFTER ("" for the first of all). */
uint32_t rt_ctr_after(const struct rt_ctrs *t, const char *after);
int rt_ctr_insert(struct rt_ctrs *t, struct rt_ctr *c, struct qt_err *e);
void rt_ctr_remove(struct rt_ctrs *t, struct rt_ctr *c);

struct rt_ctr *rt_ctr_new(struct rt *rt, struct qt_err *e);
void rt_ctr_free(struct rt_ctr *c); /* releases descriptors, timers and memory: nothing of the container itself */
int rt_ctr_set_record(struct rt_ctr *c, struct rt_str record, struct qt_err *e);
int rt_ctr_set_list(struct rt_strv *list, struct rt_strv to, struct qt_err *e); /* LIST is one of a container's; a copy of TO */

/* Between the two forms. An entry that the journal checked can still be too much for one of the fields: -1. */
int rt_ctr_load(struct rt_ctr *c, const struct rt_entry *en, struct qt_err *e);
int rt_ctr_save(struct rt_ctr *c, bool sync, struct qt_err *e); /* writes the journal */

const char *rt_state_name(enum rt_state s);

#endif
