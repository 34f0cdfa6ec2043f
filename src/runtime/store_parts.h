/* store_parts.h - what the storage drivers and who uses them share: the table's rows, and copying and counting of trees. */
#ifndef RT_STORE_PARTS_H
#define RT_STORE_PARTS_H

#include "store.h"

/* How trees are made and copied. A tree is a directory of the pool: a container's with upper and work, a volume's with data. */
struct rt_store_driver {
	const char *name;
	bool at_once; /* a copy is of one moment, and takes no time that grows with the tree */
	bool (*fits)(int pool_fd);
	bool (*limits)(int pool_fd); /* switch size limits on; false: this file system has none. NULL: nor the driver */
	int (*limit)(int tree_fd, uint64_t bytes, struct qt_err *e);
	int (*make)(int dir_fd, const char *name, struct qt_err *e); /* an empty one */

	/* In a job. A new tree TO_DIR_FD/NAME with what FROM_FD holds, `work` empty; READ_ONLY: it will never be written. What is there of it
	 * after a failure is for the trash. */
	int (*copy)(int from_fd, int to_dir_fd, const char *name, bool read_only, struct qt_err *e);
	/* In a job: bring to disk what is dirty of the tree, while its users run on. NULL: there is no use in it. */
	int (*flush)(int tree_fd, int trash_fd, struct qt_err *e);
};
extern const struct rt_store_driver rt_store_btrfs, rt_store_reflink, rt_store_copy;

/* copytree.c: everything below FROM_FD, which may change meanwhile, into the empty directory TO_FD: owners, modes, times, xattrs (but those
 * that name this very overlay), hard links, holes, fifos, sockets, links, and the whiteouts of overlayfs. SHARE: files share their
 * blocks. LINKS_FD: an empty directory of the same file system, for the time of it. Blocks; for jobs. */
int rt_copy_tree(int from_fd, int to_fd, int links_fd, bool share, struct qt_err *e);

/* The space and the number of files below the directory FD, added to *BYTES and *FILES. Stops at UNTIL (qt_mono_ms): what it has is then
 * a lower bound. Blocks; for jobs. */
void rt_count_tree(int fd, int64_t until, uint64_t *bytes, uint64_t *files);

#endif
