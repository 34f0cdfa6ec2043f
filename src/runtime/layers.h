/* layers.h - the layers of images, in the pool, and what containers stand on. */
#ifndef RT_LAYERS_H
#define RT_LAYERS_H

#include "runtime.h"
#include "spawn.h"

#define RT_LAYER_HEX	RT_IMAGE_HEX
#define RT_LAYER_NAME	(QT_ID_MAX + 1 + RT_LAYER_HEX + 1) /* "ID.HEX" */

bool rt_layer_there(const struct rt *rt, const char *hex);
/* Its files (O_PATH), the caller's. IMAGE_NOT_FOUND. */
int rt_layer_open(const struct rt_store *s, const char *hex, struct qt_err *e);

/* Is IMAGE, a managed one's name or a pulled one's id, there for TENANT? IMAGE_NOT_FOUND. */
int rt_image_check(struct rt *rt, const struct qt_id *tenant, const char *image, struct qt_err *e);

/* What a container of IMAGE stands on, the topmost first: FDS has RT_LAYERS_MAX places, *N of them are the caller's afterwards. IMAGE_NOT_FOUND. */
int rt_image_layers(struct rt *rt, const char *image, int *fds, unsigned *n, struct qt_err *e);

/* What a container of IMAGE is to stand on for all its life: of a managed one a version, and for a copy of FROM (a container or a snapshot) the same that FROM
 * stands on. RET has RT_IMAGE_MAX + 1 bytes. */
int rt_image_choose(struct rt *rt, const char *image, const char *from, char *ret, struct qt_err *e);

/* Images that are being made by nobody any more go, with what there is of them (op_image.c). */
void rt_images_sweep(struct rt *rt);

/* Does a container or a snapshot stand on it? */
bool rt_image_in_use(const struct rt *rt, const char *image);
/* One of them that stood on IMAGE is gone: if it was the last one of an old version, that goes, too. */
void rt_image_left(struct rt *rt, const char *image);

/* Versions of managed images, layers and blobs that nobody names, and half-made layers of images that are not being made, go to the trash; at once, or, while
 * `quiltctl image build` puts something there, a second later. */
void rt_layers_sweep(struct rt *rt);
/* An image came: it goes into the index of POOL/oci. */
void rt_layers_changed(struct rt *rt);

/* What is under way to commit a layer (op_image.c): ended, and waited for. */
void rt_layer_jobs_close(struct rt *rt);

#endif
