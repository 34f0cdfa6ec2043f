/*
 * store.h - the pool: images and their layers, containers' own layers, snapshots, volumes, and the trash.
 *
 *   POOL/id                    names the state directory that this pool belongs to
 *   POOL/images/NAME           a managed image, as clients name it: a link to one of its versions
 *   POOL/images/NAME@HEX/      a version: image.conf. HEX is the digest of its manifest
 *   POOL/oci/                  an OCI layout of all images: manifests and configurations (of managed images packed layers as well) by digest, and index.json
 *   POOL/ctr/ID/               a tree: upper/ and work/ of the overlay
 *   POOL/vol/ID/               a tree: data/
 *   POOL/img/ID/               a tree: data/, of a pulled or built image: while it is made, a build's context; afterwards empty (before version 3 of obj.h: its documents)
 *   POOL/layers/HEX/           fs/: a layer of images, by the sha256 of its blob; shared by all images, of all tenants
 *   POOL/layers/ID.HEX/        the same while it is unpacked for the image ID, and a list of what hides all below it: opaque
 *   POOL/snap/ID/              ctr/, a container's tree, and for each captured volume vol_…/, a volume's tree
 *   POOL/new/ID.N/             the copy of a tree, before it is moved to its place: what jobs work in, emptied at start
 *   POOL/trash/                what is to be deleted, by a job
 *
 * A tree is what a storage driver makes and copies; on btrfs it is a subvolume. None stands on another: each can go at any time.
 */
#ifndef RT_STORE_H
#define RT_STORE_H

#include "conf.h"
#include "id.h"
#include "image.h"
#include "job.h"

struct rt_store_driver;

struct rt_limit {
	uint64_t bytes, files; /* 0: no bound */
};

struct rt_store {
	const struct rt_store_driver *driver;
	struct rt_loop *loop;
	int pool_fd, images_fd, ctr_fd, vol_fd, snap_fd, img_fd, layers_fd, oci_fd, blobs_fd, new_fd, trash_fd;
	bool limits; /* trees can be limited */
	struct rt_limit ctr_limit, vol_limit; /* of the settings */
	uint32_t last_number;
	struct rt_job emptier;
	struct rt_timer soon;
	bool again; /* something came while the trash was emptied */
};

/* Opens the pool of CONF, makes what is missing. An error if it is not a mount of its own with nosuid, nodev and noexec, or if it
 * belongs to another state directory (STATE_FD): then nothing in it is unknown rubbish, and nothing may be swept. */
int rt_store_open(struct rt_store *s, struct rt_loop *loop, const struct qt_conf *conf, int state_fd, struct qt_err *e);
void rt_store_close(struct rt_store *s);
const char *rt_store_driver_name(const struct rt_store *s);

/* INSUFFICIENT_STORAGE when the pool has too little left for anything new. */
int rt_store_room(const struct rt_store *s, struct qt_err *e);

/* Empty trees. */
int rt_store_make(struct rt_store *s, const struct qt_id *id, struct qt_err *e);
int rt_store_make_volume(struct rt_store *s, const struct qt_id *id, uint64_t max_bytes, struct qt_err *e);
/* What a volume of so many bytes is held to; MAX_BYTES 0: the setting. */
struct rt_limit rt_store_volume_limit(const struct rt_store *s, uint64_t max_bytes);
int rt_store_make_image(struct rt_store *s, const struct qt_id *id, struct qt_err *e);
/* For a copy that is to be limited: what it must be numbered with before anything is in it; 0: it need not. */
int rt_store_number(struct rt_store *s, const struct rt_limit *l, uint32_t *ret, struct qt_err *e);
/* Hold the tree DIR_FD/NAME, which has its number, to so much, where that can be done. */
int rt_store_limit(struct rt_store *s, int dir_fd, const char *name, const struct rt_limit *l, struct qt_err *e);

/* Descriptors (O_PATH) of upper and work, the caller's. */
int rt_store_tree(struct rt_store *s, const struct qt_id *id, int *ret_upper, int *ret_work, struct qt_err *e);
/* The root directory of a volume, or of what is kept of an image (O_PATH), the caller's. */
int rt_store_volume(struct rt_store *s, const struct qt_id *id, struct qt_err *e);

/* DIR_FD/NAME into the trash: gone under its name when this returns. Idempotent. */
int rt_store_drop(struct rt_store *s, int dir_fd, const char *name, struct qt_err *e);
/* Empty the trash, in a job. */
void rt_store_empty_trash(struct rt_store *s);

/* Bytes of the pool, and those free. */
void rt_store_space(const struct rt_store *s, uint64_t *total, uint64_t *free_);

#endif
