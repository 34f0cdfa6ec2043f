/* inner.h - what the files of src/life share and others do not need. */
#ifndef QT_LIFE_INNER_H
#define QT_LIFE_INNER_H

#include "life.h"
#include "snap.h"

/* Bits of a set of states. */
static inline unsigned qt_bit(enum qt_state s)
{
	return 1U << s;
}

/* After it, whoever brings a container up has failed, and the agent settles what is there. */
#define QT_BRING_UP_MS 60000

#define QT_RETRY_MS	20000 /* so long an operation waits for a runtime that is away */
#define QT_RETRY_GAP_MS 200

/* qt_life_start(), and also from starting: whoever began that died, or is another executor, and then both end at the same. */
int qt_life_start_over(struct qt_life *l, struct qt_ctr *c, struct qt_err *e);

/* How a container is brought up; all zero: as a plain create. */
struct qt_bringing {
	const char *from;	    /* whose data it begins with; NULL: what its record says (copied_from) */
	enum qt_consistency consistency; /* of that copy, when it is of a container that runs */
	bool no_start;		    /* it is made, and left in created */
	bool keep;		    /* what goes wrong is the caller's to undo, by qt_life_unmake() */
	int budget_ms;		    /* 0: a create's */
	bool unsent;		    /* set: it failed, and the runtime was never asked */
	uint64_t paused_us, flush_us; /* set: how long the source stood still; how long its dirty pages were written before */
};
int qt_life_bring(struct qt_life *l, struct qt_ctr *c, struct qt_bringing *b, struct qt_ready *ready, struct qt_err *e);
/* Nothing is left of it; what cannot be undone now is marked, and the agent undoes it, whatever the runtime made of it. */
void qt_life_unmake(struct qt_life *l, const struct qt_ctr *c);
/* Would qt_life_reserve() refuse it for another reason than name and quota? And the reservation alone, for so long; on c->node, or here. */
int qt_life_reservable(struct qt_life *l, const struct qt_ctr *c, struct qt_err *e);
int qt_life_reserve_for(struct qt_life *l, struct qt_ctr *c, int64_t for_ms, struct qt_err *e);

/* The further routes of C, which runs: all that Redis knows. Can be taken again. */
int qt_life_routes(struct qt_life *l, const struct qt_ctr *c, struct qt_err *e);

/* Give the runtime its copy of the record. The agent does it when the runtime is away just now. */
void qt_life_copy(struct qt_life *l, const struct qt_ctr *c);

/* The runtime's answer was lost (or it never got the request): nobody knows what it did. */
static inline bool qt_answer_lost(const struct qt_err *e)
{
	return e->code == QT_E_RUNTIME_UNAVAILABLE || e->code == QT_E_TIMEOUT;
}

/* --- operations ---------------------------------------------------------------------------------------- */

/* Executors, one a type (the table is in ops.c). Each may be called again for the same operation at any time after an earlier call was cut
 * off anywhere, and brings it to the same end; it undoes what it made before it fails. O's result, container, snapshot, warnings, downgrades
 * and items are its to fill; status, error and the last message are not. RUNTIME_UNAVAILABLE: it is called again, for a while. */
int qt_op_ctr_create(struct qt_life *l, struct qt_op *o, struct qt_err *e);
int qt_op_ctr_start(struct qt_life *l, struct qt_op *o, struct qt_err *e);
int qt_op_ctr_stop(struct qt_life *l, struct qt_op *o, struct qt_err *e);
int qt_op_ctr_delete(struct qt_life *l, struct qt_op *o, struct qt_err *e);
int qt_op_ctr_archive(struct qt_life *l, struct qt_op *o, struct qt_err *e);
int qt_op_vol_archive(struct qt_life *l, struct qt_op *o, struct qt_err *e);
int qt_op_img_pull(struct qt_life *l, struct qt_op *o, struct qt_err *e);
int qt_op_img_build(struct qt_life *l, struct qt_op *o, struct qt_err *e);
int qt_op_ctr_batch(struct qt_life *l, struct qt_op *o, struct qt_err *e);
int qt_op_vol_delete(struct qt_life *l, struct qt_op *o, struct qt_err *e);

int qt_op_snap_create(struct qt_life *l, struct qt_op *o, struct qt_err *e);
int qt_op_snap_clone(struct qt_life *l, struct qt_op *o, struct qt_err *e);
int qt_op_ctr_fork(struct qt_life *l, struct qt_op *o, struct qt_err *e);

/* After the error E: must everything be left as it is? Another agent has the operation, or the executor is called again. */
bool qt_op_leave(struct qt_life *l, const struct qt_err *e);

/* E is about what this try itself had found or begun. If that is not there any more, since the runtime died meanwhile or another took it away, all is done
 * anew. -1. */
int qt_op_vanished(struct qt_life *l, const struct qt_err *e);

/* Before the first step that changes anything, and between any two after which it could still be undone: may it go on? -1: undo, and
 * return that error. The deadline has passed (TIMEOUT), a client cancelled it or another agent has it (CONFLICT), or the store is away. */
int qt_op_go_on(struct qt_life *l, const struct qt_op *o, struct qt_err *e);
/* Only: did a client cancel it, or has another agent it by now? An executor that heeds it fails with any error; if it was cancelled, it undoes before, and the operation
 * is "cancelled"; if it is lost, all is the other's. */
bool qt_op_cancelled(struct qt_life *l, const struct qt_op *o);
/* PCT (0 to 100) and MESSAGE (a literal or short text for clients) into the record; an event of it. */
void qt_op_progress(struct qt_life *l, struct qt_op *o, unsigned pct, const char *message);
/* container_id, and of C (may be NULL) name, state and exit code, into O's result. */
void qt_op_tell(struct qt_op *o, const struct qt_ctr *c);

/* A connection to the init of C, the caller's. */
int qt_life_connect(struct qt_life *l, const struct qt_ctr *c, int *ret_fd, struct qt_err *e);

/* Why minit could not start what M asks for: an exit code with its text and a newline (0), or an error. *RET_TEXT is the caller's. */
struct mi_failed;
struct mi_exec;
int qt_exec_not_started(const struct mi_failed *f, const struct mi_exec *m, int *ret_exit_code, char **ret_text, struct qt_err *e);

/* Before C is ended: what its jobs wrote goes into their records, since it goes with the container's memory. An init that does not answer within BUDGET_MS (of
 * all jobs together) takes it with it. True if the end of each that had ended before is in its record, if it has one. */
bool qt_life_jobs_save(struct qt_life *l, const struct qt_ctr *c, int budget_ms);
/* C's init was asked to start and keep something, and FAILED. True if that was for want of a place, and another try may find one: what is to be known of its
 * jobs is in their records now. */
bool qt_life_jobs_make_room(struct qt_life *l, const struct qt_ctr *c, const struct mi_failed *failed);

#endif
