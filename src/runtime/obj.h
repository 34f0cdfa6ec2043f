/*
 * obj.h - the snapshots, volumes and pulled images of this node: in memory, sorted by id, and one file each (keep.h), STATE_DIR/objects/ID.
 *
 * The file is written when the tree is whole, and taken away before the tree is: a tree without a file is a half-made or half-deleted
 * one, and goes at start. The files lie beside the journal, since create and fsync cost several times as much in the pool.
 */
#ifndef RT_OBJ_H
#define RT_OBJ_H

#include <sys/types.h>

#include "keep.h"

struct rt_obj_entry {
	struct qt_id id, tenant;
	uint64_t created_ms, max_bytes;
	uint64_t size_bytes, files; /* of a snapshot, counted when it was made; 0 and 0: not known */
	struct rt_str record;
	struct rt_str image;   /* since version 2: of a snapshot, what its container stands on */
	struct rt_strv layers; /* of an image, the bottom first */
	struct rt_strv blobs;  /* since version 3: of an image, its documents, the manifest first; none: they lie in its tree, as those of before do */
	uint32_t docker;       /* the manifest is one of Docker's */
};

struct rt_obj {
	struct qt_id id, tenant;
	uint64_t created_ms, max_bytes, size_bytes, files;
	char *record; /* owned */
	uint32_t record_len;
	char image[129];       /* of a snapshot */
	struct rt_strv layers, blobs; /* of an image; owned */
	bool docker;
	bool making; /* its tree is being copied; nobody but who makes it sees it */
	pid_t maker; /* of an image that is being made: who began it, and when that process did */
	uint64_t maker_start;
};

struct rt_objs {
	struct rt_keep keep;
	struct rt_obj **v;
	uint32_t n, cap;
};

int rt_objs_open(struct rt_objs *t, int state_fd, struct qt_err *e);
int rt_objs_load(struct rt_objs *t, struct qt_err *e);
void rt_objs_close(struct rt_objs *t);

struct rt_obj *rt_obj_find(const struct rt_objs *t, const char *id);
/* The place of the first id behind AFTER ("" for the first of all). */
uint32_t rt_obj_after(const struct rt_objs *t, const char *after);

/* A new one in the table, owned by it; nothing is written. */
struct rt_obj *rt_obj_add(struct rt_objs *t, const struct qt_id *id, const struct qt_id *tenant, struct rt_str record, struct qt_err *e);
int rt_obj_set_record(struct rt_obj *o, struct rt_str record, struct qt_err *e);
int rt_obj_set_layers(struct rt_obj *o, struct rt_strv layers, struct rt_strv blobs, struct qt_err *e);
int rt_obj_save(struct rt_objs *t, const struct rt_obj *o, struct qt_err *e); /* on disk when it returns */
int rt_obj_forget(struct rt_objs *t, const struct rt_obj *o, struct qt_err *e); /* the file; the same */
void rt_obj_remove(struct rt_objs *t, struct rt_obj *o); /* from the table; frees it */

#endif
