/* Snapshots, forks, clones and volumes of the real runtime, with each storage driver. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "rt_rig.h"
#include "runtime/dirs.h"
#include "runtime/store_parts.h"
#include "str.h"

static struct rig rig;
static const char *driver; /* that the pool is to be used with */

static int make(void **state, const char *pool, const char *its_driver)
{
	driver = its_driver;
	rig_make(&rig, pool);
	*state = &rig;
	return 0;
}

static int make_btrfs(void **state)
{
	return make(state, "btrfs", "btrfs");
}

static int make_ext4(void **state)
{
	return make(state, "ext4", "copy");
}

static int make_xfs(void **state)
{
	return make(state, "xfs", "reflink");
}

static int unmake(void **state)
{
	rig_unmake(*state);
	return 0;
}

static int end(void **state)
{
	struct rig *r = *state;

	rig_expect(r, 0, 0);
	if (r->pid)
		rig_reset(r);
	return 0;
}

/* --- asking -------------------------------------------------------------------------------------------- */

static struct qt_id tenant(void)
{
	struct qt_id t;

	assert_true(qt_id_parse(&t, "ten", "ten_a"));
	return t;
}

static struct qt_id make_volume(struct rig *r, const char *from_snapshot, const char *from_volume, uint64_t max_bytes)
{
	struct qt_id id = qt_id_new("vol");
	struct rt_vol_make_rep rep;

	CALL(r, vol_make, &rep, .id = id, .tenant = tenant(), .from_snapshot = rt_str(from_snapshot),
	     .from_volume = rt_str(from_volume), .max_bytes = max_bytes, .record = {"rec", 3});
	return id;
}

static void delete_object(struct rig *r, struct qt_id id)
{
	struct rt_obj_delete_rep rep;

	CALL(r, obj_delete, &rep, .id = id);
}

static void delete_container(struct rig *r, struct qt_id id)
{
	struct qt_err e = {0};

	if (rig_delete(r, id, &e) < 0)
		fail_msg("delete: %s", e.msg);
}

/* VOLUMES: texts divided by '|', NULL for none. */
static struct rt_strv list_of(const char *texts, char *buf, size_t size)
{
	struct rt_strv v = {.s = ""};
	char copy[1024], *save = NULL;

	assert_true(qt_copy(copy, sizeof(copy), texts ? texts : ""));
	for (char *t = strtok_r(copy, "|", &save); t; t = strtok_r(NULL, "|", &save))
		assert_true(rt_strv_add(&v, buf, size, t));
	return v;
}

