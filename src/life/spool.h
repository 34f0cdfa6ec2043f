/*
 * spool.h - uploaded archives on their way from a worker to the agent: STATE_DIR/spool, which both may write (setup makes it: the workers' user, the agent's group, setgid).
 *
 * Build contexts lie there, too, as TENANT.UUID, for build_context_ttl_s (contexts.h).
 *
 * A file without a name as long as it is received, so that a worker that dies leaves nothing; then TENANT.OPERATION until the operation is done. The worker
 * holds a lock on it (flock) until the operation is submitted. What is left of operations that are final, or were never submitted, the agent sweeps.
 */
#ifndef QT_SPOOL_H
#define QT_SPOOL_H

#include "life.h"

/* A file of the operation O, here or elsewhere: TENANT.OPERATION. False: the name is too long. */
bool qt_op_file_name(char *out, size_t size, const struct qt_op *o);
/* The operation whose file is called NAME is over: 1; it is not: 0. OPERATION_NOT_FOUND: nobody has submitted it, or it is long over. */
int qt_op_file_over(struct qt_life *l, const char *name, struct qt_err *e);

#define QT_SPOOL_MAX	    64 /* files, on this node */
#define QT_SPOOL_TENANT_MAX 16 /* of them, one tenant's */

/* A new, empty file for TENANT's archive; the caller's. UNAVAILABLE when there are too many. */
int qt_spool_new(const struct qt_conf *conf, const struct qt_id *tenant, struct qt_err *e);
/* Give FD the name of the operation O, whose id is set. */
int qt_spool_keep(const struct qt_conf *conf, int fd, const struct qt_op *o, struct qt_err *e);
/* O's archive, for reading. FILE_NOT_FOUND. */
int qt_spool_open(const struct qt_conf *conf, const struct qt_op *o, struct qt_err *e);
void qt_spool_drop(const struct qt_conf *conf, const struct qt_op *o);

/* The agent's: take away what nobody will ask for. */
int qt_spool_sweep(struct qt_life *l, struct qt_err *e);

#endif
