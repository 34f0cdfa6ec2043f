/* settle_in.h - what the files that settle share: sets of ids. Private to src/life. */
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

/* The snapshots of this node, of Redis and of the runtime. */
int qt_settle_snapshots(struct qt_life *l, struct qt_settled *ret, struct qt_err *e);

/* The pulled images of this node, of Redis and of the runtime. */
int qt_settle_images(struct qt_life *l, struct qt_settled *ret, struct qt_err *e);

/* The volumes of this node, of Redis and of the runtime. */
int qt_settle_volumes(struct qt_life *l, struct qt_settled *ret, struct qt_err *e);

#endif
