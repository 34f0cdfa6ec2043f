/* cgroup_parts.h - what cgroup.c and its two versions share; nobody else includes it. */
#ifndef RT_CGROUP_PARTS_H
#define RT_CGROUP_PARTS_H

#include <linux/bpf.h>

#include "cgroup.h"

/* The hierarchies of v1 that we use, each perhaps mounted together with others (cpu,cpuacct). The first RT_CG_NEEDED are needed. */
enum rt_ctl { RT_CG_MEMORY, RT_CG_CPU, RT_CG_PIDS, RT_CG_DEVICES, RT_CG_FREEZER, RT_CG_CPUACCT, RT_CG_BLKIO, RT_CG_COUNT };
#define RT_CG_NEEDED 5

/* Where things are mounted, read from a mountinfo. */
struct rt_cgroup_plan {
	unsigned version;
	char v2[256];		      /* mount point of the unified hierarchy, "" if none */
	char v1[RT_CG_COUNT][256];    /* of each controller, "" if none */
	enum rt_ctl same[RT_CG_COUNT]; /* the first controller that is mounted at the same place: itself, if it is */
};

/* True if memory, cpu, pids and devices (v1: and freezer) can be controlled: on v1 if all are mounted there, else on v2. */
bool rt_cgroup_plan(struct rt_cgroup_plan *ret, const char *mountinfo);

struct rt_cgroup_ops {
	const char *enter; /* the file that takes the number of a thread or process; 0: of the writer */
	int (*setup)(struct rt_cgroups *c, struct qt_err *e);
	/* FRESH: nobody is in it. Else the devices that everybody may open stay open all the time. */
	int (*limit)(struct rt_cgroups *c, const char *id, const struct rt_limits *l, bool fresh, struct qt_err *e);
	int (*kill)(struct rt_cgroups *c, const char *id, struct qt_err *e);
	bool (*empty)(struct rt_cgroups *c, const char *id);
	int (*freeze)(struct rt_cgroups *c, const char *id, bool on, int budget_ms, struct qt_err *e);
	uint64_t (*dirty)(struct rt_cgroups *c, const char *id);
	void (*stats)(struct rt_cgroups *c, const char *id, struct rt_cgroup_stats *ret);
	int (*oom_fd)(struct rt_cgroups *c, const char *id);
};
extern const struct rt_cgroup_ops rt_cgroup_v1, rt_cgroup_v2;

struct rt_cgroups {
	const struct rt_cgroup_ops *ops;
	struct rt_cgroup_plan plan;
	char instance[40];
	int root[RT_CG_COUNT]; /* mount points; v2: only [0]; -1: the same as an earlier one, or none */
	int dir[RT_CG_COUNT];  /* our directories in them; same numbers */
};

/* The directory of hierarchy CTL that holds our groups: of the one it is mounted with, if it is. -1 if the host has none. */
int rt_cgroup_dir(const struct rt_cgroups *c, enum rt_ctl ctl);

/* Write, then read back: the kernel's answer must say the same number. */
int rt_cgroup_set(int dir_fd, const char *id, const char *file, uint64_t value, struct qt_err *e);
/* The group's file into BUF, NUL-ended; false if it cannot be read. */
bool rt_cgroup_read(int dir_fd, const char *id, const char *file, char *buf, size_t size);
uint64_t rt_cgroup_number(int dir_fd, const char *id, const char *file);
/* The number behind KEY at the beginning of a line of TEXT; 0 if there is none. */
uint64_t rt_cgroup_key(const char *text, const char *key);
/* The sum of what stands behind WORD ("rbytes=" or "Read ") on every line. */
uint64_t rt_cgroup_sum(const char *text, const char *word);
bool rt_cgroup_is_there(int dir_fd, const char *id, const char *file);
int rt_cgroup_write(int dir_fd, const char *id, const char *file, const char *text, struct qt_err *e);

/* cpu bandwidth: microseconds of quota in each period. */
struct rt_quota {
	uint64_t quota_us, period_us;
};
struct rt_quota rt_quota(uint32_t cpu_centi);

/* devices.c: the one list of what every container may open, for both versions, and behind it the devices of L. */
int rt_devices_v1(int dir_fd, const char *id, const struct rt_limits *l, bool fresh, struct qt_err *e);
/* Load the program of the list and attach it to the group behind CGROUP_FD. */
int rt_devices_v2(int cgroup_fd, const struct rt_limits *l, struct qt_err *e);
/* Its instructions into CODE (at least RT_DEVICES_CODE_MAX); their number. For the test. */
#define RT_DEVICES_CODE_MAX (80 + 5 * RT_DEVICES_MAX)
unsigned rt_devices_code(struct bpf_insn *code, const struct rt_limits *l);

#endif
