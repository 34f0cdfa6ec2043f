/* rig.h - containers for tests: a busybox root on the spot, one container at a time, its report. */
#ifndef RIG_H
#define RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "runtime/cgroup.h"
#include "runtime/spawn.h"

#define RIG_BUDGET_MS 60000 /* the machine is shared: nothing here is about speed */
#define RIG_UID_BASE  1900000000U

struct rig {
	char dir[64]; /* lower/, ctr/upper, ctr/work, vol/, ro/ */
	int lower_fd, upper_fd, work_fd, vol_fd, ro_fd, listen_fd;
	struct rt_cgroups *cgroups;
	struct rt_spawner *spawner;
};

struct box {
	struct qt_id id;
	pid_t pid;
	int pid_fd;
	char report[65536]; /* what the probe said */
};

struct rig_what {
	const char *const *argv; /* NULL-ended */
	const char *workdir;	 /* "/made/for/work" if NULL */
	const char *volume;	 /* where vol/ goes, "/out" if NULL */
	struct rt_limits limits; /* 64 MB, one cpu, 64 pids if zero */
	bool strict, fail_join, fail_attach, fail_connect;
	bool dies_first; /* the network is ready only when the process is dead */
	int cgroup_fd; /* of the unified hierarchy; 0: none */
	int budget_ms;
};

/* Both cmocka fixtures of a group; the state is a struct rig. */
int rig_setup(void **state);
int rig_teardown(void **state);

/* Make a group and spawn. 0, or -1 with E set and the group (which must be empty) removed again. */
int rig_start(struct rig *r, const struct rig_what *w, struct box *ret, struct qt_err *e);
/* Wait until the probe has reported, and read it. */
void rig_wait(struct rig *r, struct box *b);
/* Kill, reap, remove the group; empties upper and volume for the next. */
void rig_stop(struct rig *r, struct box *b);

/* Is there a line KEY=VALUE? Prints what there is instead. */
bool rig_says(const struct box *b, const char *key, const char *value);
/* Calls FN with the value of each line of KEY; their number. */
unsigned rig_each(const struct box *b, const char *key, void (*fn)(const char *value, void *arg), void *arg);

void rig_write(int dir_fd, const char *path, const char *text, mode_t mode);
void rig_remove_tree(int dir_fd, const char *name);

#endif
