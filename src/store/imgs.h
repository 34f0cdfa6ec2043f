/* imgs.h - pulled images in Redis; as store.h. */
#ifndef QT_IMGS_H
#define QT_IMGS_H

#include "img.h"
#include "store.h"

struct qt_img_list {
	struct qt_img *v;
	size_t n;
	char cursor[96];
};
void qt_img_list_done(struct qt_img_list *l);

/* QUOTA_EXCEEDED: the tenant has its images. */
int qt_store_img_room(struct qt_store *s, const struct qt_id *tenant, struct qt_err *e);
/* It is there, and is what its reference means now. May be said again. QUOTA_EXCEEDED. */
int qt_store_img_put(struct qt_store *s, const struct qt_img *i, struct qt_err *e);
/* As qt_store_ctr_restore(). IMAGE_NOT_FOUND: it was removed less than two minutes ago, and stays away. */
int qt_store_img_restore(struct qt_store *s, const struct qt_img *i, struct qt_err *e);
/* WHO is an id or a whole reference. RET is initialised here on success; IMAGE_NOT_FOUND, also for another tenant's. */
int qt_store_img_get(struct qt_store *s, const struct qt_id *tenant, const char *who, struct qt_img *ret, struct qt_err *e);
/* All of TENANT, the oldest first, untagged ones too; all of NODE. qt_img_list_done() frees. */
int qt_store_img_list(struct qt_store *s, const struct qt_id *tenant, struct qt_img_list *ret, struct qt_err *e);
int qt_store_img_of_node(struct qt_store *s, const char *node, struct qt_img_list *ret, struct qt_err *e);
/* IMAGE_NOT_FOUND the second time. */
int qt_store_img_remove(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e);

#endif
