/* Limits bite, the device list holds on both versions, and groups freeze, die and go. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "fdio.h"
#include "rig.h"
#include "runtime/cgroup_parts.h"
#include "str.h"

static void start(struct rig *r, const struct rig_what *w, struct box *b)
{
	struct qt_err e = {0};

	if (rig_start(r, w, b, &e) < 0)
		fail_msg("%s", e.msg);
}

static void memory_is_limited(void **state)
{
	const char *const argv[] = {"/bin/probe", "memory", "64", NULL};
	struct rig *r = *state;
	struct rt_cgroup_stats s;
	struct box b;
	struct pollfd p = {.events = POLLIN};

	start(r, &(struct rig_what){.argv = (const char *const[]){NULL}, .limits = {32, 5000, 16}}, &b);
	rt_cgroup_stats(r->cgroups, &b.id, &s);
	assert_int_equal(s.memory_limit, 32 << 20);
	assert_int_equal(s.pids, 1);
	assert_int_equal(s.oom_kills, 0);
	rig_stop(r, &b);

	start(r, &(struct rig_what){.argv = argv, .limits = {32, 10000, 16}}, &b);
	rig_wait(r, &b);
	assert_true(rig_says(&b, "memory", "signal 9"));
	rt_cgroup_stats(r->cgroups, &b.id, &s);
	assert_true(s.oom_kills >= 1);
	assert_true(s.memory_peak > 16 << 20 && s.memory_peak <= 32 << 20);
	assert_true(s.cpu_usage_usec > 0);
	rig_stop(r, &b);

	/* The same within the limit lives. */
	start(r, &(struct rig_what){.argv = argv, .limits = {128, 10000, 16}}, &b);
	p.fd = rt_cgroup_oom_fd(r->cgroups, &b.id);
	assert_true(p.fd >= 0);
	rig_wait(r, &b);
	assert_true(rig_says(&b, "memory", "exit 0"));
	assert_int_equal(poll(&p, 1, 0), 0);
	close(p.fd);
	rig_stop(r, &b);
}

static void an_oom_kill_is_heard_of(void **state)
{
	struct rig *r = *state;
	struct qt_err e = {0};
	const struct qt_id id = qt_id_new("ctr");
	struct pollfd p = {.events = POLLIN};
	int status = 0;
	pid_t pid;

	assert_int_equal(rt_cgroup_make(r->cgroups, &id, &(struct rt_limits){.memory_mb = 16, .cpu_centi = 10000, .pids = 16}, &e), 0);
	p.fd = rt_cgroup_oom_fd(r->cgroups, &id);
	assert_true(p.fd >= 0);
	pid = fork();
	if (pid == 0) {
		if (rt_cgroup_enter(r->cgroups, &id, &e) < 0)
			_exit(1);
		for (int i = 0; i < 64; i++) {
			volatile char *m = malloc(1 << 20);

			for (size_t j = 0; m && j < 1 << 20; j += 4096)
				m[j] = 1;
		}
		_exit(0);
	}
	assert_int_equal(poll(&p, 1, RIG_BUDGET_MS), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close(p.fd);
	while (!rt_cgroup_remove(r->cgroups, &id))
		(void)poll(NULL, 0, 1);
}

/* A spare may be at its mounts still when a create gives its group other limits. */
static void new_limits_take_nothing_away(void **state)
{
	struct rig *r = *state;
	struct qt_err e = {0};
	const struct qt_id id = qt_id_new("ctr"), other = qt_id_new("ctr");
	struct rt_cgroup_stats s;
	int status, p[2];
	pid_t pid;
	char byte;

	if (rt_cgroups_version(r->cgroups) != 1) { /* there limits are written once */
		assert_int_equal(rt_cgroup_rename(r->cgroups, &id, &other, &e), -1);
		return;
	}
	assert_int_equal(rt_cgroup_make(r->cgroups, &id, &(struct rt_limits){.memory_mb = 64, .cpu_centi = 10000, .pids = 16}, &e), 0);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(p[0]);
		if (rt_cgroup_enter(r->cgroups, &id, &e) < 0 || write(p[1], "x", 1) != 1)
			_exit(1);
		for (;;) {
			int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

			if (fd < 0)
				_exit(2);
			close(fd);
		}
	}
	close(p[1]);
	assert_int_equal(read(p[0], &byte, 1), 1);
	close(p[0]);
	for (unsigned i = 0; i < 400; i++) {
		const struct rt_limits l = {.memory_mb = i % 2 ? 32 : 512, .cpu_centi = 5000 + i, .pids = 32 + i};

		if (rt_cgroup_limit(r->cgroups, &id, &l, &e) < 0)
			fail_msg("%s", e.msg);
		rt_cgroup_stats(r->cgroups, &id, &s);
		assert_int_equal(s.memory_limit, (uint64_t)l.memory_mb << 20);
	}
	assert_int_equal(rt_cgroup_rename(r->cgroups, &id, &other, &e), 0);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0); /* it opened what it may all the time */
	assert_int_equal(rt_cgroup_kill(r->cgroups, &other, &e), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	while (!rt_cgroup_remove(r->cgroups, &other))
		(void)poll(NULL, 0, 1);
}

