/* layers.h - the layers of pulled images, in the pool, and what containers stand on. */
#ifndef RT_LAYERS_H
#define RT_LAYERS_H

#include "runtime.h"
#include "spawn.h"

#define RT_LAYER_HEX	64
#define RT_LAYER_NAME	(QT_ID_MAX + 1 + RT_LAYER_HEX + 1) /* "ID.HEX" */

/* 64 hexadecimal digits in lower case? */
bool rt_layer_hex_ok(const char *hex);
bool rt_layer_there(const struct rt *rt, const char *hex);
bool rt_layer_of(const struct rt_obj *image, const char *hex);

/* Is IMAGE, a managed one's name or a pulled one's id, there for TENANT? IMAGE_NOT_FOUND. */
int rt_image_check(struct rt *rt, const struct qt_id *tenant, const char *image, struct qt_err *e);

/* What a container of IMAGE stands on, the topmost first: FDS has RT_LAYERS_MAX places, *N of them are the caller's afterwards. IMAGE_NOT_FOUND. */
int rt_image_layers(struct rt *rt, const char *image, int *fds, unsigned *n, struct qt_err *e);

/* Does a container or a snapshot stand on it? */
bool rt_image_in_use(const struct rt *rt, const struct qt_id *image);

/* Images that are being made by nobody any more go, with what there is of them (op_image.c). */
void rt_images_sweep(struct rt *rt);

/* Layers that no image names, and half-made ones of images that are not being made, go to the trash. */
void rt_layers_sweep(struct rt *rt);

/* What is under way to commit a layer (op_image.c): ended, and waited for. */
void rt_layer_jobs_close(struct rt *rt);

#endif
