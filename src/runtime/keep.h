/* keep.h - small records that outlive this process: one file each, named by an id, with a checksum, replaced by rename. */
#ifndef RT_KEEP_H
#define RT_KEEP_H

#include "rt.h"

/* What a directory of such files holds. */
struct rt_keep_kind {
	const char *dir, *bad;	      /* below STATE_DIR; the second is for what cannot be used */
	const char *lost;	      /* for the log, when one cannot: what that means */
	uint32_t magic, version;      /* of what is written */
	const struct rt_field *rows;  /* of the newest version; each version only adds rows at the end */
	const uint8_t *n_rows;	      /* of version 1, 2, …, version: older files are read as well */
	size_t size;		      /* of the struct, at most RT_KEEP_STRUCT_MAX */
	bool (*sane)(const void *en, const char *name);
};
#define RT_KEEP_STRUCT_MAX 1024

struct rt_keep {
	const struct rt_keep_kind *kind;
	int dir_fd, bad_fd;
};

int rt_keep_open(struct rt_keep *k, const struct rt_keep_kind *kind, int state_fd, struct qt_err *e);
void rt_keep_close(struct rt_keep *k);

/* With SYNC it is on disk when this returns. */
int rt_keep_put(struct rt_keep *k, const char *name, const void *en, bool sync, struct qt_err *e);

/* Forget NAME; synced. That there is nothing to forget is well. */
int rt_keep_drop(struct rt_keep *k, const char *name, struct qt_err *e);

/* FN for every record; texts point into the file that was read. A file that is not whole is set aside and logged. One that a newer
 * version wrote ends it: -1, and nothing was touched; so does an FN that returns -1. */
int rt_keep_load(struct rt_keep *k, int (*fn)(const void *en, void *arg, struct qt_err *e), void *arg, struct qt_err *e);

/* Was the file of this name set aside? Then nobody knows what it was about, but what it stood for is somebody's data. */
bool rt_keep_is_bad(const struct rt_keep *k, const char *name);

#endif
