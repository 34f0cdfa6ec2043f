/* snaps.h - snapshots, clones and forks (contract 6), for workers and agents alike. A snapshot holds data, never policy: what a copy may have is
 * asked when it is made. */
#ifndef QT_LIFE_SNAPS_H
#define QT_LIFE_SNAPS_H

#include "life.h"
#include "snap_store.h"

/* Take a snapshot of C: the record at once, in creating; the data by the agent. S holds what the client asked for (name, modes, ttl_s, labels) and
 * becomes the record; OP is initialised and submitted. DRY: checked, and nothing is made. INVALID_STATE, VOLUME_NOT_FOUND, QUOTA_EXCEEDED,
 * PAYLOAD_TOO_LARGE. */
int qt_life_snap_take(struct qt_life *l, const struct qt_ctr *c, struct qt_snap *s, bool dry, struct qt_op *op, struct qt_err *e);

/* RET is initialised here. SNAPSHOT_NOT_FOUND: it is gone, or going. */
int qt_life_snap_pin(struct qt_life *l, const struct qt_id *tenant, const char *id, bool pinned, struct qt_snap *ret, struct qt_err *e);

/* SNAPSHOT_PINNED, SNAPSHOT_IN_USE; SNAPSHOT_NOT_FOUND when it is gone already. EVENT is told: "removed", "expired", "failed". */
int qt_life_snap_delete(struct qt_life *l, const struct qt_snap *s, enum qt_snap_why why, const char *event, struct qt_err *e);

/* What a client wants of a copy. */
struct qt_copy {
	const char *name;     /* "": one is made up */
	const json_t *labels; /* on top of the source's; or NULL */
	bool start, dry;
	enum qt_consistency consistency; /* the rest: of a fork */
	enum qt_network_mode network;
	enum qt_volume_mode volumes;
};
/* A new container with the data of the snapshot S, or of the container C: reserved at once, made by the agent. RET and OP are initialised here on
 * success. SNAPSHOT_NOT_FOUND, INVALID_STATE, IMAGE_NOT_FOUND, VALIDATION_ERROR (the node does not have so much), CONTAINER_NAME_CONFLICT,
 * VOLUME_NOT_FOUND, QUOTA_EXCEEDED. */
int qt_life_clone(struct qt_life *l, const struct qt_snap *s, const struct qt_copy *how, struct qt_ctr *ret, struct qt_op *op,
		  struct qt_err *e);
int qt_life_fork(struct qt_life *l, const struct qt_ctr *c, const struct qt_copy *how, struct qt_ctr *ret, struct qt_op *op,
		 struct qt_err *e);

#endif
