/* A runtime that dies, or fails: containers live on, and nothing is half there. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "minit/minit_client.h"
#include "rt_parts.h"
#include "str.h"

#define MANY 20

void containers_outlive_the_runtime(void **state)
{
	struct rig *r = *state;
	struct qt_id id[MANY], listed[MANY + 1];
	struct rt_create_rep made[MANY];
	struct rt_get_rep got;
	struct rt_stats_rep stats;
	struct rt_stop_rep stopped;
	struct qt_err e = {0};
	char out[256], ip[MANY][16];
	int fd = -1;

	rig_start(r, NULL);
	for (int i = 0; i < MANY; i++) {
		id[i] = qt_id_new("ctr");
		made[i] = rig_create(r, id[i]);
		(void)qt_copy(ip[i], sizeof(ip[i]), made[i].ip.s);
	}
	{
		struct rt_connect_req req = {.id = id[1]};
		struct rt_connect_rep rep;

		assert_int_equal(rt_call(&r->rt, RT_CONNECT, &req, NULL, &rep, &fd, BUDGET_MS, &e), 0);
	}
	rig_kill(r);
	/* While nobody looks, one is killed and one ends of its own accord. */
	assert_int_equal(kill((pid_t)made[0].pid, SIGKILL), 0);
	assert_int_equal(mi_stop(fd, &e), 0);
	while (kill((pid_t)made[0].pid, 0) == 0 || kill((pid_t)made[1].pid, 0) == 0)
		(void)poll(NULL, 0, 5);
	close(fd);
	rig_start(r, NULL);
	assert_int_equal(rig_list(r, listed, MANY + 1), MANY);
	for (int i = 0; i < MANY; i++) {
		got = rig_get(r, id[i]);
		assert_string_equal(got.ip.s, ip[i]);
		if (i < 2) {
			assert_int_equal(got.state, RT_ST_EXITED);
			assert_int_equal(got.exit_code, i == 0 ? 137 : 0);
			continue;
		}
		assert_int_equal(got.state, RT_ST_RUNNING);
		assert_int_equal(got.pid, made[i].pid);
		rig_exec(r, id[i], "echo here", out, sizeof(out));
		assert_string_equal(out, "here\n");
		CALL(r, stats, &stats, .id = id[i]);
		assert_true(stats.pids >= 1);
	}
	rig_census(r, MANY, MANY - 2);
	/* One that was adopted is stopped, and one is found dead. */
	CALL(r, stop, &stopped, .id = id[2], .timeout_ms = BUDGET_MS);
	assert_int_equal(stopped.exit_code, 0);
	assert_int_equal(kill((pid_t)made[3].pid, SIGKILL), 0);
	do
		got = rig_get(r, id[3]);
	while (got.state == RT_ST_RUNNING);
	assert_int_equal(got.exit_code, 137);
	/* In order: a graceful end leaves them running as well. */
	rig_term(r);
	rig_census(r, MANY, MANY - 4);
	rig_start(r, NULL);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(rig_delete(r, id[i], &e), 0);
	rig_census(r, 0, 0);
	rig_term(r);
}

void shutdown_ends_all(void **state)
{
	struct rig *r = *state;
	struct qt_id id = qt_id_new("ctr");
	struct rt_start_rep started;
	struct rt_get_rep got;
	struct qt_err e = {0};

	rig_start(r, NULL);
	(void)rig_create(r, id);
	rig_kill(r);
	rig_shutdown(r);
	rig_census(r, 1, 0);
	rig_start(r, NULL);
	got = rig_get(r, id);
	assert_int_equal(got.state, RT_ST_EXITED);
	assert_int_equal(got.exit_code, 137);
	CALL(r, start, &started, .id = id, .hostname = rt_str("demo"), .argv.s = "", .env.s = "");
	assert_int_equal(rig_delete(r, id, &e), 0);
	rig_census(r, 0, 0);
	rig_term(r);
}

/* The entry is lost, the machine's resources are not, and the data is kept. */
void rotten_entry_is_set_aside(void **state)
{
	struct rig *r = *state;
	struct qt_id rotten = qt_id_new("ctr"), well = qt_id_new("ctr"), listed[4];
	char path[160], path2[160];
	struct stat st;
	struct qt_err e = {0};
	int fd;

	rig_start(r, NULL);
	(void)rig_create(r, rotten);
	(void)rig_create(r, well);
	rig_kill(r);
	(void)snprintf(path, sizeof(path), "%s/state/journal/%s", r->dir, rotten.s);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0 && pwrite(fd, "\xff", 1, 40) == 1);
	close(fd);
	rig_start(r, NULL);
	assert_int_equal(rig_list(r, listed, 4), 1);
	assert_string_equal(listed[0].s, well.s);
	(void)snprintf(path, sizeof(path), "%s/state/journal.bad/%s", r->dir, rotten.s);
	(void)snprintf(path2, sizeof(path2), "%s/pool/ctr/%s/upper", r->dir, rotten.s);
	assert_int_equal(stat(path2, &st), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rig_delete(r, well, &e), 0);
	rig_term(r);
	rig_start(r, NULL); /* somebody decided that it can go */
	rig_census(r, 0, 0);
	rig_term(r);
}

