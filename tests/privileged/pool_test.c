/* Snapshots, forks, clones and volumes of the real runtime, with each storage driver. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "pool_rig.h"
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

static bool files_are_limited(const struct rig *r)
{
	return system(text("grep -q ' %s/pool .*prjquota' /proc/self/mountinfo", r->dir)) == 0;
}

/* Is what a tree holds bounded: bytes, by simple quotas of btrfs (Linux 6.7), or bytes and files, by project quotas? Which kernel has what is no secret; the
 * runtime says at its start what it found. */
static bool bytes_are_limited(const struct rig *r)
{
	struct utsname u;
	int major = 0, minor = 0;

	if (!qt_streq(driver, "btrfs"))
		return files_are_limited(r);
	assert_int_equal(uname(&u), 0);
	assert_int_equal(sscanf(u.release, "%d.%d", &major, &minor), 2);
	return major > 6 || (major == 6 && minor >= 7);
}

static void limits_hold(void **state)
{
	struct rig *r = *state;
	struct qt_id vol, a, b, c;
	bool bytes = bytes_are_limited(r), files = files_are_limited(r);

	print_message("limits of bytes: %d, of files: %d\n", bytes, files);
	rig_set(r, "container_disk_bytes = 20000000");
	rig_set(r, "container_files = 200");
	rig_set(r, "volume_files = 50");
	rig_start(r, NULL);
	vol = make_volume(r, "", "", 10000000);
	a = create(r, "", text("%s:/data", vol.s), 0);
	b = create(r, "", NULL, 0);
	expect(r, a, "busybox dd if=/dev/zero of=/data/big bs=65536 count=400 conv=fsync 2>/dev/null || echo full; busybox dd if=/dev/zero of=/big bs=65536 "
		     "count=600 conv=fsync 2>/dev/null || echo full; echo lives", bytes ? "full\nfull\nlives\n" : "lives\n");
	expect(r, b, "echo fine >/f; busybox sync /f; cat /f", "fine\n");
	/* It can make room for itself, and a fork has a limit of its own. */
	expect(r, a, "busybox rm /data/big /big; busybox sync; busybox dd if=/dev/zero of=/data/small bs=65536 count=20 conv=fsync 2>/dev/null && echo room", "room\n");
	c = create(r, a.s, NULL, 0);
	expect(r, c, "busybox dd if=/dev/zero of=/big bs=65536 count=600 conv=fsync 2>/dev/null || echo full; busybox rm /big", bytes ? "full\n" : "");
	/* Files, directories and links alike; the tree's own two directories count, and in the layer what the overlay has for itself. */
	expect(r, a, "i=0; while [ $i -lt 60 ] && busybox ln -s x /data/$i 2>/dev/null; do i=$((i+1)); done; echo $i", files ? "47\n" : "60\n");
	for (int i = 0; i < 2; i++) {
		const struct qt_id of = i == 0 ? a : c;

		expect(r, of, "mkdir /many; i=0; while [ $i -lt 250 ] && busybox ln -s x /many/$i 2>/dev/null; do i=$((i+1)); done;"
			      "[ $i = 250 ] && echo 250 || { [ $i -gt 150 ] && [ $i -lt 200 ] && echo bounded; }; busybox rm -r /many && echo gone",
		       files ? "bounded\ngone\n" : "250\ngone\n");
	}
	delete_container(r, a);
	delete_container(r, b);
	delete_container(r, c);
	delete_object(r, vol);
	rig_census(r, 0, 0);
	rig_term(r);
	rig_set(r, "container_disk_bytes = 0");
	rig_set(r, "container_files = 0");
	rig_set(r, "volume_files = 0");
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

/* While deletes come without a pause, what they throw away goes all the same. */
static void trash_is_emptied_meanwhile(void **state)
{
	struct rig *r = *state;
	uint64_t give_up = now_us() + 20 * 1000000;
	unsigned dropped = 0;

	rig_start(r, NULL);
	do {
		delete_object(r, make_volume(r, "", "", 0));
		dropped++;
		assert_true(now_us() < give_up);
	} while (rig_count(r, "pool/trash") >= dropped);
	rig_census(r, 0, 0);
	rig_term(r);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test_teardown(volumes_are_shared, end),   cmocka_unit_test_teardown(forks_part, end),
		cmocka_unit_test_teardown(snapshots_stand_alone, end), cmocka_unit_test_teardown(forks_of_forks, end),
		cmocka_unit_test_teardown(crash_consistent, end),     cmocka_unit_test_teardown(crash_consistent_with_volumes, end),
		cmocka_unit_test_teardown(app_consistent, end),	      cmocka_unit_test_teardown(copies_are_faithful, end),
		cmocka_unit_test_teardown(limits_hold, end),	      cmocka_unit_test_teardown(trash_is_emptied_meanwhile, end),
	};
	const struct CMUnitTest on_btrfs[] = {cmocka_unit_test_teardown(many_files, end)};
	const struct rlimit files = {65536, 65536};
	const struct CMUnitTest when_full[] = {cmocka_unit_test_teardown(full_pool, end)};
	int failed;

	if (getenv("QT_TEST")) /* one alone: numbers on a quiet machine */
		cmocka_set_test_filter(getenv("QT_TEST"));
	(void)setrlimit(RLIMIT_NOFILE, &files);
	failed = pool_copier();
	failed += cmocka_run_group_tests_name("pool on btrfs", all, make_btrfs, unmake);

	failed += cmocka_run_group_tests_name("many files on btrfs", on_btrfs, make_btrfs, unmake);
	failed += cmocka_run_group_tests_name("pool on XFS, with reflinks", all, make_xfs, unmake);
	failed += cmocka_run_group_tests_name("pool with copies", all, make_ext4, unmake);
#ifdef QT_FAILPOINTS
	failed += pool_deaths(make_btrfs, make_ext4, unmake);
#endif
	return failed + cmocka_run_group_tests_name("a full pool", when_full, make_ext4, unmake);
}
