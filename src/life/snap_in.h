/* snap_in.h - what the files about snapshots and copies share. Private to src/life. */
#ifndef QT_LIFE_SNAP_IN_H
#define QT_LIFE_SNAP_IN_H

#include "dec.h"
#include "inner.h"
#include "snaps.h"

/* How long that which an operation of TYPE is to make is reserved: longer than the operation may take. */
int64_t qt_op_reservation_ms(enum qt_op_type type);

/* What was asked for, or what the source has, and a copy does not get. */
void qt_snap_downgrades(struct qt_op *o, enum qt_network_mode network, uint32_t gpus);

/* The runtime's record as S has it. */
int qt_snap_save(struct qt_life *l, const struct qt_snap *s, struct qt_err *e);

/* Milliseconds that a request to the runtime for O may take. */
int qt_op_budget_ms(const struct qt_op *o);

/* --- volumes of copies ------------------------------------------------------------------------------- */

/* Into ARGS: "volumes", what the new container C will have of SPECS ("name:/target[:ro]"), and "copies", the volumes that are made for it, each {name, source,
 * id}: the data of the volume `id`, which was called `source`. CAPTURED: of a snapshot; NULL: MODE says which, by their state now. */
int qt_copies_plan(struct qt_life *l, const struct qt_ctr *c, const json_t *specs, enum qt_volume_mode mode, const json_t *captured,
		   json_t *args, struct qt_err *e);
/* Make them, out of the snapshot FROM. What is there already is well. */
int qt_copies_make(struct qt_life *l, const struct qt_ctr *c, const struct qt_op *o, const struct qt_id *from, struct qt_err *e);
/* Take them away again: nobody has them. */
void qt_copies_undo(struct qt_life *l, const struct qt_op *o);

/* The snapshot that is taken of a container to fork it with its volumes, and gone afterwards: its id, from the new container's; the record that tells the
 * agent of one that was left. */
struct qt_id qt_passing_id(const struct qt_id *ctr);
bool qt_passing_record(const char *record, size_t len, int64_t *ret_until_ms);

#endif
