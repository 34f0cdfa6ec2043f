/* The runtime dies, or hangs, at each of its fail points while something is made: it is there afterwards, or it is not, and nothing stands still. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "pool_rig.h"
#include "str.h"

#ifdef QT_FAILPOINTS

struct ids {
	struct qt_id source, volume, old_snap, ctr, vol, snap;
	uint32_t consistency; /* of the snapshot */
};

/* One verb on C; refused or carried out, or nobody is there any more. */
static int ask(struct rt_client *c, const char *verb, const struct ids *id, struct qt_err *e)
{
	if (qt_streq(verb, "fork")) {
		struct rt_create_req req = rig_create_req(id->ctr);
		struct rt_create_rep rep;

		req.from = rt_str(id->source.s);
		req.consistency = RT_APP_CONSISTENT;
		return rt_create(c, &req, &rep, BUDGET_MS, e);
	}
	if (qt_streq(verb, "vol_make")) {
		struct rt_vol_make_req req = {.id = id->vol, .tenant = tenant(), .from_snapshot = rt_str(id->old_snap.s),
					      .from_volume = rt_str(id->volume.s), .record = {"", 0}};
		struct rt_vol_make_rep rep;

		return rt_vol_make(c, &req, &rep, BUDGET_MS, e);
	}
	if (qt_streq(verb, "snapshot")) {
		struct rt_snapshot_req req = {.id = id->source, .snapshot = id->snap, .volumes = {id->volume.s, (uint32_t)strlen(id->volume.s) + 1, 1},
					      .consistency = id->consistency, .record = {"", 0}};
		struct rt_snapshot_rep rep;

		return rt_snapshot(c, &req, &rep, BUDGET_MS, e);
	}
	struct rt_obj_delete_req req = {.id = id->old_snap};
	struct rt_obj_delete_rep rep;

	return rt_obj_delete(c, &req, &rep, BUDGET_MS, e);
}

static bool is_there(struct rig *r, struct qt_id id)
{
	struct rt_obj_get_req req = {.id = id};
	struct rt_obj_get_rep rep;
	struct qt_err e = {0};

	return rt_obj_get(&r->rt, &req, &rep, BUDGET_MS, &e) == 0;
}

static struct ids prepare(struct rig *r)
{
	struct ids id = {.ctr = qt_id_new("ctr"), .vol = qt_id_new("vol"), .snap = qt_id_new("snap"), .old_snap = qt_id_new("snap")};

	rig_start(r, NULL);
	id.volume = make_volume(r, "", "", 0);
	id.source = create(r, "", text("%s:/data", id.volume.s), 0);
	expect(r, id.source, "echo layer >/f; echo volume >/data/f", "");
	(void)snapshot(r, id.source, id.old_snap, RT_CRASH_CONSISTENT, id.volume.s);
	/* What is not on disk yet is flushed first. */
	expect(r, id.source, "busybox dd if=/dev/zero of=/dirty bs=1048576 count=4 2>/dev/null", "");
	rig_term(r);
	return id;
}

/* Whatever happened: it is there as a whole, or not at all; the source runs; and the same can be asked again. */
static void afterwards(struct rig *r, const char *fail, const char *verb, const struct ids *id)
{
	struct qt_id listed[8];
	bool forked = rig_list(r, listed, 8) == 2, snap = is_there(r, id->snap), vol = is_there(r, id->vol), old = is_there(r, id->old_snap);
	struct qt_err e = {0};

	expect(r, id->source, "cat /f /data/f", "layer\nvolume\n");
	rig_expect(r, (unsigned)snap + old, 1U + vol);
	rig_census(r, 1U + forked, 1U + forked);
	if (ask(&r->rt, verb, id, &e) < 0)
		fail_msg("%s after %s: %s", verb, fail, e.msg);
	snap = is_there(r, id->snap);
	vol = is_there(r, id->vol);
	old = is_there(r, id->old_snap);
	if (qt_streq(verb, "fork")) {
		expect(r, id->ctr, "cat /f", "layer\n");
		delete_container(r, id->ctr);
	}
	assert_int_equal(snap, qt_streq(verb, "snapshot"));
	assert_int_equal(vol, qt_streq(verb, "vol_make"));
	assert_int_equal(old, !qt_streq(verb, "obj_delete"));
	delete_container(r, id->source);
	delete_object(r, id->snap);
	delete_object(r, id->vol);
	delete_object(r, id->old_snap);
	delete_object(r, id->volume);
	rig_expect(r, 0, 0);
	rig_census(r, 0, 0);
	rig_term(r);
}

static bool in_job(const char *point)
{
	return qt_starts(point, "copy_");
}

