/* blobs.h - the OCI layout POOL/oci: documents of images by their digests, and the index of all images, for other programs to read. */
#ifndef RT_BLOBS_H
#define RT_BLOBS_H

#include "managed.h"

bool rt_blob_there(const struct rt *rt, const char *hex);

/* LAYERS/NAME/blob, which quilt-files wrote and compared with the digest HEX, becomes the blob: on disk when this returns. CONFLICT: there is none. */
int rt_blob_publish(struct rt *rt, const char *name, const char *hex, struct qt_err *e);

/* "manifest.json" or "config.json" of an image (O_RDONLY), the caller's. NOT_FOUND. */
int rt_blob_document(struct rt *rt, const struct rt_obj *image, const char *name, struct qt_err *e);

/* Blobs that neither an image nor a version of a managed one (KEPT) needs go to the trash. For who has the lock (layers.c), as the next one. */
int rt_blobs_sweep(struct rt *rt, const struct rt_managed_kept *kept, struct qt_err *e);
/* index.json anew: managed images by their tags, others by their ids. */
int rt_blobs_index(struct rt *rt, struct qt_err *e);

#endif
