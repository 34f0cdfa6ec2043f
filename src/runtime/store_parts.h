/* store_parts.h - what the storage drivers and who uses them share: the table's rows, and copying and counting of trees. */
#ifndef RT_STORE_PARTS_H
#define RT_STORE_PARTS_H

#include "store.h"

/* One tree that is to be copied: FROM_FD becomes TO_DIR_FD/NAME. */
struct rt_store_tree {
	int from_fd, to_dir_fd;
	const char *name;
	uint32_t number; /* of rt_store_number(); 0: none */
};

/* Where copies may be made before they are moved to their places: NEW_FD/ID.0, and so on. */
struct rt_store_taking {
	int new_fd;
	const char *id;
};
bool rt_store_taking_name(char *to, size_t size, const char *id, unsigned i);

/* How trees are made and copied. A tree is a directory of the pool: a container's with upper and work, a volume's with data. */
struct rt_store_driver {
	const char *name;
	bool at_once; /* a copy is of one moment, and takes no time that grows with the tree */
	bool (*fits)(int pool_fd);
	bool (*limits)(int pool_fd); /* switch limits on; false: this file system has none */
	/* Where it has: a number for a tree that is to be limited, in *LAST, which is the one before; and, while it is empty, its number for a tree. NULL:
	 * trees need none. */
	int (*next)(int pool_fd, uint32_t *last, struct qt_err *e);
	int (*number)(int tree_fd, uint32_t number, struct qt_err *e);
	int (*limit)(int tree_fd, const struct rt_limit *l, struct qt_err *e);
	int (*make)(int dir_fd, const char *name, struct qt_err *e); /* an empty one */

	/* In a job. New trees, `work` empty, all of one moment: if the driver is one of those that copy at once, although their users may run
	 * on. 1: that did not work out, and nothing is left of them. STILL: nobody runs, or it does not matter, so that it always does.
	 * What is there of them after a failure is for the trash. */
	int (*copy)(const struct rt_store_tree *t, unsigned n, const struct rt_store_taking *where, bool still, struct qt_err *e);
	/* In a job: bring to disk what is dirty of the trees, while their users run on. NULL: there is no use in it. */
	void (*flush)(const struct rt_store_tree *t, unsigned n, const struct rt_store_taking *where);
};
extern const struct rt_store_driver rt_store_btrfs, rt_store_reflink, rt_store_copy;

/* store_btrfs.c: what a copy of a tree needs before it is used. */
int rt_btrfs_freshen(int dir_fd, const char *name, struct qt_err *e);
/* store_moment.c */
int rt_btrfs_copy(const struct rt_store_tree *t, unsigned n, const struct rt_store_taking *where, bool still, struct qt_err *e);
void rt_btrfs_flush(const struct rt_store_tree *t, unsigned n, const struct rt_store_taking *where);

/* store_project.c: limits, next, number, limit */
bool rt_project_limits(int pool_fd);
int rt_project_next(int pool_fd, uint32_t *last, struct qt_err *e);
int rt_project_number(int tree_fd, uint32_t number, struct qt_err *e);
int rt_project_limit(int tree_fd, const struct rt_limit *l, struct qt_err *e);

/* copytree.c: everything below FROM_FD, which may change meanwhile, into the empty directory TO_FD: owners, modes, times, xattrs (but those
 * that name this very overlay), hard links, holes, fifos, sockets, links, and the whiteouts of overlayfs. SHARE: files share their
 * blocks. LINKS_FD: an empty directory of the same file system, for the time of it. Blocks; for jobs. */
int rt_copy_tree(int from_fd, int to_fd, int links_fd, bool share, struct qt_err *e);

/* The space and the number of files below the directory FD, added to *BYTES and *FILES. Stops at UNTIL (qt_mono_ms): what it has is then
 * a lower bound. Blocks; for jobs. */
void rt_count_tree(int fd, int64_t until, uint64_t *bytes, uint64_t *files);

#endif
