/* image_rig.h - images of a real runtime, made as the agent makes them, and what of them is to be seen. Tests fail where nothing is said of an error. */
#ifndef IMAGE_RIG_H
#define IMAGE_RIG_H

#include "files/proto.h"
#include "rt_rig.h"

#define LAYERS 8

/* Tars with one file each, and their digests; they are not packed, so the diff_id is the same. */
struct img_layer {
	char tar[3 * 512 + 512], hex[FT_SHA256 + 1];
	int fd;
};
extern struct img_layer layers[LAYERS];
void img_make_layers(void);

struct qt_id img_tenant(void);
void img_digest(char *hex, const char *text); /* FT_SHA256 + 1 bytes */

/* The manifest is each image's own, here its id; the configuration is everybody's. */
#define IMG_CONFIG "the configuration"

/* A request to begin an image, with its documents and without layers. */
struct img_begun {
	struct rt_image_begin_req req;
	char layers[(LAYERS + 1) * (FT_SHA256 + 1)], blobs[2 * (FT_SHA256 + 1)];
};
void img_prepare(struct img_begun *b, struct qt_id id);
void img_name_layer(struct img_begun *b, const char *hex);

int img_store_layer(struct rig *r, struct qt_id id, const struct img_layer *l, struct qt_err *e);
int img_store_documents(struct rig *r, struct qt_id id, struct qt_err *e);
/* A pull; SET: a bit for each layer. */
int img_pull_by(struct rig *r, struct qt_id id, unsigned set, bool documents_first, struct qt_err *e);
int img_pull(struct rig *r, struct qt_id id, unsigned set, struct qt_err *e); /* documents first, as the agent does */

/* A container that does not run, with the file "built" of its own; and an image of what it wrote, on layers[1], as a build ends. */
struct qt_id img_make_container(struct rig *r);
int img_take(struct rig *r, struct qt_id ctr, struct qt_id id, struct qt_err *e);

int img_drop(struct rig *r, struct qt_id id, struct qt_err *e);

/* The layers of the store are those of SET. */
void img_holds(struct rig *r, unsigned set);
/* So many blobs so many images have. */
unsigned img_blobs(unsigned images);
/* The documents of ID are what they were, and the index has it; or neither. */
void img_documented(struct rig *r, struct qt_id id, bool there);

#endif
