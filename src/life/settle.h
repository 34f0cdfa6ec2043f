/* settle.h - making Redis agree with the runtime, whose journal is the truth about which containers, volumes and snapshots this node has and whether they run. What a
 * dead worker, a dead agent, a crash of the runtime or a FLUSHALL left half done is mended here and nowhere else. */
#ifndef QT_SETTLE_H
#define QT_SETTLE_H

#include "life.h"

/* What was done, for the log. */
struct qt_settled {
	unsigned adopted;  /* it runs, and Redis did not say so */
	unsigned ended;	   /* it does not run any more */
	unsigned restored; /* Redis had lost it */
	unsigned released; /* reserved, and never made */
	unsigned deleted;  /* a delete that somebody began */
	unsigned lost;	   /* the runtime does not know it: now in state error */
	unsigned lost_images; /* the runtime does not have it: forgotten, since a registry does */
	unsigned copied;   /* the runtime's record brought up to date */
	unsigned lost_snapshots; /* the same of snapshots */
	unsigned lost_volumes; /* the runtime does not have it: left alone, for its owner to delete */
	unsigned strange;  /* the runtime has it with a record that nobody can read: left alone */
};

/* From pass to pass: what the runtime did not know in the pass before. Zeroed at first; qt_settle_done() at the end. */
struct qt_settle {
	struct qt_id *before;
	size_t n_before;
};
void qt_settle_done(struct qt_settle *s);

/* Compare all of this node. *RET is added to. -1 when Redis or the runtime is away: nothing is concluded from that. */
int qt_settle_all(struct qt_life *l, struct qt_settle *s, struct qt_settled *ret, struct qt_err *e);

/* The same for one that the runtime has. Nothing is done if it does not. */
int qt_settle_id(struct qt_life *l, const struct qt_id *id, struct qt_settled *ret, struct qt_err *e);

/* Delete the snapshots of this node whose time is over; *RET_GONE counts them. */
int qt_settle_expired(struct qt_life *l, unsigned *ret_gone, struct qt_err *e);

/* A container by its id alone, as the runtime's record names its tenant. CONTAINER_NOT_FOUND. RET is initialised here. */
int qt_settle_find(struct qt_life *l, const struct qt_id *id, struct qt_ctr *ret, struct qt_err *e);

#endif