static void pids_are_limited(void **state)
{
	const char *const argv[] = {"/bin/probe", "pids", NULL};
	struct rig *r = *state;
	struct box b;

	start(r, &(struct rig_what){.argv = argv, .limits = {64, 10000, 16}}, &b);
	rig_wait(r, &b);
	assert_true(rig_says(&b, "pids", "14 11")); /* the init, the probe, 14 more; then EAGAIN */
	assert_false(rt_cgroup_empty(r->cgroups, &b.id));
	assert_false(rt_cgroup_remove(r->cgroups, &b.id));
	rig_stop(r, &b);
	assert_true(rt_cgroup_empty(r->cgroups, &b.id));
	assert_true(rt_cgroup_remove(r->cgroups, &b.id)); /* gone already */
}

static void a_group_freezes_and_dies(void **state)
{
	struct rig *r = *state;
	struct qt_err e = {0};
	struct box b;

	start(r, &(struct rig_what){.argv = (const char *const[]){"/bin/busybox", "sh", "-c", "while :; do :; done", NULL}}, &b);
	assert_int_equal(rt_cgroup_freeze(r->cgroups, &b.id, true, RIG_BUDGET_MS, &e), 0);
	assert_int_equal(rt_cgroup_freeze(r->cgroups, &b.id, false, RIG_BUDGET_MS, &e), 0);
	assert_int_equal(rt_cgroup_freeze(r->cgroups, &b.id, true, RIG_BUDGET_MS, &e), 0);
	rig_stop(r, &b); /* out of the frozen state */
}

struct seen {
	const struct qt_id *a;
	unsigned n, hits;
};

static void see(const struct qt_id *id, void *arg)
{
	struct seen *s = arg;

	s->n++;
	s->hits += qt_streq(id->s, s->a->s);
}

static void groups_are_listed_once(void **state)
{
	struct rig *r = *state;
	struct qt_err e = {0};
	const struct qt_id a = qt_id_new("ctr"), b = qt_id_new("ctr");
	struct seen s = {.a = &a};

	assert_int_equal(rt_cgroup_make(r->cgroups, &a, &(struct rt_limits){.memory_mb = 16, .cpu_centi = 100, .pids = 8}, &e), 0);
	assert_int_equal(rt_cgroup_make(r->cgroups, &b, &(struct rt_limits){.memory_mb = 16, .cpu_centi = 50, .pids = 8}, &e), 0);
	assert_int_equal(rt_cgroup_make(r->cgroups, &b, &(struct rt_limits){.memory_mb = 16, .cpu_centi = 50, .pids = 8}, &e), -1); /* there already */
	rt_cgroup_each(r->cgroups, see, &s);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.hits, 1);
	assert_true(rt_cgroup_remove(r->cgroups, &a));
	assert_true(rt_cgroup_remove(r->cgroups, &b));
}

/* Runs in a child that is in the group: 0 if the list holds, else the line that did not. */
static int try_devices(const struct rig *r)
{
	char path[96];
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0 || open("/dev/urandom", O_RDONLY | O_CLOEXEC) < 0)
		return 1;
	/* The kernel's log, whose node was made outside. */
	if (!qt_fmt(path, sizeof(path), "%s/kmsg", r->dir) || open(path, O_RDONLY | O_CLOEXEC) >= 0 || errno != EPERM)
		return 2;
	if (!qt_fmt(path, sizeof(path), "%s/new", r->dir) || mknod(path, S_IFCHR | 0600, makedev(1, 3)) == 0 || errno != EPERM)
		return 3;
	if (mknod(path, S_IFBLK | 0600, makedev(7, 0)) == 0 || errno != EPERM)
		return 4;
	if (mkfifo(path, 0600) < 0)
		return 5;
	return 0;
}