#ifdef QT_FAILPOINTS
/* --- fail points ----------------------------------------------------------------------------------------- */

/* One verb on a runtime that fails, or dies, at POINT; a create with a SPARE or without. What may be left afterwards is a whole container, or none. */
static void hit(struct rig *r, const char *point, const char *verb, bool die, bool spare)
{
	struct qt_id id = qt_id_new("ctr"), bystander = qt_id_new("ctr"), listed[8];
	struct rt_create_req create = rig_create_req(id);
	struct rt_create_rep created;
	struct rt_kill_req kill_req = {.id = id};
	struct rt_kill_rep killed;
	struct rt_start_req start = {.id = id, .hostname = rt_str("demo"), .argv.s = "", .env.s = ""};
	struct rt_start_rep started;
	struct qt_err e = {0};
	uint32_t pid;
	unsigned n;
	char fail[64], out[64];

	(void)snprintf(fail, sizeof(fail), "%s%s", die ? "kill:" : "", point);
	rig_set(r, spare ? "spares = 2" : "spares = 0");
	rig_start(r, NULL);
	pid = rig_create(r, bystander).pid;
	if (!qt_streq(verb, "create") && !qt_streq(verb, "spare"))
		(void)rig_create(r, id);
	if (qt_streq(verb, "start"))
		assert_int_equal(rt_kill(&r->rt, &kill_req, &killed, BUDGET_MS, &e), 0);
	rig_term(r);

	rig_start(r, fail);
	if (spare && !qt_streq(verb, "spare"))
		rig_wait_spares(r);
	if (qt_streq(verb, "create") || (qt_streq(verb, "spare") && !die))
		(void)rt_create(&r->rt, &create, &created, BUDGET_MS, &e);
	else if (qt_streq(verb, "start"))
		(void)rt_start(&r->rt, &start, &started, BUDGET_MS, &e);
	else if (qt_streq(verb, "stop"))
		(void)rt_kill(&r->rt, &kill_req, &killed, BUDGET_MS, &e);
	else if (!qt_streq(verb, "spare"))
		(void)rig_delete(r, id, &e);
	if (die) {
		rig_died(r);
		rig_start(r, NULL);
	}
	/* Whole, or not at all; and whoever had nothing to do with it runs on. */
	n = rig_list(r, listed, 8);
	assert_true(n == 1 || n == 2);
	assert_int_equal(rig_get(r, bystander).pid, pid);
	rig_exec(r, bystander, "echo here", out, sizeof(out));
	if (n == 2) {
		if (rig_get(r, id).state == RT_ST_RUNNING)
			rig_exec(r, id, "echo here", out, sizeof(out));
		rig_census(r, 2, 1 + (rig_get(r, id).state == RT_ST_RUNNING));
		qt_err_reset(&e);
		if (rig_get(r, id).state == RT_ST_EXITED && rt_start(&r->rt, &start, &started, BUDGET_MS, &e) < 0)
			fail_msg("start after %s: %s", fail, e.msg);
		qt_err_reset(&e);
		if (rig_delete(r, id, &e) < 0)
			fail_msg("delete after %s: %s", fail, e.msg);
	} else {
		rig_census(r, 1, 1);
		qt_err_reset(&e);
		if (rt_create(&r->rt, &create, &created, BUDGET_MS, &e) < 0)
			fail_msg("create after %s: %s", fail, e.msg);
		assert_int_equal(rig_delete(r, id, &e), 0);
	}
	assert_int_equal(rig_delete(r, bystander, &e), 0);
	rig_census(r, 0, 0);
	rig_term(r);
}

/* The others are for pool_test.c. */
static bool is_of_containers(const char *verb)
{
	return qt_streq(verb, "create") || qt_streq(verb, "start") || qt_streq(verb, "stop") || qt_streq(verb, "delete");
}

void survives_every_fail_point(void **state)
{
	for (size_t i = 0; i < rig_n_points; i++)
		for (int die = 0; die < 2; die++) {
			const char *verb = rig_points[i].verb;

			if (is_of_containers(verb))
				hit(*state, rig_points[i].name, verb, die, false);
			if (qt_streq(verb, "create") || qt_streq(verb, "spare"))
				hit(*state, rig_points[i].name, verb, die, true);
		}
	rig_set(*state, "spares = 2");
}
#endif
