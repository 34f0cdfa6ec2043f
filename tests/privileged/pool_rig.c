#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "pool_rig.h"
#include "str.h"

int end(void **state)
{
	struct rig *r = *state;

	rig_expect(r, 0, 0);
	if (r->pid)
		rig_reset(r);
	return 0;
}

struct qt_id tenant(void)
{
	struct qt_id t;

	assert_true(qt_id_parse(&t, "ten", "ten_a"));
	return t;
}

struct qt_id make_volume(struct rig *r, const char *from_snapshot, const char *from_volume, uint64_t max_bytes)
{
	struct qt_id id = qt_id_new("vol");
	struct rt_vol_make_rep rep;

	CALL(r, vol_make, &rep, .id = id, .tenant = tenant(), .from_snapshot = rt_str(from_snapshot),
	     .from_volume = rt_str(from_volume), .max_bytes = max_bytes, .record = {"rec", 3});
	return id;
}

void delete_object(struct rig *r, struct qt_id id)
{
	struct rt_obj_delete_rep rep;

	CALL(r, obj_delete, &rep, .id = id);
}

void delete_container(struct rig *r, struct qt_id id)
{
	struct qt_err e = {0};

	if (rig_delete(r, id, &e) < 0)
		fail_msg("delete: %s", e.msg);
}

struct rt_strv list_of(const char *texts, char *buf, size_t size)
{
	struct rt_strv v = {.s = ""};
	char copy[1024], *save = NULL;

	assert_true(qt_copy(copy, sizeof(copy), texts ? texts : ""));
	for (char *t = strtok_r(copy, "|", &save); t; t = strtok_r(NULL, "|", &save))
		assert_true(rt_strv_add(&v, buf, size, t));
	return v;
}

int try_create(struct rig *r, struct qt_id id, const char *from, const char *volumes, uint32_t no_start, uint32_t consistency,
		      struct rt_create_rep *rep, struct qt_err *e)
{
	struct rt_create_req req = rig_create_req(id);
	char buf[1024];

	req.from = rt_str(from);
	req.volumes = list_of(volumes, buf, sizeof(buf));
	req.no_start = no_start;
	req.consistency = consistency;
	return rt_create(&r->rt, &req, rep, BUDGET_MS, e);
}

struct qt_id create(struct rig *r, const char *from, const char *volumes, uint32_t no_start)
{
	struct qt_id id = qt_id_new("ctr");
	struct rt_create_rep rep;
	struct qt_err e = {0};

	if (try_create(r, id, from, volumes, no_start, RT_CRASH_CONSISTENT, &rep, &e) < 0)
		fail_msg("create: %s: %s", qt_err_row(e.code)->name, e.msg);
	return id;
}

void create_fails(struct rig *r, enum qt_code want, const char *from, const char *volumes)
{
	struct rt_create_rep rep;
	struct qt_err e = {0};

	assert_int_equal(try_create(r, qt_id_new("ctr"), from, volumes, 0, 0, &rep, &e), -1);
	if (e.code != want)
		fail_msg("%s: %s, and not %s", qt_err_row(e.code)->name, e.msg, qt_err_row(want)->name);
	assert_null(strstr(e.msg, "/tmp"));
}

void start(struct rig *r, struct qt_id id, const char *volumes)
{
	struct rt_start_rep rep;
	char buf[1024];

	CALL(r, start, &rep, .id = id, .hostname = rt_str("demo"), .argv.s = "", .env = {"PATH=/bin", 10, 1},
	     .volumes = list_of(volumes, buf, sizeof(buf)));
}

void stop(struct rig *r, struct qt_id id)
{
	struct rt_kill_rep rep;

	CALL(r, kill, &rep, .id = id);
}

void expect(struct rig *r, struct qt_id id, const char *command, const char *want)
{
	static char out[65536];

	rig_exec(r, id, command, out, sizeof(out));
	if (!qt_streq(out, want))
		fail_msg("`%s` said `%s`, and not `%s`", command, out, want);
}

struct rt_snapshot_rep snapshot(struct rig *r, struct qt_id ctr, struct qt_id id, uint32_t consistency, const char *volumes)
{
	struct rt_snapshot_rep rep;
	char buf[1024];

	CALL(r, snapshot, &rep, .id = ctr, .snapshot = id, .consistency = consistency, .volumes = list_of(volumes, buf, sizeof(buf)),
	     .record = {"snap!", 5});
	return rep;
}

const char *text(const char *fmt, ...)
{
	static char buf[8][512];
	static unsigned n;
	char *to = buf[n++ % 8];
	va_list ap;

	va_start(ap, fmt);
	assert_true(vsnprintf(to, sizeof(buf[0]), fmt, ap) < (int)sizeof(buf[0]));
	va_end(ap);
	return to;
}
