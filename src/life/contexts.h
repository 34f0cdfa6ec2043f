/* contexts.h - uploaded build contexts, in the spool (spool.h). */
#ifndef QT_LIFE_CONTEXTS_H
#define QT_LIFE_CONTEXTS_H

#include "conf.h"
#include "err.h"
#include "id.h"

#define QT_CONTEXT_ID	       36  /* a UUID, in lower case */
#define QT_CONTEXTS_TENANT_MAX 8   /* of one tenant: the oldest goes when another comes. A build that was accepted has a link of its own */
#define QT_CONTEXTS_MAX	       128 /* on this node */

bool qt_context_id_ok(const char *text);
/* FD, which came of qt_spool_new(), gets a name, and RET_ID (QT_CONTEXT_ID + 1 bytes) with it. UNAVAILABLE: there are too many. */
int qt_context_keep(const struct qt_conf *conf, int fd, const struct qt_id *tenant, char *ret_id, struct qt_err *e);
/* For reading. BUILD_CONTEXT_NOT_FOUND, also for one that is too old, and another tenant's. */
int qt_context_open(const struct qt_conf *conf, const struct qt_id *tenant, const char *id, struct qt_err *e);

#endif
