/* img.h - pulled images, and how images are named (contract 14). No I/O. */
#ifndef QT_IMG_H
#define QT_IMG_H

#include "fields.h"

#define QT_DIGEST_MAX	  71 /* sha256:<64 hexadecimal digits> */
#define QT_IMG_LAYERS_MAX 127
#define QT_TAG_MAX	  128

/* What a reference says, made whole: "nginx" is docker.io/library/nginx:latest. */
struct qt_imgref {
	char registry[QT_IMAGE_MAX + 1]; /* host or host:port, in lower case */
	char repository[QT_IMAGE_MAX + 1];
	char tag[QT_TAG_MAX + 1];	/* "": only a digest */
	char digest[QT_DIGEST_MAX + 1]; /* "": none */
	char text[QT_IMAGE_MAX + 1];	/* all of it: registry/repository[:tag][@digest] */
};
/* VALIDATION_ERROR with FIELD. */
int qt_imgref_parse(const char *field, const char *text, struct qt_imgref *ret, struct qt_err *e);

/* sha256: and 64 hexadecimal digits in lower case? */
bool qt_digest_ok(const char *text);

/* What an image says of what is to run (its configuration): read, checked, and nothing else of it is. */
#define QT_IMAGE_CONFIG \
	char workdir[QT_WORKDIR_MAX + 1], user[QT_USER_MAX + 1]; \
	uint32_t stop_signal; /* 0: it does not say */ \
	json_t *env;	     /* array of "NAME=value" */ \
	json_t *entrypoint, *cmd; /* arrays of strings */

/* A pulled image of a tenant, as Redis and the runtime's record hold it. What it is made of never changes; a reference that is pulled anew is another
 * image then, and the old one stays, without the reference, while containers or snapshots stand on it. */
struct qt_img {
	struct qt_id id /* "img" */, tenant;
	char reference[QT_IMAGE_MAX + 1], registry[QT_IMAGE_MAX + 1], repository[QT_IMAGE_MAX + 1], tag[QT_TAG_MAX + 1];
	char manifest_digest[QT_DIGEST_MAX + 1], config_digest[QT_DIGEST_MAX + 1];
	char node[40], os[32], architecture[32];
	bool untagged; /* its reference means another one by now */
	uint64_t size_bytes; /* of the layers, as they were sent */
	int64_t pulled_ms;
	json_t *layers; /* array of digests, the bottom first */
	QT_IMAGE_CONFIG
};
extern const struct qt_mtable qt_img_table;
void qt_img_init(struct qt_img *i);
void qt_img_done(struct qt_img *i);
#define auto_img QT_AUTO(qt_img_done) /* include cleanup.h */

/* The contract's image object. Without DIGESTS those members are null. A new reference. */
json_t *qt_img_view(const struct qt_img *i, bool digests);

/* The members of the image's configuration (a JSON document out of a registry) that count, into I: IMAGE_REFUSED says what is not acceptable. The number of
 * its diff_ids must be N_LAYERS. */
int qt_img_configure(struct qt_img *i, const json_t *config, size_t n_layers, struct qt_err *e);

/* The contract's history: an array, a new reference. What is not as it should be is left out. */
json_t *qt_img_history(const json_t *config);

/* C is to run I: image, environment, user and stop signal; command and working directory, unless C has them. */
void qt_ctr_take_image(struct qt_ctr *c, const struct qt_img *i);

char *qt_img_dump(const struct qt_img *i, struct qt_err *e); /* free() */
int qt_img_load(struct qt_img *ret, const char *text, size_t len, struct qt_err *e); /* RET is initialised here */

#endif
