/* enter.h - from a process that the runtime started to one that has a tree and nothing else. */
#ifndef FT_ENTER_H
#define FT_ENTER_H

#include "err.h"
#include "extract.h"

/* Descriptors at the start, besides 0 to 2. */
enum {
	FT_FD_SOCKET = 3,
	FT_FD_USER = 4, /* container: its user namespace */
	FT_FD_MOUNT = 5, /* container: its mount namespace */
	FT_FD_TREE = 4, /* volume: its tree, a detached mount */
};

/* Into the namespaces of a running container. */
int ft_enter_container(struct qt_err *e);
/* The user and mount namespaces are its own already; the tree becomes the root. */
int ft_enter_volume(struct qt_err *e);

/* What more than two capabilities, and what goes with them: none; to give files away; and to make whiteouts, too. */
enum ft_rights { FT_R_PLAIN, FT_R_OWNERS, FT_R_LAYER };

/* Root of the tree's user namespace with RIGHTS, limits, and the filter: from here on nothing can be executed, started, connected, mapped as
 * code, or opened but by openat2(2). A descriptor of the root directory. */
int ft_lock(const struct ft_limits *limits, enum ft_rights rights, struct qt_err *e);

#endif
