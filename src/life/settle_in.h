/* settle_in.h - what the files that settle share. Private to src/life. */
#ifndef QT_LIFE_SETTLE_IN_H
#define QT_LIFE_SETTLE_IN_H

#include "rt.h"
#include "settle.h"

struct qt_ids {
	struct qt_id *v;
	size_t n, cap;
};
void qt_ids_done(struct qt_ids *i);
#define auto_ids QT_AUTO(qt_ids_done) /* include cleanup.h */

int qt_ids_add(struct qt_ids *i, const struct qt_id *id, struct qt_err *e);
/* A page of a list of the runtime's, whose ids are of PREFIX and all behind AFTER (QT_ID_MAX + 1 bytes), which is moved on. 1: there may be more;
 * 0: that was all; RUNTIME_UNAVAILABLE: it is no such page. */
int qt_ids_add_page(struct qt_ids *i, const struct rt_strv *page, const char *prefix, char *after, struct qt_err *e);
/* What the runtime has of KIND: "vol", "snap" or "img". */
int qt_ids_list(struct qt_life *l, const char *kind, struct qt_ids *ret, struct qt_err *e);
void qt_ids_sort(struct qt_ids *i);
/* I is sorted. */
bool qt_ids_have(const struct qt_ids *i, const struct qt_id *id);

/* R is what a change answered; COUNT counts those that were made. Somebody else may have been quicker, or be in the way: what he did counts, and the next pass
 * looks again. */
int qt_settle_counted(int r, unsigned *count, struct qt_err *e);

/* FN for each of HERE, which the runtime has, that is not in KNOWN: Redis did not list it. KNOWN is sorted by it. */
typedef int (*qt_stray_fn)(struct qt_life *l, const struct qt_id *id, struct qt_settled *ret, struct qt_err *e);
int qt_settle_strays(struct qt_life *l, const struct qt_ids *here, struct qt_ids *known, qt_stray_fn fn, struct qt_settled *ret, struct qt_err *e);

/* The snapshots of this node, of Redis and of the runtime. */
int qt_settle_snapshots(struct qt_life *l, struct qt_settled *ret, struct qt_err *e);

/* The pulled images of this node, of Redis and of the runtime. */
int qt_settle_images(struct qt_life *l, struct qt_settled *ret, struct qt_err *e);

/* The volumes of this node, of Redis and of the runtime. */
int qt_settle_volumes(struct qt_life *l, struct qt_settled *ret, struct qt_err *e);

#endif
