/* cgroup.h - one control group a container, on cgroup v2 and on v1/hybrid hosts alike. */
#ifndef RT_CGROUP_H
#define RT_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "id.h"

struct rt_cgroups; /* what the host has: version, hierarchies, our directory in each (named by the `instance` setting) */

/* A character device that a container may open besides what every container may. */
struct rt_device {
	uint32_t major, minor;
	bool read, write;
};
#define RT_DEVICES_MAX 128

struct rt_limits {
	uint32_t memory_mb; /* swap the same where the host counts it: no swap */
	uint32_t cpu_centi; /* hundredths of a percent of one cpu; 10000 is one cpu */
	uint32_t pids;
	const struct rt_device *devices; /* at most RT_DEVICES_MAX, borrowed */
	unsigned n_devices;
};

/* Finds the hierarchies and makes our directories. An error when memory, cpu, pids or devices cannot be controlled: limits
 * are never silently absent. */
int rt_cgroups_open(struct rt_cgroups **ret, const char *instance, struct qt_err *e);
void rt_cgroups_close(struct rt_cgroups *c);
unsigned rt_cgroups_version(const struct rt_cgroups *c); /* 1 or 2 */

/* Make the container's group, write its limits and the device list, and read them back. Undone entirely on failure. */
int rt_cgroup_make(struct rt_cgroups *c, const struct qt_id *id, const struct rt_limits *l, struct qt_err *e);

/* v2: a descriptor for CLONE_INTO_CGROUP (the caller's). v1: -1, and the new process must go by rt_cgroup_doors(), or call rt_cgroup_enter(). */
int rt_cgroup_fd(struct rt_cgroups *c, const struct qt_id *id);

/* Other limits for a group that is there, while somebody is in it; of devices only more (v1). */
int rt_cgroup_limit(struct rt_cgroups *c, const struct qt_id *id, const struct rt_limits *l, struct qt_err *e);
/* v1 alone can: the group is called TO from now on, in all hierarchies or (-1) none. */
int rt_cgroup_rename(struct rt_cgroups *c, const struct qt_id *id, const struct qt_id *to, struct qt_err *e);

#define RT_DOORS_MAX 8 /* hierarchies, and more than there are */
/* v1: a descriptor for each hierarchy (the caller's), by which a process with one thread moves itself into the group when it writes "0": of all moves
 * the one that the kernel makes without waiting. Every other one waits for a grace period of RCU, 5 to 20 ms (cgroup_procs_write_start() in Linux). It counts who opened
 * them, not who writes. v2: none. Their number, or -1. */
int rt_cgroup_doors(struct rt_cgroups *c, const struct qt_id *id, int fds[RT_DOORS_MAX], struct qt_err *e);
/* The same for the calling thread, without descriptors. */
int rt_cgroup_enter(struct rt_cgroups *c, const struct qt_id *id, struct qt_err *e);

/* SIGKILL to everything in it, forks in flight included (v2: cgroup.kill; v1: freeze, kill, thaw). */
int rt_cgroup_kill(struct rt_cgroups *c, const struct qt_id *id, struct qt_err *e);
bool rt_cgroup_empty(struct rt_cgroups *c, const struct qt_id *id);
/* The text of the group's cgroup.procs: pids in this process's namespace, one a line. free(); NULL if it cannot be read. */
char *rt_cgroup_procs(struct rt_cgroups *c, const struct qt_id *id);

/* Remove the group. True when it is gone (or never was); false while a dead process still holds it: ask again. */
bool rt_cgroup_remove(struct rt_cgroups *c, const struct qt_id *id);

/* Freeze or thaw; returns when the kernel says it is so (bounded to budget_ms). */
int rt_cgroup_freeze(struct rt_cgroups *c, const struct qt_id *id, bool on, int budget_ms, struct qt_err *e);

/* The descriptor by which rt_cgroup_freeze() works: a child that closes all others can still use it. */
int rt_cgroup_freeze_fd(const struct rt_cgroups *c);

/* Bytes of files that its members wrote, and that are not on disk yet. */
uint64_t rt_cgroup_dirty(struct rt_cgroups *c, const struct qt_id *id);

struct rt_cgroup_stats {
	uint64_t cpu_usage_usec, cpu_user_usec, cpu_system_usec, cpu_throttled_usec;
	uint64_t memory_current, memory_peak, memory_limit, memory_cache, memory_rss, oom_kills;
	uint64_t read_bytes, write_bytes, read_ops, write_ops, pids;
};
/* Zeros where the host does not tell. */
void rt_cgroup_stats(struct rt_cgroups *c, const struct qt_id *id, struct rt_cgroup_stats *ret);

/* Calls FN with every id that has a group of ours: for the sweep at start. */
void rt_cgroup_each(struct rt_cgroups *c, void (*fn)(const struct qt_id *id, void *arg), void *arg);

/* A descriptor that becomes readable (v1: eventfd on memory.oom_control; v2: inotify on memory.events) when the kernel killed for
 * memory; -1 if the host cannot. The caller's. */
int rt_cgroup_oom_fd(struct rt_cgroups *c, const struct qt_id *id);

#endif
