/* parts.h - what the files behind spawn.h share; nobody else includes it. */
#ifndef RT_PARTS_H
#define RT_PARTS_H

#include <stdint.h>

#include "caps.h"
#include "filter.h"
#include "spawn.h"

#define RT_MOUNTS_MAX 32

/* What the child does, in order; the text ends the sentence "The container could not be started: …". Up to WAIT it knows of no container: so far
 * comes a spare (spares.h). */
#define RT_STEPS(X)                                                                \
	X(HOLD, "wait for the runtime")                                            \
	X(JOIN, "go into its control groups")                                      \
	X(CGROUPNS, "unshare its cgroup namespace")                                \
	X(IDENTITY, "take on its ids")                                             \
	X(SIGNALS, "reset the signals")                                            \
	X(PRIVATE, "cut mount propagation")                                        \
	X(STAGE, "make a place for its mounts")                                    \
	X(PROC, "mount /proc")                                                     \
	X(SYS, "mount /sys")                                                       \
	X(DEV, "mount /dev")                                                       \
	X(MASKS, "mask paths of /proc and /sys")                                   \
	X(SYSCTLS, "set its kernel parameters")                                    \
	X(WAIT, "hear what it is for")                                             \
	X(ROOT, "attach the root")                                                 \
	X(PLACES, "attach /proc, /sys and /dev")                                   \
	X(TMP, "mount /tmp and /run")                                              \
	X(FILES, "write /etc/hostname, /etc/hosts and /etc/resolv.conf")           \
	X(EXTRAS, "attach its GPUs")                                               \
	X(VOLUMES, "attach the volumes")                                           \
	X(WORKDIR, "make the working directory")                                   \
	X(PIVOT, "leave the host's root")                                          \
	X(READONLY, "make the root read-only")                                     \
	X(NAMESPACES, "forbid it namespaces of its own")                           \
	X(MOUNTINFO, "see that no mount of the host is left")                      \
	X(NAME, "set the host name")                                               \
	X(FDS, "arrange the descriptors")                                          \
	X(CAPS, "give capabilities up")                                            \
	X(SECCOMP, "install the system call filter")                               \
	X(CONNECT, "wait for its network")                                         \
	X(EXEC, "execute the init")

enum rt_step {
	RT_STEP_NONE,
#define X(sym, text) RT_STEP_##sym,
	RT_STEPS(X)
#undef X
	RT_STEP_COUNT
};

/* Over the socket between the two. */
enum {
	RT_TELL_DOORS = 1,  /* up to QT_FDS_MAX: into its control groups */
	RT_TELL_MAPPED,	    /* it has its id maps and limits */
	RT_TELL_ROOT,	    /* one descriptor */
	RT_TELL_VOLUME,	    /* one, the volume INDEX */
	RT_TELL_GIVEN,	    /* up to QT_FDS_MAX, the first of them the INDEXth of what the init is given */
	RT_TELL_GO,	    /* that is all, and what it is for lies in the memory that both have */
	RT_TELL_CONNECTED,
};
struct rt_tell { /* to the child */
	uint32_t kind, index;
};
struct rt_report { /* from the child: the step that failed */
	uint32_t step;
	int32_t sys;
};

struct rt_spawner {
	int minit_fd; /* sealed memfd */
	struct rt_filter filter[2]; /* default, strict */
	struct rt_filter ioctl_filter;
	unsigned n_cpus;
};

#define RT_GIVEN 5 /* what the init is handed: from MI_FD_LISTEN to MI_FD_CONFIG (src/minit/proto.h) */

struct rt_child {
	const struct rt_spawner *sp;
	const struct rt_spawn *what; /* in memory that the runtime writes until it says GO */
	int sync_fd, ready_fd;
	int doors[RT_DOORS_MAX], given[RT_GIVEN];
	unsigned n_doors, n_given;

	int stage_fd, root_fd, proc_fd, sys_fd, dev_fd; /* the mounts' own descriptors */
	int sysctl_fd;			      /* /proc/sys, writable */
	int null_fd;			      /* /dev/null in the new /dev */
	int volume_fd[RT_MOUNTS_MAX];
	unsigned n_attached; /* mounts that mountinfo must show */
};

/* child.c: runs in the new process, never returns. */
_Noreturn void rt_child_main(struct rt_child *c);

/* In the child: each returns 0, or -1 with errno. */
int rt_mount_private(struct rt_child *c);
int rt_mount_stage(struct rt_child *c);
int rt_mount_root(struct rt_child *c);
int rt_mount_places(struct rt_child *c);
int rt_mount_proc(struct rt_child *c);
int rt_mount_sys(struct rt_child *c);
int rt_mount_dev(struct rt_child *c);
int rt_mount_tmp(struct rt_child *c);
int rt_mount_extras(struct rt_child *c);
int rt_mount_volumes(struct rt_child *c);
int rt_mount_pivot(struct rt_child *c);
int rt_mount_readonly(struct rt_child *c);
int rt_mount_check(struct rt_child *c);
int rt_masks(struct rt_child *c);
int rt_root_files(struct rt_child *c);
int rt_root_workdir(struct rt_child *c);

/* Attach the detached mount MNT_FD onto the directory or file behind AT_FD, and count it. */
int rt_attach(struct rt_child *c, int mnt_fd, int at_fd);
/* A detached mount of a file system type with its options ("key=value" or "flag", NULL ends them). */
int rt_new_mount(const char *type, const char *const *options, unsigned attrs);
/* The directory DIR_FD/NAME, one component, made if it is not there; a link of that name is refused. O_PATH. */
int rt_have_dir(int dir_fd, const char *name, mode_t mode);
/* A bind of the character device HOST, a path of the host's without its first '/', on the file NAME that is made in the directory DIR_FD. */
int rt_bind_node(struct rt_child *c, int host_fd, const char *host, int dir_fd, const char *name, unsigned major, unsigned minor);
/* The directory PATH of the root, made if it is not there; links are followed as they are inside. O_PATH. -1 with errno. */
int rt_root_dir(int root_fd, const char *path);
/* Open below DIR_FD: no links, no other mounts. O_PATH. -1 with errno. */
int rt_path(int dir_fd, const char *path);

/* In the runtime. A process that has its namespaces, and does what it can do before it knows of a container. */
struct rt_spare {
	pid_t pid;
	int pid_fd, proc_fd;
	int sync[2], ready[2]; /* ours, the child's */
	void *shared;	       /* with the child: where it finds what it is for */
};
/* Its copy of WHAT, where the child finds it. */
int rt_spare_fill(struct rt_spare *s, const struct rt_spawn *what, struct qt_err *e);
int rt_spare_tell(struct rt_spare *s, uint32_t kind, uint32_t index, const int *fds, size_t n, struct qt_err *e);

int rt_idmap_write(int proc_fd, uint32_t uid_base, struct qt_err *e);
/* A detached clone of the directory DIR_FD/NAME ("": itself) as the user namespace sees it; SET and CLEAR: MOUNT_ATTR_*. */
int rt_idmap_clone(int dir_fd, const char *name, int userns_fd, uint64_t set, uint64_t clear, struct qt_err *e);
/* The container's overlay as a detached mount. */
int rt_overlay_make(const struct rt_spawn *what, int userns_fd, struct qt_err *e);
/* Resource limits and OOM score of the waiting child PID, whose directory in /proc is PROC_FD. */
int rt_limits_apply(pid_t pid, int proc_fd, struct qt_err *e);
/* What security.md 5.3 step 10 wants to see. */
int rt_verify(const struct rt_spawn *what, int proc_fd, struct qt_err *e);

#endif
