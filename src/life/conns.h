/*
 * conns.h - connections to the inits of containers that an exec is done with, kept a moment for the next: commands mostly come one after the other, and so the runtime is asked
 * once. Of one process, for all its threads.
 */
#ifndef QT_CONNS_H
#define QT_CONNS_H

#include "err.h"
#include "id.h"

#define QT_CONNS_MAX 64	  /* containers; the one that was used longest ago makes room */
#define QT_CONNS_MS  2000 /* unused, it is closed: minit has room for 288 connections of all workers */

struct qt_conns;
int qt_conns_new(struct qt_conns **ret, struct qt_err *e);
void qt_conns_free(struct qt_conns *c); /* closes all */

/* The caller's, or -1: there is none whose init is there. C may be NULL: there never is. */
int qt_conns_take(struct qt_conns *c, const struct qt_id *container);
/* Takes FD, on which nothing runs and nothing is to be read. One a container is kept. */
void qt_conns_put(struct qt_conns *c, const struct qt_id *container, int fd);
/* Close those that are old, or whose init is gone: to be called about once a second. */
void qt_conns_sweep(struct qt_conns *c);

#endif
