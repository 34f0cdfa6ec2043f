/* Spares: a create is given one, whatever it asks for; what happened to one meanwhile is nobody's misfortune. */
#include <glob.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "rt_parts.h"
#include "str.h"

static ino_t layer(const struct rig *r, const char *id)
{
	char path[256];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/pool/ctr/%s", r->dir, id);
	return stat(path, &st) == 0 ? st.st_ino : 0;
}

/* The processes of the spares into PIDS; their number. */
static unsigned look(const struct rig *r, pid_t pids[RIG_SPARES])
{
	unsigned n = 0;

	for (unsigned i = 0; i < RIG_SPARES; i++) {
		char path[256];
		FILE *f;

		(void)snprintf(path, sizeof(path), "/sys/fs/cgroup/memory/%s/spare_%u/cgroup.procs", r->instance, i);
		f = fopen(path, "re");
		if (f && fscanf(f, "%d", &pids[n]) == 1)
			n++;
		if (f)
			(void)fclose(f);
	}
	return n;
}

/* All of them; on cgroup v2 there are none. */
static unsigned processes(const struct rig *r, pid_t pids[RIG_SPARES])
{
	char path[64];
	unsigned n;

	(void)snprintf(path, sizeof(path), "/sys/fs/cgroup/memory/%s", r->instance);
	while ((n = look(r, pids)) < RIG_SPARES && access(path, F_OK) == 0)
		(void)poll(NULL, 0, 1);
	return n;
}

static bool was_there(const pid_t *pids, unsigned n, uint32_t pid)
{
	for (unsigned i = 0; i < n; i++)
		if (pids[i] == (pid_t)pid)
			return true;
	return n == 0;
}

void a_spare_becomes_the_container(void **state)
{
	struct rig *r = *state;
	ino_t before[RIG_SPARES];
	pid_t pids[RIG_SPARES];
	struct qt_id id[3];
	struct qt_err e = {0};
	unsigned n;

	rig_start(r, NULL);
	rig_wait_spares(r);
	for (unsigned i = 0; i < RIG_SPARES; i++)
		before[i] = layer(r, i ? "spare_1" : "spare_0");
	n = processes(r, pids);
	/* Other limits than theirs, each time. */
	for (unsigned i = 0; i < QT_LEN(id); i++) {
		struct rt_create_req req = rig_create_req(id[i] = qt_id_new("ctr"));
		struct rt_create_rep rep;
		struct rt_stats_rep stats;
		char out[64];

		req.memory_mb = i == 1 ? 96 : 48;
		req.strict = i == 1;
		if (rt_create(&r->rt, &req, &rep, BUDGET_MS, &e) < 0)
			fail_msg("%s", e.msg);
		if (i == 0) { /* the next may get one that was made meanwhile */
			assert_true(layer(r, id[i].s) == before[0] || layer(r, id[i].s) == before[1]);
			assert_true(was_there(pids, n, rep.pid));
		}
		CALL(r, stats, &stats, .id = id[i]);
		assert_int_equal(stats.memory_limit_bytes, req.memory_mb << 20);
		rig_exec(r, id[i], "hostname", out, sizeof(out));
		assert_string_equal(out, "demo\n");
		rig_exec(r, id[i], "echo $(ls /sys/fs/cgroup) $(cat /proc/1/cgroup | grep -c spare_)", out, sizeof(out));
		assert_string_equal(out, "0\n");
	}
	rig_census(r, QT_LEN(id), QT_LEN(id));
	/* They live on without the runtime, under their own names; its spares do not. */
	rig_kill(r);
	rig_start(r, NULL);
	rig_wait_spares(r);
	rig_census(r, QT_LEN(id), QT_LEN(id));
	for (unsigned i = 0; i < QT_LEN(id); i++)
		assert_int_equal(rig_delete(r, id[i], &e), 0);
	rig_census(r, 0, 0);
	rig_term(r);
	rig_census(r, 0, 0);
}

void a_dead_spare_is_not_missed(void **state)
{
	struct rig *r = *state;
	struct qt_id id = qt_id_new("ctr");
	pid_t pids[RIG_SPARES];
	struct qt_err e = {0};
	unsigned n;
	char out[64];

	rig_start(r, NULL);
	rig_wait_spares(r);
	n = processes(r, pids);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(kill(pids[i], SIGKILL), 0);
	while (look(r, pids) > 0)
		(void)poll(NULL, 0, 1);
	(void)rig_create(r, id);
	rig_exec(r, id, "echo here", out, sizeof(out));
	assert_string_equal(out, "here\n");
	rig_wait_spares(r);
	rig_census(r, 1, 1);
	assert_int_equal(rig_delete(r, id, &e), 0);
	/* Files of a spare that somebody took away. */
	rig_wait_spares(r);
	rig_remove(r, "state/ctr/spare_0");
	rig_remove(r, "pool/ctr/spare_0");
	rig_remove(r, "run/c/spare_1.sock");
	for (int i = 0; i < 3; i++) {
		id = qt_id_new("ctr");
		(void)rig_create(r, id);
		rig_exec(r, id, "echo here", out, sizeof(out));
		assert_string_equal(out, "here\n");
		assert_int_equal(rig_delete(r, id, &e), 0);
	}
	rig_census(r, 0, 0);
	rig_term(r);
	rig_census(r, 0, 0);
}

/* Nobody is refused for the sake of spares. */
void spares_take_no_room(void **state)
{
	struct rig *r = *state;
	struct qt_id id[3];
	struct qt_err e = {0};

	rig_set(r, "max_containers = 3");
	rig_start(r, NULL);
	rig_wait_spares(r);
	for (unsigned i = 0; i < QT_LEN(id); i++)
		(void)rig_create(r, id[i] = qt_id_new("ctr"));
	rig_census(r, 3, 3);
	for (unsigned i = 0; i < QT_LEN(id); i++)
		assert_int_equal(rig_delete(r, id[i], &e), 0);
	rig_term(r);
	rig_set(r, "max_containers = 1000");
}