static void survives_every_fail_point(void **state)
{
	struct rig *r = *state;

	for (size_t i = 0; i < rig_n_points; i++)
		for (int die = 0; die < 2 && strstr(" fork vol_make snapshot obj_delete ", text(" %s ", rig_points[i].verb)); die++) {
			const char *fail = text("%s%s", die ? "kill:" : "", rig_points[i].name);
			struct ids id = prepare(r);
			struct qt_err e = {0};

			rig_start(r, fail);
			(void)ask(&r->rt, rig_points[i].verb, &id, &e);
			/* A job that dies takes nobody with it. */
			if (die && !in_job(rig_points[i].name))
				rig_died(r);
			else
				rig_term(r);
			rig_start(r, NULL);
			afterwards(r, fail, rig_points[i].verb, &id);
		}
}

static bool is_frozen(struct rig *r, struct qt_id id)
{
	const char *const files[] = {text("/sys/fs/cgroup/freezer/%s/%s/freezer.state", r->instance, id.s),
				     text("/sys/fs/cgroup/%s/%s/cgroup.events", r->instance, id.s)};

	for (size_t i = 0; i < QT_LEN(files); i++) {
		char line[128] = "";
		int fd = open(files[i], O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			continue;
		assert_true(read(fd, line, sizeof(line) - 1) > 0);
		close(fd);
		return strstr(line, "FROZEN") || strstr(line, "frozen 1");
	}
	return false;
}

static bool read_text(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	qt_close(fd);
	buf[n < 0 ? 0 : n] = '\0';
	return n > 0;
}

/* How many jobs of the runtime have come to their fail point? */
static unsigned jobs_hang(struct rig *r)
{
	char list[1024], name[32], *save = NULL;
	unsigned n = 0;

	if (!read_text(text("/proc/%d/task/%d/children", (int)r->pid, (int)r->pid), list, sizeof(list)))
		return 0;
	for (char *pid = strtok_r(list, " ", &save); pid; pid = strtok_r(NULL, " ", &save))
		n += read_text(text("/proc/%s/comm", pid), name, sizeof(name)) && qt_streq(name, "qt-hangs\n");
	return n;
}

static void wait_for_hanging(struct rig *r, unsigned want)
{
	int64_t deadline = qt_mono_ms() + BUDGET_MS;

	while (jobs_hang(r) != want) {
		assert_true(qt_mono_ms() < deadline);
		(void)poll(NULL, 0, 2);
	}
}

/* Ask in a process of its own, on a runtime whose job holds still with the source frozen. */
static pid_t ask_and_hang(struct rig *r, const char *verb, struct ids *id, const char *point)
{
	pid_t pid;

	id->consistency = RT_APP_CONSISTENT;
	rig_start(r, point);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct rt_client c;
		struct qt_err e = {0};

		if (rt_client_init(&c, text("%s/run/runtime.sock", r->dir), &e) < 0)
			_exit(255);
		_exit(ask(&c, verb, id, &e) < 0 ? (int)e.code : 0);
	}
	wait_for_hanging(r, 1);
	assert_true(is_frozen(r, id->source) || qt_streq(verb, "vol_make"));
	return pid;
}

static int answer_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Nobody can promise that several trees are caught at one moment while they change: then the source stands still. */
static void if_there_is_no_moment(void **state)
{
	struct rig *r = *state;
	struct ids id = prepare(r);

	rig_start(r, "copy_moment");
	assert_true(snapshot(r, id.source, id.snap, RT_CRASH_CONSISTENT, id.volume.s).paused_us > 0);
	assert_false(is_frozen(r, id.source));
	rig_expect(r, 2, 1);
	rig_census(r, 1, 1);
	rig_term(r);
	rig_start(r, NULL);
	delete_container(r, id.source);
	delete_object(r, id.snap);
	delete_object(r, id.old_snap);
	delete_object(r, id.volume);
	rig_expect(r, 0, 0);
	rig_census(r, 0, 0);
	rig_term(r);
}

#define LARGE 4

static pid_t fork_and_hang(struct rig *r, struct qt_id source, const char *whose)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct rt_create_req req = rig_create_req(qt_id_new("ctr"));
		struct rt_create_rep rep;
		struct rt_client c;
		struct qt_err e = {0};

		req.from = rt_str(source.s);
		if (!qt_id_parse(&req.tenant, "ten", whose) || rt_client_init(&c, text("%s/run/runtime.sock", r->dir), &e) < 0)
			_exit(255);
		_exit(rt_create(&c, &req, &rep, BUDGET_MS, &e) < 0 ? (int)e.code : 0);
	}
	return pid;
}