static int in_child(const struct rig *r, int (*join)(void *arg), void *arg)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(join(arg) < 0 ? 9 : try_devices(r));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

struct joining {
	struct rig *r;
	const struct qt_id *id;
	int group_fd;
};

static int join_group(void *arg)
{
	const struct joining *j = arg;
	struct qt_err e = {0};

	return rt_cgroup_enter(j->r->cgroups, j->id, &e);
}

static int join_fd(void *arg)
{
	const struct joining *j = arg;
	struct qt_err e = {0};

	return qt_write_ctl(j->group_fd, "cgroup.procs", "0", &e);
}

static void make_kmsg(const struct rig *r)
{
	char path[96];
	int fd;

	assert_true(qt_fmt(path, sizeof(path), "%s/kmsg", r->dir));
	if (mknod(path, S_IFCHR | 0600, makedev(1, 11)) < 0)
		assert_int_equal(errno, EEXIST);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	close(fd);
}

static void devices_are_limited(void **state)
{
	struct rig *r = *state;
	struct qt_err e = {0};
	const struct qt_id id = qt_id_new("ctr");
	struct joining j = {.r = r, .id = &id};
	char path[96];

	make_kmsg(r);
	assert_int_equal(rt_cgroup_make(r->cgroups, &id, &(struct rt_limits){.memory_mb = 64, .cpu_centi = 10000, .pids = 16}, &e), 0);
	assert_int_equal(in_child(r, join_group, &j), 0);
	assert_true(qt_fmt(path, sizeof(path), "%s/new", r->dir));
	assert_int_equal(unlink(path), 0);
	while (!rt_cgroup_remove(r->cgroups, &id))
		(void)poll(NULL, 0, 1);
}

/* The unified hierarchy of a hybrid host has no controllers, yet it takes device programs and CLONE_INTO_CGROUP. */
static void the_unified_hierarchy_works(void **state)
{
	struct rig *r = *state;
	const bool v1 = rt_cgroups_version(r->cgroups) == 1;
	static char text[1 << 20];
	struct rt_cgroup_plan plan;
	struct qt_err e = {0};
	struct joining j = {.r = r};
	const struct rt_limits limits = {.n_devices = 0};
	char path[320], name[32];
	struct box b;
	int root;

	assert_true(qt_read_file(AT_FDCWD, "/proc/self/mountinfo", text, sizeof(text), &e) > 0);
	assert_true(rt_cgroup_plan(&plan, text));
	assert_true(plan.v2[0]);
	root = open(plan.v2, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(qt_fmt(name, sizeof(name), "qspawn-u%d", getpid()));
	assert_int_equal(mkdirat(root, name, 0755), 0);
	j.group_fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rt_devices_v2(j.group_fd, &limits, &e) < 0)
		fail_msg("%s", e.msg);
	make_kmsg(r);
	assert_int_equal(in_child(r, join_fd, &j), 0);
	assert_true(qt_fmt(path, sizeof(path), "%s/new", r->dir));
	assert_int_equal(unlink(path), 0);

	start(r, &(struct rig_what){.argv = (const char *const[]){"/bin/probe", "sleep", NULL}, .cgroup_fd = v1 ? j.group_fd : 0}, &b);
	assert_true(qt_fmt(path, sizeof(path), "/proc/%d/cgroup", b.pid));
	assert_true(qt_read_file(AT_FDCWD, path, text, sizeof(text), &e) > 0);
	/* On v2 every container is made so, each in its own. */
	assert_true(v1 ? qt_fmt(path, sizeof(path), "0::/%s\n", name) : qt_fmt(path, sizeof(path), "/%s\n", b.id.s));
	assert_non_null(strstr(text, path));
	rig_wait(r, &b);
	rig_stop(r, &b);
	close(j.group_fd);
	while (unlinkat(root, name, AT_REMOVEDIR) < 0) {
		assert_int_equal(errno, EBUSY);
		(void)poll(NULL, 0, 1);
	}
	close(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_limited),	   cmocka_unit_test(an_oom_kill_is_heard_of),
		cmocka_unit_test(new_limits_take_nothing_away),
		cmocka_unit_test(pids_are_limited),	   cmocka_unit_test(a_group_freezes_and_dies),
		cmocka_unit_test(groups_are_listed_once),  cmocka_unit_test(devices_are_limited),
		cmocka_unit_test(the_unified_hierarchy_works),
	};

	return cmocka_run_group_tests_name("cgroup", tests, rig_setup, rig_teardown);
}
