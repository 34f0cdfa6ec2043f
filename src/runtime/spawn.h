/* spawn.h - the making of a container's first process: namespaces, root, limits of privilege, minit. security.md 5.3 in order. */
#ifndef RT_SPAWN_H
#define RT_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cgroup.h"
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

/* A process in namespaces of its own with all that no container is needed for: id maps, limits, /proc, /sys, /dev and what is masked of them. It waits, and ends when
 * the runtime does. */
struct rt_spare;

/* How it gets into its control groups. */
struct rt_way_in {
	int cgroup_fd;	  /* for CLONE_INTO_CGROUP, or -1 */
	const int *doors; /* rt_cgroup_doors(); all is borrowed */
	unsigned n_doors;
};

/* Begin one, which becomes root of the 65,536 ids from UID_BASE; it gets ready while the caller goes on. The caller's, for rt_spawn() or rt_spare_end(); NULL on
 * failure. Blocks for about 1 ms. */
struct rt_spare *rt_spare_make(struct rt_spawner *s, uint32_t uid_base, const struct rt_way_in *way, struct qt_err *e);
/* Kills and reaps it. NULL: nothing. */
void rt_spare_end(struct rt_spare *s);
pid_t rt_spare_pid(const struct rt_spare *s);
bool rt_spare_lives(const struct rt_spare *s);

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

	/* Called in the runtime when the process exists, waits (or will), and has its id maps. -1 ends the attempt. */
	int (*attach)(void *arg, pid_t pid, struct qt_err *e);
	/* Called while the process is at work on its mounts: give it its network. The init is executed only after this returned 0. May be
	 * NULL: all of it can be in attach, which then takes its time on top. */
	int (*connect)(void *arg, pid_t pid, struct qt_err *e);
	void *arg;
};

/* Of SPARE, made with this UID_BASE and in its groups, a container; SPARE is gone afterwards, also on failure. The container's init runs when this returns: minit said ready, and what security.md 5.3 step 10 asks to see from outside was seen.
 * *RET_PIDFD is the caller's. On failure nothing is left of it, the message says which step failed (never a path), and
 * what is the tenant's fault (a working directory that is a file) is a VALIDATION_ERROR. Blocks for 2 ms (2 cores); budget_ms bounds a child that hangs. */
int rt_spawn(struct rt_spare *spare, const struct rt_spawn *what, int budget_ms, pid_t *ret_pid, int *ret_pidfd,
	     struct qt_err *e);

/* Does the contract of the image hold in the root of a running init (its /proc/PID/root): each path of the NUL-separated list is
 * there and executable? Links are resolved inside. */
bool rt_contract_holds(pid_t pid, const char *paths, size_t len);

/* Is TARGET a place where a volume may go: absolute, normal, not the root, nor /proc, /sys, /dev or anything below them? */
bool rt_target_ok(const char *target);

#endif
