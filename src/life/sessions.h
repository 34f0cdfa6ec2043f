/* sessions.h - terminal sessions (contract 11). The container's init holds the terminal and the shell under the session's id, so that they outlive every
 * program of ours; Redis has the record; quilt-stream has whoever is attached. */
#ifndef QT_LIFE_SESSIONS_H
#define QT_LIFE_SESSIONS_H

#include "life.h"
#include "minit/minit_client.h"
#include "store/session_store.h"

/* A shell on a terminal of C: X has shell ("": bash, or sh where that is not there), cols and rows; the rest is set here. CONTAINER_NOT_FOUND,
 * INVALID_STATE, QUOTA_EXCEEDED, VALIDATION_ERROR (no such shell), EXEC_NOT_READY. */
int qt_life_session_open(struct qt_life *l, const struct qt_ctr *c, struct qt_session *x, struct qt_err *e);
/* SESSION_NOT_FOUND also when its container was stopped since. */
int qt_life_session_get(struct qt_life *l, const struct qt_id *tenant, const char *id, struct qt_session *ret, struct qt_err *e);
json_t *qt_life_session_list(struct qt_life *l, const struct qt_id *tenant, struct qt_err *e); /* an array of views */
/* Our end of it, the caller's: the connection by which its end is told, the terminal's master, which does not block, and the file of what it showed last (-1: its
 * init has none). SESSION_NOT_FOUND. */
struct qt_terminal {
	int conn, master, scroll;
};
#define QT_TERMINAL_NONE ((struct qt_terminal){-1, -1, -1})
int qt_life_session_attach(struct qt_life *l, const struct qt_session *x, struct qt_terminal *ret, struct qt_err *e);
void qt_terminal_done(struct qt_terminal *t);
int qt_life_session_resize(struct qt_life *l, struct qt_session *x, uint32_t cols, uint32_t rows, struct qt_err *e);
/* Kill what runs, and forget it. Not an error if all of that has happened already. */
int qt_life_session_end(struct qt_life *l, const struct qt_session *x, struct qt_err *e);
/* The record of X, which quilt-stream has hold of, is not there: it is put again, if it was lost (FLUSHALL). SESSION_NOT_FOUND: the session has ended, or its container
 * has no record itself, yet. */
int qt_life_session_restore(struct qt_life *l, const struct qt_session *x, struct qt_err *e);
/* When it is due to end, as X is now. */
int64_t qt_session_due(const struct qt_conf *conf, const struct qt_session *x);

#endif
