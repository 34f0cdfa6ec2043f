/* agent.h - quilt-agent, one a node: executes operations, mends Redis from the runtime, keeps a copy of tenants and keys. Threads, each with
 * connections of its own; what they share is here. */
#ifndef QT_AGENT_H
#define QT_AGENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "conf.h"
#include "store.h"

#define AGENT_SLOTS    16    /* operations at once */
#define AGENT_TENANT_SLOTS 4 /* of one tenant: a stop may take ten minutes, and others must not wait for it */
#define AGENT_PULLS    4     /* pulls of images, of all tenants: they are as slow as registries like */
#define AGENT_BUILDS   4     /* builds, the same */
#define AGENT_QUEUE    128   /* that wait for a slot, and are "queued"; what is behind them stays in the stream, "accepted" */
#define AGENT_LEASE_MS 8000  /* an operation of an agent that died is another's after it */
#define AGENT_DUE_MAX  4096

enum agent_due_kind { AGENT_DUE_LOOK, AGENT_DUE_OOM };

struct agent {
	struct qt_conf conf;
	int dir_fd, run_fd; /* STATE_DIR/agent and RUN_DIR */
	atomic_bool stopping;

	pthread_mutex_t lock; /* all below */
	pthread_cond_t wake;  /* the mender */
	bool all_due;	      /* compare everything, now */
	struct agent_due {
		struct qt_id id;
		int64_t at; /* monotonic ms */
		enum agent_due_kind kind;
	} due[AGENT_DUE_MAX];
	unsigned n_due;
	struct agent_slot {
		bool busy;
		struct qt_op_entry lease; /* the names only: its JSON is not ours */
	} slots[AGENT_SLOTS];
	pthread_cond_t work;			 /* the queue or the slots have changed */
	struct qt_op_entry queue[AGENT_QUEUE];	 /* claimed, oldest first */
	unsigned n_queue, n_idle;		 /* slots that wait for it */
	int64_t renewed_at;			 /* when all leases last were, monotonic */
};

/* For the mender: ID is to be looked at in DELAY_MS; everything, at once. */
void agent_due(struct agent *a, const struct qt_id *id, enum agent_due_kind kind, int delay_ms);
void agent_all_due(struct agent *a);

/* Sleep, but not longer than until the agent is told to stop. */
void agent_pause(struct agent *a, int ms);

/* take.c: the next of the queue whose tenant may have another slot, for slot I, which then holds its lease; waits a little. False: there was
 * none. *RET is the caller's. */
bool agent_take(struct agent *a, unsigned i, struct qt_op_entry *ret);
void agent_let_go(struct agent *a, unsigned i); /* slot I is free again */

/* beat.c: were all leases that this agent holds renewed within the last MS? And do it: -1, with some of them as they were, while the store is away. */
bool agent_renewed(struct agent *a, int ms);
int agent_renew(struct agent *a, struct qt_store *s, struct qt_err *e);

/* A condition that lasts is logged when it begins and when it ends, not each time it is met. */
struct agent_trouble {
	const char *what;
	bool now;
};
void agent_trouble(struct agent_trouble *t, const struct qt_err *e);
void agent_well(struct agent_trouble *t);

/* The threads; ARG is the struct agent, of agent_slot_main a struct agent_slot_arg. */
struct agent_slot_arg {
	struct agent *a;
	unsigned i;
};
void *agent_slot_main(void *arg);  /* slots.c: executes */
void *agent_take_main(void *arg);  /* take.c: claims, from the node's stream into the queue */
void *agent_mend_main(void *arg);  /* mend.c: compares, and writes RUN_DIR/agent.ready after the first time */
void *agent_watch_main(void *arg); /* watch.c: hears the runtime */
void *agent_expire_main(void *arg); /* expire.c: deletes snapshots whose time is over */
void *agent_beat_main(void *arg);  /* beat.c: heartbeat, leases, copy of the keys */

#endif
