/* managed.h - managed images: tags, which are links, to versions (store.h). `quiltctl image build` makes both; the runtime takes away the versions that nobody
 * stands on and no tag means. */
#ifndef RT_MANAGED_H
#define RT_MANAGED_H

#include "runtime.h"

/* Is NAME a tag? The version that it leads to; RET as below. */
bool rt_managed_tag(const struct rt_store *s, const char *name, char *ret);

/* What NAME means now: a version, or NAME itself, if an older quiltd made it. IMAGE_NOT_FOUND. RET has RT_IMAGE_MAX + 1 bytes. */
int rt_managed_now(const struct rt_store *s, const char *name, char *ret, struct qt_err *e);

/* What the image.conf of a name or a version says; IMAGE_NOT_FOUND if there is no such image, or it is not whole. */
int rt_managed_conf(const struct rt_store *s, const char *image, struct rt_image *ret, struct qt_err *e);

/* Its root file system (O_PATH), the caller's. */
int rt_managed_root(const struct rt_store *s, const char *image, struct qt_err *e);

/* Is it a version that no tag means (any more)? */
bool rt_managed_is_old(const struct rt_store *s, const char *image);

/* What managed images stand on: names in POOL/layers and in POOL/oci/blobs/sha256. */
struct rt_managed_kept {
	char (*hex)[RT_IMAGE_HEX + 1];
	size_t n, cap;
};
bool rt_managed_keeps(const struct rt_managed_kept *k, const char *hex);
void rt_managed_kept_done(struct rt_managed_kept *k);

/* Versions that no tag means and nothing stands on go to the trash; KEPT is what the others need. For who has the lock (layers.c). */
int rt_managed_sweep(struct rt *rt, struct rt_managed_kept *kept, struct qt_err *e);

#endif
