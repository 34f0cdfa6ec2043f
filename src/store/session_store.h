/* session_store.h - the records of terminal sessions. Included by store.h's users that need them. */
#ifndef QT_SESSION_STORE_H
#define QT_SESSION_STORE_H

#include "model/session.h"
#include "store.h"

/* QUOTA_EXCEEDED: the tenant has MOST already. DUE_MS: when it will be quiet for too long, or over (wall clock). */
int qt_store_session_put(struct qt_store *s, const struct qt_session *x, uint64_t most, int64_t due_ms, struct qt_err *e);
/* What changes: size, pid, attached, last_ms. SESSION_NOT_FOUND. */
int qt_store_session_touch(struct qt_store *s, const struct qt_session *x, int64_t due_ms, struct qt_err *e);
int qt_store_session_get(struct qt_store *s, const struct qt_id *tenant, const char *id, struct qt_session *ret, struct qt_err *e);
/* Calls FN for each, the oldest first. */
int qt_store_session_each(struct qt_store *s, const struct qt_id *tenant, void (*fn)(const struct qt_session *x, void *arg), void *arg,
			  struct qt_err *e);
int qt_store_session_remove(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e); /* also twice */
/* Those of NODE that are due: at most MOST of tenant and id each into RET; how many. */
struct qt_session_name {
	struct qt_id tenant, id;
};
int qt_store_sessions_due(struct qt_store *s, const char *node, int64_t now_ms, struct qt_session_name *ret, unsigned most, struct qt_err *e);
int qt_store_sessions_reset(struct qt_store *s, const char *node, struct qt_err *e); /* nobody is attached */

#endif
