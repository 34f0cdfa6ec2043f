/* dirs.h - the directories that the runtime works in, made and checked at start, and held open. */
#ifndef RT_DIRS_H
#define RT_DIRS_H

#include <sys/types.h>

#include "err.h"

/* Make NAME below PARENT_FD if it is not there, see to its mode and that it is ours (root's, but in tests), and open it. A link of that name is an
 * error. A descriptor, or -1. */
int rt_dir_make(int parent_fd, const char *name, mode_t mode, struct qt_err *e);

/* The same for an absolute path out of the settings; missing parents are made with mode 0755. MODE 0: 0755 if it is made here, and
 * left alone if it is there: others of ours work in it too. */
int rt_dir_make_path(const char *path, mode_t mode, struct qt_err *e);

/* Calls FN for each name in the directory, "." and ".." left out. Names may be removed while it runs. */
int rt_dir_each(int dir_fd, int (*fn)(const char *name, void *arg, struct qt_err *e), void *arg, struct qt_err *e);

/* Take away everything below the directory DIR_FD, however deep, with a bounded number of descriptors: a directory too far down
 * is moved up to DIR_FD first. Blocks: for jobs, and for small trees of our own. 0, or -1 with errno set. */
int rt_dir_empty(int dir_fd);

#endif
