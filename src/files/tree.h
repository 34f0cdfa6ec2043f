/* tree.h - work on the tree that is this process's whole world: its root directory. Paths are plain ones (ft_path()); "" is the root. */
#ifndef FT_TREE_H
#define FT_TREE_H

#include <sys/stat.h>

#include "proto.h"

/* An errno of the tree as what a client is told: FILE_NOT_FOUND, VALIDATION_ERROR, CONFLICT, INSUFFICIENT_STORAGE … WHAT is a verb's phrase. */
int ft_fail(struct qt_err *e, int sys, const char *what);

/* The directory PATH, O_PATH, links followed inside the tree. With MAKE, what is missing of it is made (mode 0755). */
int ft_dir(int root_fd, const char *path, bool make, struct qt_err *e);

/* Split PATH into a directory (opened as above) and a last component, which points into PATH. VALIDATION_ERROR for "". */
int ft_parent(int root_fd, const char *path, bool make, const char **ret_name, struct qt_err *e);

/* Open NAME, one component, in DIR_FD, following no link; -1 with errno. FLAGS as for open(2). openat2(2) is the only way to open that the
 * filter leaves, so that no library can open anything by itself. */
int ft_open_name(int dir_fd, const char *name, int flags, mode_t mode);

enum ft_type ft_type_of(const struct stat *st);

int ft_stat(int root_fd, const char *path, struct ft_stat_rep *rep, struct qt_err *e);

/* BUF: SIZE bytes for the entries. */
int ft_ls(int root_fd, const struct ft_ls_req *req, const char *path, char *buf, size_t size, struct ft_ls_rep *rep, struct qt_err *e);

/* The regular file PATH for reading; the caller's. */
int ft_read_open(int root_fd, const char *path, uint64_t max_bytes, struct ft_read_rep *rep, struct qt_err *e);
/* SIZE bytes of FD to the pipe OUT, as long as somebody reads. */
void ft_read_send(int fd, int out, uint64_t size);

int ft_write(int root_fd, const char *path, uint32_t mode, int from, struct ft_write_rep *rep, struct qt_err *e);
int ft_delete(int root_fd, const char *path, struct qt_err *e);

#endif