static int try_create(struct rig *r, struct qt_id id, const char *from, const char *volumes, uint32_t no_start, uint32_t consistency,
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

static struct qt_id create(struct rig *r, const char *from, const char *volumes, uint32_t no_start)
{
	struct qt_id id = qt_id_new("ctr");
	struct rt_create_rep rep;
	struct qt_err e = {0};

	if (try_create(r, id, from, volumes, no_start, RT_CRASH_CONSISTENT, &rep, &e) < 0)
		fail_msg("create: %s: %s", qt_err_row(e.code)->name, e.msg);
	return id;
}

static void create_fails(struct rig *r, enum qt_code want, const char *from, const char *volumes)
{
	struct rt_create_rep rep;
	struct qt_err e = {0};

	assert_int_equal(try_create(r, qt_id_new("ctr"), from, volumes, 0, 0, &rep, &e), -1);
	if (e.code != want)
		fail_msg("%s: %s, and not %s", qt_err_row(e.code)->name, e.msg, qt_err_row(want)->name);
	assert_null(strstr(e.msg, "/tmp"));
}

static void start(struct rig *r, struct qt_id id, const char *volumes)
{
	struct rt_start_rep rep;
	char buf[1024];

	CALL(r, start, &rep, .id = id, .hostname = rt_str("demo"), .argv.s = "", .env = {"PATH=/bin", 10, 1},
	     .volumes = list_of(volumes, buf, sizeof(buf)));
}

static void stop(struct rig *r, struct qt_id id)
{
	struct rt_kill_rep rep;

	CALL(r, kill, &rep, .id = id);
}

static void expect(struct rig *r, struct qt_id id, const char *command, const char *want)
{
	static char out[65536];

	rig_exec(r, id, command, out, sizeof(out));
	if (!qt_streq(out, want))
		fail_msg("`%s` said `%s`, and not `%s`", command, out, want);
}

static struct rt_snapshot_rep snapshot(struct rig *r, struct qt_id ctr, struct qt_id id, uint32_t consistency, const char *volumes)
{
	struct rt_snapshot_rep rep;
	char buf[1024];

	CALL(r, snapshot, &rep, .id = ctr, .snapshot = id, .consistency = consistency, .volumes = list_of(volumes, buf, sizeof(buf)),
	     .record = {"snap!", 5});
	return rep;
}

static const char *text(const char *fmt, ...)
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

/* --- volumes ------------------------------------------------------------------------------------------- */

static void volumes_are_shared(void **state)
{
	struct rig *r = *state;
	struct qt_id vol, a, b, other;
	struct rt_info_rep info;
	struct rt_obj_get_rep got;
	struct rt_obj_list_rep list;
	struct rt_obj_record_rep recorded;
	struct rt_vol_make_rep again;
	struct rt_vol_make_req foreign = {.record = {"", 0}};
	struct rt_vol_make_rep made;
	struct qt_err e = {0};

	rig_start(r, NULL);
	CALL(r, info, &info, 0);
	assert_string_equal(info.storage_driver.s, driver);
	vol = make_volume(r, "", "", 0);
	rig_expect(r, 0, 1);
	CALL(r, vol_make, &again, .id = vol, .tenant = tenant(), .from_snapshot = rt_str(""), .from_volume = rt_str(""), .record = {"", 0});
	a = create(r, "", text("%s:/data|%s:/srv/deep/ro:ro", vol.s, vol.s), 0);
	b = create(r, "", text("%s:/other:ro", vol.s), 0);
	expect(r, a, "ls -ld /data | { read m n u rest; echo $m $u; }; id -u >/data/f; cat /srv/deep/ro/f", "drwxr-xr-x 0\n0\n");
	expect(r, b, "cat /other/f; echo x >/other/f || echo refused", "0\n/bin/sh: can't create /other/f: Read-only file system\nrefused\n");
	expect(r, a, "echo x >/srv/deep/ro/f || echo refused", "/bin/sh: can't create /srv/deep/ro/f: Read-only file system\nrefused\n");
	/* Programs in volumes run; setuid ones are worth nothing, and there are no devices. */
	expect(r, a, "cp /bin/busybox /data/busybox; /data/busybox echo runs; busybox grep -c ' /data .*nosuid,nodev' /proc/mounts;"
		     "busybox grep ' /data ' /proc/mounts | busybox grep -c noexec; true", "runs\n1\n0\n");
	CALL(r, obj_get, &got, .id = vol, .count = 1);
	assert_string_equal(got.tenant.s, "ten_a");
	assert_memory_equal(got.record.s, "rec", 3);
	assert_int_equal(got.files, 2);
	assert_true(got.size_bytes > 100000 && got.created_ms > 0);
	(void)REFUSED(r, QT_E_VOLUME_IN_USE, obj_delete, .id = vol);
	CALL(r, obj_record, &recorded, .id = vol, .record = {"new", 3});

	rig_kill(r);
	rig_start(r, NULL);
	(void)REFUSED(r, QT_E_VOLUME_IN_USE, obj_delete, .id = vol);
	CALL(r, obj_get, &got, .id = vol, .count = 1);
	assert_memory_equal(got.record.s, "new", 3);
	CALL(r, obj_list, &list, .kind = rt_str("vol"), .after = rt_str(""));
	assert_int_equal(list.ids.n, 1);
	assert_string_equal(list.ids.s, vol.s);
	CALL(r, obj_list, &list, .kind = rt_str("vol"), .after = rt_str(vol.s));
	assert_int_equal(list.ids.n, 0);

	/* Of somebody else, or not there, or nowhere to put it. */
	foreign.id = vol;
	foreign.from_snapshot = foreign.from_volume = rt_str("");
	assert_true(qt_id_parse(&foreign.tenant, "ten", "ten_b"));
	assert_int_equal(rt_vol_make(&r->rt, &foreign, &made, BUDGET_MS, &e), -1);
	assert_int_equal(e.code, QT_E_CONFLICT);
	foreign.id = other = qt_id_new("vol");
	qt_err_reset(&e);
	assert_int_equal(rt_vol_make(&r->rt, &foreign, &made, BUDGET_MS, &e), 0);
	create_fails(r, QT_E_VOLUME_NOT_FOUND, "", text("%s:/data", other.s));
	create_fails(r, QT_E_VOLUME_NOT_FOUND, "", "vol_nothere:/data");
	create_fails(r, QT_E_VALIDATION_ERROR, "", text("%s:/proc/x", vol.s));
	create_fails(r, QT_E_VALIDATION_ERROR, "", text("%s:/a/../b", vol.s));
	create_fails(r, QT_E_VALIDATION_ERROR, "", text("%s:data", vol.s));
	create_fails(r, QT_E_VALIDATION_ERROR, "", text("%s:/data:rw", vol.s));
	create_fails(r, QT_E_VALIDATION_ERROR, "", text("%s:/data|%s:/data:ro", vol.s, vol.s));
	create_fails(r, QT_E_VALIDATION_ERROR, "", text("%s:/data", a.s));
	delete_object(r, other);

	/* A link in the container's way: not followed, whoever made it. */
	expect(r, b, "busybox ln -s /etc /way", "");
	stop(r, b);
	{
		struct rt_start_rep rep;
		char buf[256];

		struct rt_start_req req = {.id = b, .hostname = rt_str("demo"), .argv.s = "", .env.s = "",
					   .volumes = list_of(text("%s:/way/x", vol.s), buf, sizeof(buf))};
		qt_err_reset(&e);
		assert_int_equal(rt_start(&r->rt, &req, &rep, BUDGET_MS, &e), -1);
		assert_int_equal(e.code, QT_E_VALIDATION_ERROR);
	}
	start(r, b, text("%s:/elsewhere", vol.s));
	expect(r, b, "cat /elsewhere/f; ls /other", "0\n");
	delete_container(r, a);
	delete_container(r, b);
	/* It outlives them all. */
	a = create(r, "", text("%s:/data", vol.s), 0);
	expect(r, a, "cat /data/f", "0\n");
	stop(r, a);
	delete_object(r, vol);
	delete_object(r, vol);
	(void)REFUSED(r, QT_E_VOLUME_NOT_FOUND, obj_get, .id = vol);
	(void)REFUSED(r, QT_E_VOLUME_NOT_FOUND, start, .id = a, .hostname = rt_str("demo"), .argv.s = "", .env.s = "",
		      .volumes = {text("%s:/data", vol.s), (uint32_t)strlen(vol.s) + 7, 1});
	delete_container(r, a);
	rig_expect(r, 0, 0);
	rig_census(r, 0, 0);
	rig_term(r);
}

/* --- forks, clones, snapshots -------------------------------------------------------------------------- */

static void forks_part(void **state)
{
	struct rig *r = *state;
	struct qt_id a, b, c, d;

	rig_start(r, NULL);
	a = create(r, "", NULL, 0);
	expect(r, a, "echo one >/f; mkdir -p /d/e; echo x >/d/e/x; busybox rm /bin/hostname; busybox rm -r /var; mkdir /var; busybox chown 1000:1000 /f", "");
	b = create(r, a.s, NULL, 0);
	expect(r, b, "cat /f /d/e/x; busybox stat -c %u:%g:%a /f; ls /bin/hostname 2>/dev/null || echo gone; ls /var", "one\nx\n1000:1000:644\ngone\n");
	expect(r, b, "echo two >/f; busybox rm -r /d; echo new >/var/n", "");
	expect(r, a, "cat /f /d/e/x; ls /var", "one\nx\n");
	expect(r, a, "echo three >/f", "");
	expect(r, b, "cat /f; ls /d 2>/dev/null || echo gone", "two\ngone\n");
	/* A fork of a fork, of one that does not run, and of one that was never started. */
	stop(r, b);
	c = create(r, b.s, NULL, 1);
	assert_int_equal(rig_get(r, c).state, RT_ST_CREATED);
	assert_int_equal(rig_get(r, c).pid, 0);
	d = create(r, c.s, NULL, 0);
	expect(r, d, "cat /f /var/n", "two\nnew\n");
	rig_census(r, 4, 2);
	/* Known after a death, and startable; what it stood on may go first. */
	rig_kill(r);
	rig_start(r, NULL);
	assert_int_equal(rig_get(r, c).state, RT_ST_CREATED);
	delete_container(r, a);
	delete_container(r, b);
	start(r, c, NULL);
	expect(r, c, "cat /f", "two\n");
	delete_container(r, c);
	create_fails(r, QT_E_CONTAINER_NOT_FOUND, a.s, NULL);
	create_fails(r, QT_E_SNAPSHOT_NOT_FOUND, "snap_nothere", NULL);
	create_fails(r, QT_E_VALIDATION_ERROR, "vol_x", NULL);
	delete_container(r, d);
	rig_census(r, 0, 0);
	rig_term(r);
}

static void snapshots_stand_alone(void **state)
{
	struct rig *r = *state;
	struct qt_id vol = {""}, a, b, snap = qt_id_new("snap"), copy;
	struct rt_snapshot_rep taken, again;
	struct rt_obj_get_rep got;
	struct rt_obj_list_rep list;
	struct qt_id app = qt_id_new("snap");

	rig_start(r, NULL);
	vol = make_volume(r, "", "", 0);
	a = create(r, "", text("%s:/data", vol.s), 0);
	expect(r, a, "echo layer >/f; echo volume >/data/f; busybox head -c 3000000 /dev/urandom >/big", "");
	taken = snapshot(r, a, snap, RT_CRASH_CONSISTENT, vol.s);
	assert_true(taken.size_bytes > 2900000 && taken.size_bytes < 4000000);
	again = snapshot(r, a, snap, RT_CRASH_CONSISTENT, vol.s);
	assert_int_equal(again.size_bytes, taken.size_bytes);
	rig_expect(r, 1, 1);
	rig_census(r, 1, 1);
	expect(r, a, "echo later >/f; echo later >/data/f", "");
	rig_kill(r);
	rig_start(r, NULL);
	CALL(r, obj_get, &got, .id = snap);
	assert_int_equal(got.size_bytes, taken.size_bytes);
	assert_memory_equal(got.record.s, "snap!", 5);
	CALL(r, obj_list, &list, .kind = rt_str("snap"), .after = rt_str(""));
	assert_int_equal(list.ids.n, 1);
	(void)REFUSED(r, QT_E_VALIDATION_ERROR, snapshot, .id = a, .snapshot = qt_id_new("snap"),
		      .volumes = {"vol_other", 10, 1}, .record = {"", 0});
	(void)REFUSED(r, QT_E_VOLUME_NOT_FOUND, vol_make, .id = qt_id_new("vol"), .tenant = tenant(), .from_snapshot = rt_str(snap.s),
		      .from_volume = rt_str("vol_other"), .record = {"", 0});

	(void)snapshot(r, a, app, RT_APP_CONSISTENT, NULL);
	rig_expect(r, 2, 1);
	copy = make_volume(r, snap.s, vol.s, 0);
	rig_expect(r, 2, 2);
	delete_container(r, a);
	b = create(r, snap.s, text("%s:/data", copy.s), 0);
	expect(r, b, "cat /f /data/f; echo own >/f", "layer\nvolume\n");
	/* Nothing stands on anything. */
	delete_object(r, snap);
	rig_expect(r, 1, 2);
	rig_census(r, 1, 1);
	expect(r, b, "cat /f /data/f", "own\nvolume\n");
	stop(r, b);
	delete_container(r, b);
	b = create(r, app.s, NULL, 0);
	expect(r, b, "cat /f", "later\n");
	delete_container(r, b);
	delete_object(r, app);
	delete_object(r, copy);
	delete_object(r, vol);
	rig_expect(r, 0, 0);
	rig_census(r, 0, 0);
	rig_term(r);
}

#define FORKS 24

static void forks_of_forks(void **state)
{
	struct rig *r = *state;
	struct qt_id id[FORKS];

	rig_start(r, NULL);
	id[0] = create(r, "", NULL, 1);
	for (int i = 1; i < FORKS; i++)
		id[i] = create(r, id[i - 1].s, NULL, i < FORKS - 1);
	rig_census(r, FORKS, 1);
	for (int i = 0; i < FORKS; i++)
		delete_container(r, id[i]);
	rig_census(r, 0, 0);
	rig_term(r);
}

/* --- consistency --------------------------------------------------------------------------------------- */

/* In a fork taken at any moment the second link is never newer than the first. Links, since their content is made with their name: what a
 * program wrote into a file and did not sync, a crash may lose. */
static void crash_consistent(void **state)
{
	struct rig *r = *state;
	struct qt_id a;

	rig_start(r, NULL);
	a = create(r, "", NULL, 0);
	expect(r, a, "(i=0; while :; do i=$((i+1)); busybox ln -s $i /t && busybox mv -fT /t /first && busybox ln -s $i /t && busybox mv -fT /t /second; done) "
		     ">/dev/null 2>&1 & while ! busybox readlink /second >/dev/null; do :; done; echo runs", "runs\n");
	for (int i = 0; i < 10; i++) {
		struct qt_id b = create(r, a.s, NULL, 0);

		expect(r, b, "a=$(busybox readlink /first); b=$(busybox readlink /second); [ $b -le $a -a $((b+1)) -ge $a ] && echo whole", "whole\n");
		delete_container(r, b);
	}
	delete_container(r, a);
	rig_census(r, 0, 0);
	rig_term(r);
}

#define SEVERAL 3

/* Of several trees too, and nobody has to stand still for it: links in the layer and in three volumes, made in turn. */
static void crash_consistent_with_volumes(void **state)
{
	struct rig *r = *state;
	struct qt_id vol[SEVERAL], a;

	rig_start(r, NULL);
	for (int i = 0; i < SEVERAL; i++)
		vol[i] = make_volume(r, "", "", 0);
	a = create(r, "", text("%s:/v0|%s:/v1|%s:/v2", vol[0].s, vol[1].s, vol[2].s), 0);
	expect(r, a, "(i=0; while :; do i=$((i+1)); for d in / /v0 /v1 /v2; do busybox ln -s $i $d/t && busybox mv -fT $d/t $d/link; done; done) >/dev/null 2>&1 & "
		     "while ! busybox readlink /v2/link >/dev/null; do :; done; echo runs", "runs\n");
	for (int n = 0; n < 6; n++) {
		struct qt_id snap = qt_id_new("snap"), copy[SEVERAL], b;
		struct rt_snapshot_rep taken = snapshot(r, a, snap, RT_CRASH_CONSISTENT, text("%s|%s|%s", vol[0].s, vol[1].s, vol[2].s));

		print_message("source paused %.2f ms\n", (double)taken.paused_us / 1e3);
		for (int i = 0; i < SEVERAL; i++)
			copy[i] = make_volume(r, snap.s, vol[i].s, 0);
		b = create(r, snap.s, text("%s:/v0|%s:/v1|%s:/v2", copy[0].s, copy[1].s, copy[2].s), 0);
		expect(r, b, "l=$(busybox readlink /link); last=$l; for d in /v0 /v1 /v2; do n=$(busybox readlink $d/link); [ $n -le $last ] || echo $d newer; last=$n; done;"
			     "[ $((last+1)) -ge $l ] || echo torn", "");
		expect(r, a, "a=$(busybox readlink /v2/link); while [ \"$(busybox readlink /v2/link)\" = \"$a\" ]; do :; done; echo on", "on\n");
		delete_container(r, b);
		for (int i = 0; i < SEVERAL; i++)
			delete_object(r, copy[i]);
		delete_object(r, snap);
	}
	delete_container(r, a);
	for (int i = 0; i < SEVERAL; i++)
		delete_object(r, vol[i]);
	rig_expect(r, 0, 0);
	rig_census(r, 0, 0);
	rig_term(r);
}

/* Two files, one in the layer and one in a volume, with content, never synced: frozen, both are as the writer left them. */
static void app_consistent(void **state)
{
	struct rig *r = *state;
	struct qt_id vol, a;

	rig_start(r, NULL);
	vol = make_volume(r, "", "", 0);
	a = create(r, "", text("%s:/data", vol.s), 0);
	expect(r, a, "(i=0; while :; do i=$((i+1)); echo $i >/t; busybox mv /t /first; echo $i >/data/t; busybox mv /data/t /data/second; done) "
		     ">/dev/null 2>&1 & while ! cat /data/second >/dev/null 2>&1; do :; done; echo runs", "runs\n");
	for (int i = 0; i < 10; i++) {
		struct qt_id snap = qt_id_new("snap"), copy, b;
		struct rt_snapshot_rep taken = snapshot(r, a, snap, RT_APP_CONSISTENT, vol.s);

		assert_true(taken.paused_us > 0);
		copy = make_volume(r, snap.s, vol.s, 0);
		b = create(r, snap.s, text("%s:/data", copy.s), 0);
		expect(r, b, "a=$(cat /first); b=$(cat /data/second); [ \"$b\" -le \"$a\" -a $((b+1)) -ge \"$a\" ] && echo whole", "whole\n");
		/* And the source goes on. */
		expect(r, a, "a=$(cat /data/second); while [ \"$(cat /data/second)\" = \"$a\" ]; do :; done; echo on", "on\n");
		delete_container(r, b);
		delete_object(r, copy);
		delete_object(r, snap);
	}
	delete_container(r, a);
	delete_object(r, vol);
	rig_census(r, 0, 0);
	rig_term(r);
}

/* --- limits -------------------------------------------------------------------------------------------- */

/* Linux 6.7 */
static bool squota(void)
{
	struct utsname u;
	int major = 0, minor = 0;

	assert_int_equal(uname(&u), 0);
	assert_int_equal(sscanf(u.release, "%d.%d", &major, &minor), 2);
	return major > 6 || (major == 6 && minor >= 7);
}

static void limits_hold(void **state)
{
	struct rig *r = *state;
	struct qt_id vol, a, b, c;

	rig_set(r, "container_disk_bytes = 20000000");
	rig_start(r, NULL);
	vol = make_volume(r, "", "", 10000000);
	a = create(r, "", text("%s:/data", vol.s), 0);
	b = create(r, "", NULL, 0);
	/* Debian's kernel has no simple quotas: the runtime has said so, and there is no limit. */
	expect(r, a, "busybox dd if=/dev/zero of=/data/big bs=65536 count=400 conv=fsync 2>/dev/null || echo full; busybox dd if=/dev/zero of=/big bs=65536 "
		     "count=600 conv=fsync 2>/dev/null || echo full; echo lives", squota() ? "full\nfull\nlives\n" : "lives\n");
	expect(r, b, "echo fine >/f; busybox sync /f; cat /f", "fine\n");
	/* It can make room for itself, and a fork has a limit of its own. */
	expect(r, a, "busybox rm /data/big /big; busybox sync; busybox dd if=/dev/zero of=/data/small bs=65536 count=20 conv=fsync 2>/dev/null && echo room", "room\n");
	c = create(r, a.s, NULL, 0);
	expect(r, c, "busybox dd if=/dev/zero of=/big bs=65536 count=600 conv=fsync 2>/dev/null || echo full", squota() ? "full\n" : "");
	delete_container(r, a);
	delete_container(r, b);
	delete_container(r, c);
	delete_object(r, vol);
	rig_census(r, 0, 0);
	rig_term(r);
	rig_set(r, "container_disk_bytes = 0");
}

/* Nothing new when there is hardly room for what is there: refused before anything is made. */
static void full_pool(void **state)
{
	struct rig *r = *state;
	struct qt_id a;
	char path[160];
	int fd;

	rig_start(r, NULL);
	a = create(r, "", NULL, 0);
	(void)snprintf(path, sizeof(path), "%s/pool/filler", r->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(posix_fallocate(fd, 0, (512 - 50) << 20), 0);
	create_fails(r, QT_E_INSUFFICIENT_STORAGE, "", NULL);
	create_fails(r, QT_E_INSUFFICIENT_STORAGE, a.s, NULL);
	(void)REFUSED(r, QT_E_INSUFFICIENT_STORAGE, vol_make, .id = qt_id_new("vol"), .tenant = tenant(), .from_snapshot = rt_str(""),
		      .from_volume = rt_str(""), .record = {"", 0});
	(void)REFUSED(r, QT_E_INSUFFICIENT_STORAGE, snapshot, .id = a, .snapshot = qt_id_new("snap"), .volumes.s = "", .record = {"", 0});
	rig_census(r, 1, 1);
	expect(r, a, "echo lives", "lives\n");
	close(fd);
	assert_int_equal(unlink(path), 0);
	delete_container(r, a);
	rig_census(r, 0, 0);
	rig_term(r);
}

/* --- the copying drivers ------------------------------------------------------------------------------- */

/* One line for everything that a copy must keep. */
#define LOOK \
	"cd /x; busybox stat -c '%n %F %a %u:%g %s %h %t:%T' dir dir/sub file hard setuid link fifo sparse; busybox readlink link; cat file hard;" \
	"[ $(busybox stat -c %b sparse) -lt 100 ] && echo holes; busybox stat -c %Y file; ls /bin/hostname 2>/dev/null || echo gone; ls -a /etc2 /var; " \
	"busybox md5sum sparse"

static void copies_are_faithful(void **state)
{
	struct rig *r = *state;
	struct qt_id a, b, c;
	char before[4096], after[4096];

	rig_start(r, NULL);
	a = create(r, "", NULL, 0);
	rig_exec(r, a,
		 "mkdir -p /x/dir/sub; cd /x; echo content >file; busybox ln file hard; busybox ln -s /nowhere/at/all link; busybox mkfifo fifo; echo s >setuid;"
		 "busybox chown 33:44 setuid dir/sub; busybox chmod 6755 setuid; busybox chmod 1770 dir/sub; busybox dd if=/bin/busybox of=sparse bs=4096 seek=20000 "
		 "count=2 2>/dev/null; busybox touch -d @1000000000 file; busybox rm /bin/hostname; mkdir /etc2; busybox rm -r /var; mkdir /var; echo v >/var/v; "
		 "true",
		 before, sizeof(before));
	rig_exec(r, a, LOOK, before, sizeof(before));
	assert_non_null(strstr(before, "hard regular file 644 0:0 8 2 0:0\n"));
	assert_non_null(strstr(before, "setuid regular file 6755 33:44 2 1 0:0\n"));
	assert_non_null(strstr(before, "dir/sub directory 1770 33:44"));
	assert_non_null(strstr(before, "holes\n1000000000\ngone\n"));
	b = create(r, a.s, NULL, 0);
	c = create(r, b.s, NULL, 0);
	rig_exec(r, c, LOOK, after, sizeof(after));
	assert_string_equal(after, before);
	expect(r, c, "echo more >>/x/hard; cat /x/file", "content\nmore\n");
	delete_container(r, a);
	delete_container(r, b);
	delete_container(r, c);
	rig_census(r, 0, 0);
	rig_term(r);
}

/* --- what takes long, and what dies -------------------------------------------------------------------- */

static uint64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

#define ROUNDS_MAX 15

/* Numbers for the reader, beside those of a plain create: no machine is held to them. */
static void measure(struct rig *r, const char *what, const char *from, uint32_t consistency)
{
	uint64_t took[ROUNDS_MAX], paused[ROUNDS_MAX], flushed = 0;
	int rounds = getenv("QT_POOL_MIB") ? ROUNDS_MAX : 3;

	for (int i = 0; i < rounds; i++) {
		struct qt_id id = qt_id_new("ctr");
		struct rt_create_rep rep;
		struct qt_err e = {0};
		uint64_t began = now_us();

		if (try_create(r, id, from, NULL, 0, consistency, &rep, &e) < 0)
			fail_msg("create: %s", e.msg);
		took[i] = now_us() - began;
		paused[i] = rep.paused_us;
		flushed = rep.flush_us > flushed ? rep.flush_us : flushed;
		delete_container(r, id);
	}
	qsort(took, (size_t)rounds, sizeof(took[0]), compare);
	qsort(paused, (size_t)rounds, sizeof(paused[0]), compare);
	print_message("%s: median %.2f ms, fastest %.2f; source paused median %.2f ms, longest %.2f; flushed before, longest %.2f\n", what,
		      (double)took[rounds / 2] / 1e3, (double)took[0] / 1e3, (double)paused[rounds / 2] / 1e3, (double)paused[rounds - 1] / 1e3,
		      (double)flushed / 1e3);
}

/* QT_POOL_MIB: so much besides 20,000 files. */
static void many_files(void **state)
{
	struct rig *r = *state;
	const char *mib = getenv("QT_POOL_MIB");
	struct qt_id a;

	rig_start(r, NULL);
	a = create(r, "", NULL, 0);
	expect(r, a, text("d=0; while [ $d -lt 40 ]; do mkdir -p /d/$d; i=0; while [ $i -lt 500 ]; do echo $i >/d/$d/$i; i=$((i+1)); done; d=$((d+1)); done;"
			  "busybox dd if=/dev/zero of=/big bs=1048576 count=%s 2>/dev/null; busybox sync", mib ? mib : "1"), "");
	measure(r, "plain create", "", RT_CRASH_CONSISTENT);
	measure(r, "fork at rest", a.s, RT_CRASH_CONSISTENT);
	measure(r, "fork at rest, app-consistent", a.s, RT_APP_CONSISTENT);
	expect(r, a, "(while :; do busybox dd if=/dev/zero of=/w bs=65536 count=128 conv=notrunc 2>/dev/null; done) >/dev/null 2>&1 & echo on", "on\n");
	measure(r, "fork of one that writes", a.s, RT_CRASH_CONSISTENT);
	measure(r, "fork of one that writes, app-consistent", a.s, RT_APP_CONSISTENT);
	delete_container(r, a);
	rig_census(r, 0, 0);
	rig_term(r);
}

#ifdef QT_FAILPOINTS
static const struct {
	const char *name, *verb;
} points[] = {
#define FP(name, verb) {#name, #verb},
#include "runtime/failpoints.def"
#undef FP
};

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

	for (size_t i = 0; i < QT_LEN(points); i++)
		for (int die = 0; die < 2 && strstr(" fork vol_make snapshot obj_delete ", text(" %s ", points[i].verb)); die++) {
			const char *fail = text("%s%s", die ? "kill:" : "", points[i].name);
			struct ids id = prepare(r);
			struct qt_err e = {0};

			rig_start(r, fail);
			(void)ask(&r->rt, points[i].verb, &id, &e);
			/* A job that dies takes nobody with it. */
			if (die && !in_job(points[i].name))
				rig_died(r);
			else
				rig_term(r);
			rig_start(r, NULL);
			afterwards(r, fail, points[i].verb, &id);
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
#endif

/* --- the copier itself --------------------------------------------------------------------------------- */

static int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static int copy_once(const char *dir, struct qt_err *e)
{
	auto_close int top = open_dir(dir), from = open_dir(text("%s/from", dir)), to = -1, links = -1;
	int r;

	assert_true(mkdirat(top, "to", 0700) == 0 && mkdirat(top, "links", 0700) == 0);
	to = open_dir(text("%s/to", dir));
	links = open_dir(text("%s/links", dir));
	r = rt_copy_tree(from, to, links, false, e);
	assert_int_equal(rt_dir_empty(links), 0);
	assert_int_equal(unlinkat(top, "links", AT_REMOVEDIR), 0);
	return r;
}

static void drop_copy(const char *dir)
{
	auto_close int to = open_dir(text("%s/to", dir));

	assert_int_equal(rt_dir_empty(to), 0);
	assert_int_equal(rmdir(text("%s/to", dir)), 0);
}

static bool has_xattr(const char *path, const char *name, const char *want)
{
	char buf[64] = "";

	return lgetxattr(path, name, buf, sizeof(buf) - 1) >= 0 && qt_streq(buf, want);
}

/* What containers cannot make themselves, but overlayfs does in their layers. */
static void what_overlayfs_left_is_copied(void **state)
{
	char dir[] = "/tmp/qt-copy-XXXXXX";
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	auto_close int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), top = -1;
	struct stat st, st2;
	struct qt_err e = {0};

	(void)state;
	(void)umask(0);
	assert_non_null(mkdtemp(dir));
	top = open_dir(dir);
	assert_int_equal(mkdirat(top, "from", 0755), 0);
	assert_int_equal(mkdirat(top, "from/opaque", 0755), 0);
	assert_int_equal(mknodat(top, "from/gone", S_IFCHR, makedev(0, 0)), 0);
	assert_int_equal(linkat(top, "from/gone", top, "from/gone2", 0), 0);
	assert_int_equal(lsetxattr(text("%s/from/opaque", dir), "trusted.overlay.opaque", "y", 1, 0), 0);
	assert_int_equal(lsetxattr(text("%s/from/opaque", dir), "trusted.overlay.origin", "x", 1, 0), 0);
	assert_int_equal(lsetxattr(text("%s/from/opaque", dir), "user.mine", "kept", 4, 0), 0);
	assert_int_equal(symlinkat("/etc/passwd", top, "from/link"), 0);
	assert_int_equal(lsetxattr(text("%s/from/link", dir), "trusted.note", "on a link", 9, 0), 0);
	assert_true(qt_copy(a.sun_path, sizeof(a.sun_path), text("%s/from/sock", dir)));
	assert_int_equal(bind(sock, (struct sockaddr *)&a, sizeof(a)), 0);

	assert_int_equal(copy_once(dir, &e), 0);
	assert_int_equal(fstatat(top, "to/gone", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISCHR(st.st_mode) && st.st_rdev == 0 && st.st_nlink == 2);
	assert_int_equal(fstatat(top, "to/gone2", &st2, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(st.st_ino == st2.st_ino);
	assert_int_equal(fstatat(top, "to/sock", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_true(has_xattr(text("%s/to/opaque", dir), "trusted.overlay.opaque", "y"));
	assert_true(has_xattr(text("%s/to/opaque", dir), "user.mine", "kept"));
	assert_false(has_xattr(text("%s/to/opaque", dir), "trusted.overlay.origin", "x"));
	assert_true(has_xattr(text("%s/to/link", dir), "trusted.note", "on a link"));
	assert_true(rt_dir_empty(top) == 0 && rmdir(dir) == 0);
	(void)umask(022);
}

/* Somebody swaps a directory with a link out of the tree, and a file with a fifo, as fast as can be: nothing of outside gets in, and nothing
 * hangs. */
static void a_tree_that_changes_leads_nowhere(void **state)
{
	char dir[] = "/tmp/qt-copy-XXXXXX";
	auto_close int top = -1;
	pid_t pid;

	(void)state;
	assert_non_null(mkdtemp(dir));
	top = open_dir(dir);
	assert_true(mkdirat(top, "from", 0755) == 0 && mkdirat(top, "secret", 0755) == 0 && mknodat(top, "secret/out", S_IFREG | 0644, 0) == 0);
	pid = fork();
	assert_true(pid >= 0);
	while (pid == 0) {
		(void)!mkdirat(top, "from/a", 0755);
		(void)!mknodat(top, "from/b", S_IFREG | 0644, 0);
		(void)unlinkat(top, "from/a", AT_REMOVEDIR);
		(void)!symlinkat("../secret", top, "from/a");
		(void)unlinkat(top, "from/b", 0);
		(void)!mknodat(top, "from/b", S_IFIFO | 0644, 0);
		(void)unlinkat(top, "from/a", 0);
		(void)unlinkat(top, "from/b", 0);
		(void)!symlinkat("../secret/out", top, "from/b");
		(void)unlinkat(top, "from/b", 0);
	}
	for (int i = 0; i < 2000; i++) {
		struct qt_err e = {0};
		struct stat st;

		if (copy_once(dir, &e) < 0)
			fail_msg("%s", e.msg);
		assert_true(fstatat(top, "to/a/out", &st, AT_SYMLINK_NOFOLLOW) < 0 || fstatat(top, "to/a", &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			    S_ISLNK(st.st_mode));
		drop_copy(dir);
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(rt_dir_empty(top) == 0 && rmdir(dir) == 0);
}

/* Refused, and not a crash; what is as deep as a path can be is copied. */
static void depth_is_bounded(void **state)
{
	char dir[] = "/tmp/qt-copy-XXXXXX";
	auto_close int top = -1, at = -1;
	struct qt_err e = {0};

	(void)state;
	assert_non_null(mkdtemp(dir));
	top = open_dir(dir);
	assert_int_equal(mkdirat(top, "from", 0755), 0);
	at = openat(top, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 2100; i++) {
		assert_int_equal(mkdirat(at, "d", 0755), 0);
		qt_reset_fd(&at, openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
		if (i != 1999)
			continue;
		assert_int_equal(copy_once(dir, &e), 0);
		drop_copy(dir);
	}
	assert_int_equal(copy_once(dir, &e), -1);
	assert_int_equal(e.code, QT_E_CONFLICT);
	assert_true(rt_dir_empty(top) == 0 && rmdir(dir) == 0);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test_teardown(volumes_are_shared, end),   cmocka_unit_test_teardown(forks_part, end),
		cmocka_unit_test_teardown(snapshots_stand_alone, end), cmocka_unit_test_teardown(forks_of_forks, end),
		cmocka_unit_test_teardown(crash_consistent, end),     cmocka_unit_test_teardown(crash_consistent_with_volumes, end),
		cmocka_unit_test_teardown(app_consistent, end),	      cmocka_unit_test_teardown(copies_are_faithful, end),
	};
#ifdef QT_FAILPOINTS
	/* The two drivers that differ in when they freeze. */
	const struct CMUnitTest deaths[] = {
		cmocka_unit_test_teardown(survives_every_fail_point, end),
		cmocka_unit_test_teardown(runtime_dies_while_a_source_is_frozen, end),
		cmocka_unit_test_teardown(deleted_while_it_is_made, end),
		cmocka_unit_test_teardown(nobody_waits_for_anothers_copies, end),
	};
	const struct CMUnitTest on_btrfs_only[] = {cmocka_unit_test_teardown(if_there_is_no_moment, end)};
#endif
	const struct CMUnitTest on_btrfs[] = {cmocka_unit_test_teardown(limits_hold, end), cmocka_unit_test_teardown(many_files, end)};
	const struct CMUnitTest copier[] = {
		cmocka_unit_test(what_overlayfs_left_is_copied),
		cmocka_unit_test(a_tree_that_changes_leads_nowhere),
		cmocka_unit_test(depth_is_bounded),
	};
	const struct rlimit files = {65536, 65536};
	const struct CMUnitTest when_full[] = {cmocka_unit_test_teardown(full_pool, end)};
	int failed;

	if (getenv("QT_TEST")) /* one alone: numbers on a quiet machine */
		cmocka_set_test_filter(getenv("QT_TEST"));
	(void)setrlimit(RLIMIT_NOFILE, &files);
	failed = cmocka_run_group_tests_name("copier", copier, NULL, NULL);
	failed += cmocka_run_group_tests_name("pool on btrfs", all, make_btrfs, unmake);

	failed += cmocka_run_group_tests_name("limits on btrfs", on_btrfs, make_btrfs, unmake);
	failed += cmocka_run_group_tests_name("pool on XFS, with reflinks", all, make_xfs, unmake);
	failed += cmocka_run_group_tests_name("pool with copies", all, make_ext4, unmake);
#ifdef QT_FAILPOINTS
	failed += cmocka_run_group_tests_name("deaths on btrfs", deaths, make_btrfs, unmake);
	failed += cmocka_run_group_tests_name("a moment on btrfs", on_btrfs_only, make_btrfs, unmake);
	failed += cmocka_run_group_tests_name("deaths with copies", deaths, make_ext4, unmake);
#endif
	return failed + cmocka_run_group_tests_name("a full pool", when_full, make_ext4, unmake);
}
