/* spawn.h - the making of a container's first process: namespaces, root, limits of privilege, minit. security.md 5.3 in order. */
#ifndef RT_SPAWN_H
#define RT_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "id.h"

/* Prepared once at start: minit in a sealed memfd, both seccomp programs compiled, the descriptors of /dev/null and its like. */
struct rt_spawner;
int rt_spawner_open(struct rt_spawner **ret, const char *minit_path, struct qt_err *e);
void rt_spawner_close(struct rt_spawner *s);

struct rt_mount { /* a directory attached below the root: a volume */
	int tree_fd;	   /* O_PATH, borrowed */
	const char *target; /* absolute, inside the root */
	bool read_only;
};

/* What a container gets of the host besides (GPUs: gpus.h). Paths are absolute and normal; all is borrowed. */
struct rt_extra_node { /* a character device */
	const char *host, *path; /* the second below /dev */
	uint32_t major, minor;	 /* what the host's must be */
};
struct rt_extra_file { /* a file or directory, read-only */
	const char *host, *path;
	bool noexec;
};
struct rt_extra_link { /* a link PATH that says TO */
	const char *path, *to;
	bool keep; /* what is there already stays; else only what is no link stays */
};
struct rt_extras {
	const struct rt_extra_node *nodes;
	const struct rt_extra_file *files;
	const struct rt_extra_link *links;
	unsigned n_nodes, n_files, n_links;
};

#define RT_LAYERS_MAX 127 /* as many as Docker takes */

struct rt_spawn {
	struct qt_id id;
	const char *hostname;
	uint32_t uid_base;	/* the range of 65,536 host ids */
	bool strict;		/* security.md 5.4 */
	const int *lower_fds;	/* layers, the topmost first; O_PATH directories, borrowed; owned by root on disk */
	unsigned n_lower;
	int upper_fd, work_fd;	/* directories of the pool, O_PATH, borrowed; root's on disk: idmapped, never chowned */
	const char *resolv_conf;/* its text */
	const char *workdir;	/* made if it is not there */
	const struct rt_mount *mounts;
	unsigned n_mounts;
	struct rt_extras extras;
	int listen_fd, log_fd[2], status_fd, config_fd; /* for minit (src/minit/proto.h), borrowed */
	int cgroup_fd;		/* for CLONE_INTO_CGROUP, or -1 */

	/* Called in the new process, before all else: it goes into its cgroups (rt_cgroup_enter()). NULL: it was cloned into them. */
	int (*join)(void *arg, struct qt_err *e);
	/* Called in the runtime when the process exists, holds still, and has its id maps: what must be before it goes on. -1 ends the
	 * attempt. */
	int (*attach)(void *arg, pid_t pid, struct qt_err *e);
	/* Called while the process is at work on its mounts: give it its network. The init is executed only after this returned 0. May be
	 * NULL: all of it can be in attach, which then takes its time on top. */
	int (*connect)(void *arg, pid_t pid, struct qt_err *e);
	void *arg;
};

/* The container's init runs when this returns: minit said ready, and what security.md 5.3 step 10 asks to see from outside was seen.
 * *RET_PIDFD is the caller's. On failure nothing is left of it, the message says which step failed (never a path), and
 * what is the tenant's fault (a working directory that is a file) is a VALIDATION_ERROR. Blocks for 2 to 4 ms (2 cores, cgroup v1); budget_ms
 * bounds a child that hangs. */
int rt_spawn(struct rt_spawner *s, const struct rt_spawn *what, int budget_ms, pid_t *ret_pid, int *ret_pidfd,
	     struct qt_err *e);

/* Does the contract of the image hold in the root of a running init (its /proc/PID/root): each path of the NUL-separated list is
 * there and executable? Links are resolved inside. */
bool rt_contract_holds(pid_t pid, const char *paths, size_t len);

/* Is TARGET a place where a volume may go: absolute, normal, not the root, nor /proc, /sys, /dev or anything below them? */
bool rt_target_ok(const char *target);

#endif
