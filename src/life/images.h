/* images.h - images: what workers do about pulled ones, and what the agent's executor needs; what managed ones there are. */
#ifndef QT_LIFE_IMAGES_H
#define QT_LIFE_IMAGES_H

#include "img.h"
#include "life.h"

/* The image that REFERENCE (as a client wrote it) means for TENANT. FIELD is its JSON pointer, or "". IMAGE_NOT_FOUND with a hint; VALIDATION_ERROR. */
int qt_life_img_get(struct qt_life *l, const struct qt_id *tenant, const char *field, const char *reference, struct qt_img *ret, struct qt_err *e);

/* The managed image NAME of this node, as it is now. Digests; "" where one that an older quiltd made has none. 1: there it is; 0: there is none; -1. */
struct qt_managed {
	char manifest[QT_DIGEST_MAX + 1], config[QT_DIGEST_MAX + 1], layer[QT_DIGEST_MAX + 1];
};
int qt_life_managed(struct qt_life *l, const char *name, struct qt_managed *ret, struct qt_err *e);

/* A file of an image on this node that the runtime shows (RT_IMAGE_FILE), of at most MAX bytes. *RET is the caller's, free(); a NUL follows its LEN bytes. NOT_FOUND. */
int qt_life_image_file(struct qt_life *l, const char *image, const char *path, uint64_t max, char **ret, size_t *len, struct qt_err *e);

/* Its manifest ("manifest.json") or configuration ("config.json"), as the registry sent it. free(). */
char *qt_life_img_document(struct qt_life *l, const struct qt_img *i, const char *name, struct qt_err *e);

/* IMAGE_IN_USE while a container or a snapshot stands on it. */
int qt_life_img_delete(struct qt_life *l, const struct qt_img *i, struct qt_err *e);

/* A pull: the operation is submitted. USER and PASSWORD may be "": they go by way of a file that only this node's agent reads, in RUN_DIR, which is memory, and are in
 * no record. QUOTA_EXCEEDED, VALIDATION_ERROR. RET is initialised on success. */
struct qt_pull {
	const char *reference, *platform; /* platform "": this machine's */
	bool force; /* though the tenant has the reference */
	const char *user, *password;
};
int qt_life_img_pull(struct qt_life *l, const struct qt_id *tenant, const struct qt_pull *p, struct qt_op *ret, struct qt_err *e);

/* What an agent that died had fetched so far, of all pulls: also of one whose image was stored just before, which nobody takes up again. For who holds the lock of
 * STATE_DIR/agent, before its first pull. */
int qt_img_pull_sweep(const struct qt_conf *conf, struct qt_err *e);

/* Wait for the end of the operation O, at most WAIT_MS, and read it anew. TIMEOUT: it goes on. */
int qt_life_op_wait(struct qt_life *l, struct qt_op *o, int wait_ms, bool (*gone)(void *arg), void *arg, struct qt_err *e);

/* --- what a pull and a build do alike ------------------------------------------------------------------------- */
/* An image of LAYERS (digests, the bottom first) is begun; MANIFEST and CONFIG are the digests of its documents, "" of what has none. *RET_THERE: it is there already. */
struct qt_img_begin {
	struct qt_id id, tenant;
	const json_t *layers;
	const char *manifest, *config;
	bool docker; /* the manifest is one of Docker's */
};
int qt_img_begin(struct qt_life *l, const struct qt_img_begin *b, bool *ret_there, struct qt_err *e);
/* The document of that DIGEST, the content of FD from its begin. */
int qt_img_keep(struct qt_life *l, const struct qt_id *image, const char *digest, int fd, struct qt_err *e);

/* --- secret.c: credentials of an operation that is not over, in RUN_DIR/secrets/TENANT.OPERATION ---------------- */
int qt_secret_put(const struct qt_conf *conf, const struct qt_op *o, const json_t *secret, struct qt_err *e);
json_t *qt_secret_get(const struct qt_conf *conf, const struct qt_op *o); /* NULL: there is none */
void qt_secret_drop(const struct qt_conf *conf, const struct qt_op *o);
/* The agent's: of operations that are over, or were never submitted. */
int qt_secret_sweep(struct qt_life *l, struct qt_err *e);

/* --- fetch.c: quilt-pull (src/pull/pull.h) ---------------------------------------------------------------------- */
/* Run it with REQUEST in the directory DIR, until it ends or PROGRESS says false (CONFLICT) or DEADLINE_MS (TIMEOUT). *RET is its last word, a new reference. */
int qt_fetch(const char *dir, const json_t *request, bool (*progress)(void *arg, unsigned percent), void *arg, int64_t deadline_ms, json_t **ret,
	     struct qt_err *e);

#endif