/* One tenant has four copies that do not end: another's begins nevertheless, at once. */
static void nobody_waits_for_anothers_copies(void **state)
{
	struct rig *r = *state;
	struct qt_id source[LARGE + 1], listed[2 * LARGE + 2];
	pid_t pid[LARGE + 1];

	rig_start(r, NULL);
	for (int i = 0; i <= LARGE; i++) {
		struct rt_create_req req = rig_create_req(source[i] = qt_id_new("ctr"));
		struct rt_create_rep rep;
		struct qt_err e = {0};

		assert_true(qt_id_parse(&req.tenant, "ten", i < LARGE ? "ten_a" : "ten_b"));
		if (rt_create(&r->rt, &req, &rep, BUDGET_MS, &e) < 0)
			fail_msg("create: %s", e.msg);
	}
	rig_term(r);
	rig_start(r, "hang:copy_copied");
	for (int i = 0; i <= LARGE; i++) {
		pid[i] = fork_and_hang(r, source[i], i < LARGE ? "ten_a" : "ten_b");
		wait_for_hanging(r, i < 2 ? (unsigned)i + 1 : i < LARGE ? 2 : 3);
	}
	rig_kill(r);
	for (int i = 0; i <= LARGE; i++)
		assert_int_equal(answer_of(pid[i]), QT_E_RUNTIME_UNAVAILABLE);
	rig_start(r, NULL);
	assert_int_equal(rig_list(r, listed, QT_LEN(listed)), LARGE + 1);
	for (int i = 0; i <= LARGE; i++)
		delete_container(r, source[i]);
	rig_census(r, 0, 0);
	rig_term(r);
}

static void runtime_dies_while_a_source_is_frozen(void **state)
{
	static const char *const verbs[] = {"fork", "snapshot"};
	struct rig *r = *state;

	for (size_t i = 0; i < QT_LEN(verbs); i++)
		for (int die = 0; die < 2; die++) {
			struct ids id = prepare(r);
			pid_t pid = ask_and_hang(r, verbs[i], &id, i ? "hang:copy_copied" : "hang:copy_frozen");

			if (die)
				rig_kill(r);
			else
				rig_term(r);
			assert_int_equal(answer_of(pid), QT_E_RUNTIME_UNAVAILABLE);
			assert_int_equal(is_frozen(r, id.source), die);
			rig_start(r, NULL);
			assert_false(is_frozen(r, id.source));
			afterwards(r, "a death", verbs[i], &id);
		}
}

/* What is being made can be deleted; so can what it is made of. */
static void deleted_while_it_is_made(void **state)
{
	struct rig *r = *state;

	for (int source = 0; source < 2; source++) {
		struct ids id = prepare(r);
		pid_t pid = ask_and_hang(r, "fork", &id, "hang:copy_frozen");
		struct rt_get_req get = {.id = id.ctr};
		struct rt_get_rep got;
		struct qt_id listed[4];
		struct qt_err e = {0};

		assert_int_equal(rig_list(r, listed, 4), 1);
		assert_int_equal(rt_get(&r->rt, &get, &got, BUDGET_MS, &e), -1);
		assert_int_equal(e.code, QT_E_INVALID_STATE);
		if (source)
			delete_container(r, id.source);
		delete_container(r, id.ctr);
		assert_int_equal(answer_of(pid), QT_E_CONFLICT);
		rig_expect(r, 1, 1);
		rig_census(r, !source, !source);
		rig_term(r);
		rig_start(r, NULL);
		if (!source) {
			afterwards(r, "a delete", "fork", &id);
			continue;
		}
		delete_object(r, id.old_snap);
		delete_object(r, id.volume);
		rig_expect(r, 0, 0);
		rig_census(r, 0, 0);
		rig_term(r);
	}
	{
		struct ids id = prepare(r);
		pid_t pid = ask_and_hang(r, "snapshot", &id, "hang:copy_frozen");

		delete_object(r, id.snap);
		assert_int_equal(answer_of(pid), QT_E_CONFLICT);
		assert_false(is_frozen(r, id.source));
		rig_term(r);
		rig_start(r, NULL);
		afterwards(r, "a delete", "snapshot", &id);
	}
	{
		/* The volume's tree keeps its name within the snapshot, which goes into the trash as it is copied. */
		struct ids id = prepare(r);
		pid_t pid = ask_and_hang(r, "vol_make", &id, "hang:copy_copied");

		delete_object(r, id.old_snap);
		assert_int_equal(answer_of(pid), QT_E_CONFLICT);
		delete_container(r, id.source);
		delete_object(r, id.volume);
		rig_expect(r, 0, 0);
		rig_census(r, 0, 0);
		rig_term(r);
	}
}

int pool_deaths(int (*make_btrfs)(void **), int (*make_ext4)(void **), int (*unmake)(void **))
{
	/* The two drivers that differ in when they freeze. */
	const struct CMUnitTest deaths[] = {
		cmocka_unit_test_teardown(survives_every_fail_point, end),
		cmocka_unit_test_teardown(runtime_dies_while_a_source_is_frozen, end),
		cmocka_unit_test_teardown(deleted_while_it_is_made, end),
		cmocka_unit_test_teardown(nobody_waits_for_anothers_copies, end),
	};
	const struct CMUnitTest on_btrfs[] = {cmocka_unit_test_teardown(if_there_is_no_moment, end)};

	return cmocka_run_group_tests_name("deaths on btrfs", deaths, make_btrfs, unmake) +
	       cmocka_run_group_tests_name("a moment on btrfs", on_btrfs, make_btrfs, unmake) +
	       cmocka_run_group_tests_name("deaths with copies", deaths, make_ext4, unmake);
}

#endif
