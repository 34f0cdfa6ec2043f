/* share.h - how many threads of the slow pool one tenant may hold, over all workers: a table that they share. A tenant that is alone gets
 * tenant_slow_percent of them; the more is taken, the less each may have, and something is always left for who holds nothing yet: of K that press, each
 * gets p/(100 - p) times what is then free. */
#ifndef QT_SHARE_H
#define QT_SHARE_H

#include <stdbool.h>

#include "err.h"

struct qt_share;

/* For so many workers (ROWS) of so many threads at most; in memory that children of the caller share. */
int qt_share_new(struct qt_share **ret, unsigned rows, unsigned threads_max, struct qt_err *e);
/* The master's: a worker of so many THREADS begins with ROW; has ended, or takes nothing any more. A row that is not open counts for nothing. */
void qt_share_open(struct qt_share *s, unsigned row, unsigned threads);
void qt_share_shut(struct qt_share *s, unsigned row);

/* Thread THREAD of ROW works for TENANT from here on. False: it has its share, and is refused. S may be NULL: all may. */
bool qt_share_take(struct qt_share *s, unsigned row, unsigned thread, const char *tenant, unsigned percent);
void qt_share_give(struct qt_share *s, unsigned row, unsigned thread);

#endif
