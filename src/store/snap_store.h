/* snap_store.h - snapshots in Redis; as store.h. */
#ifndef QT_SNAP_STORE_H
#define QT_SNAP_STORE_H

#include "snap.h"
#include "store.h"

struct qt_snap_list {
	struct qt_snap *v;
	size_t n;
	char cursor[96];
};
void qt_snap_list_done(struct qt_snap_list *l);

/* The record, in creating. QUOTA_EXCEEDED. */
int qt_store_snap_reserve(struct qt_store *s, const struct qt_snap *x, struct qt_err *e);
/* The runtime has it, with SIZE bytes. Idempotent. SNAPSHOT_NOT_FOUND: it is gone, or going. */
int qt_store_snap_ready(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, uint64_t size, struct qt_err *e);
/* RET, initialised here, is the record after it; SNAPSHOT_NOT_FOUND as above. */
int qt_store_snap_pin(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, bool pinned, struct qt_snap *ret,
		      struct qt_err *e);
/* The runtime's record says PINNED now. */
int qt_store_snap_saved(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, bool pinned, struct qt_err *e);
/* A delete has begun, and goes through whoever dies. SNAPSHOT_PINNED; SNAPSHOT_IN_USE while it is being made, or a container of it. Expired: only
 * if its time is over (SNAPSHOT_NOT_FOUND otherwise). Failed: it was never whole, and nothing holds it. */
enum qt_snap_why { QT_SNAP_ASKED, QT_SNAP_EXPIRED, QT_SNAP_FAILED };
int qt_store_snap_deleting(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, enum qt_snap_why why, struct qt_err *e);
/* Take the record away, with an event of that name. SNAPSHOT_NOT_FOUND the second time. */
int qt_store_snap_remove(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, const char *event, struct qt_err *e);
/* Put back what the runtime has, if it is not there. SNAPSHOT_NOT_FOUND: it was removed less than two minutes ago. */
int qt_store_snap_restore(struct qt_store *s, const struct qt_snap *x, struct qt_err *e);

/* RET is initialised here on success. */
int qt_store_snap_get(struct qt_store *s, const struct qt_id *tenant, const char *id, struct qt_snap *ret, struct qt_err *e);
/* Oldest first, as qt_store_ctr_list(). SOURCE: of this container only, or NULL. LABELS: object of strings that it must have, or NULL. */
int qt_store_snap_list(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *source, const json_t *labels, unsigned limit,
		       const char *cursor, struct qt_snap_list *ret, struct qt_err *e);
/* The snapshot, its parent, and so on: at most 256. */
int qt_store_snap_lineage(struct qt_store *s, const struct qt_id *tenant, const char *id, struct qt_snap_list *ret, struct qt_err *e);
/* For the agent: all of NODE; those whose time is over, at most 100. */
int qt_store_snap_of_node(struct qt_store *s, const char *node, struct qt_snap_list *ret, struct qt_err *e);
int qt_store_snap_expired(struct qt_store *s, const char *node, struct qt_snap_list *ret, struct qt_err *e);

#endif
