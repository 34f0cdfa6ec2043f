/* GPUs: harmless character devices that a CDI specification of the test's own offers, in real containers of a real runtime. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "rt_rig.h"
#include "str.h"

#define GPU(n)	"quilt.test/gpu=" n "\0"
#define ONE(n)	((struct rt_strv){GPU(n), sizeof(GPU(n)) - 1, 1})
#define OTHER	"host/libm.so.6.0" /* the machine's libm by another name */

/* %1$s: the rig's directory. */
static const char common[] =
	"containerEdits:\n"
	"  env: [QUILT_GPU=yes, FOO=of the specification]\n"
	"  mounts:\n"
	"    - {hostPath: %1$s/" OTHER ", containerPath: /usr/lib/q/libm.so.6.0, options: [ro, nosuid, nodev, bind]}\n"
	"    - {hostPath: %1$s/host/share, containerPath: /opt/share, options: [ro, rbind, noexec]}\n"
	"  hooks:\n"
	"    - {hookName: createContainer, path: /bin/false, args: [nvidia-ctk, hook, create-symlinks, --link, 'libm.so.6::/usr/lib/q/libm.so']}\n"
	"    - {hookName: createContainer, path: /bin/false, args: [nvidia-ctk, hook, update-ldcache]}\n";

static const char devices[] =
	"cdiVersion: 0.5.0\n"
	"kind: quilt.test/gpu\n"
	"devices:\n"
	"  - {name: '0', containerEdits: {env: [WHICH=0], deviceNodes: [{path: /dev/quilt0, hostPath: %1$s/host/fuse, type: c, major: 10, minor: 229}]}}\n"
	"  - {name: '1', containerEdits: {deviceNodes: [{path: /dev/quilt/tun, hostPath: %1$s/host/tun, permissions: r}]}}\n"
	"  - {name: UUID-0, containerEdits: {deviceNodes: [{path: /dev/quilt0, hostPath: %1$s/host/fuse}]}}\n"
	"  - {name: all, containerEdits: {deviceNodes: [{path: /dev/quilt0, hostPath: %1$s/host/fuse}]}}\n";

static void write_file(const struct rig *r, const char *name, mode_t mode, const char *fmt, ...)
{
	char path[256];
	va_list ap;
	FILE *f;

	assert_true(qt_fmt(path, sizeof(path), "%s/%s", r->dir, name));
	f = fopen(path, "we");
	assert_non_null(f);
	va_start(ap, fmt);
	assert_true(vfprintf(f, fmt, ap) >= 0);
	va_end(ap);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void remove_file(const struct rig *r, const char *name)
{
	char path[256];

	assert_true(qt_fmt(path, sizeof(path), "%s/%s", r->dir, name));
	assert_int_equal(unlink(path), 0);
}

static void make_node(const struct rig *r, const char *name, unsigned major, unsigned minor)
{
	char path[256];

	assert_true(qt_fmt(path, sizeof(path), "%s/%s", r->dir, name));
	assert_int_equal(mknod(path, S_IFCHR | 0666, makedev(major, minor)), 0);
	assert_int_equal(chmod(path, 0666), 0);
}

static void make_spec(const struct rig *r)
{
	char text[8192];

	assert_true(qt_fmt(text, sizeof(text), "%s%s", devices, common));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	write_file(r, "cdi/test.yaml", 0644, text, r->dir);
#pragma GCC diagnostic pop
}

static int make(void **state)
{
	static const char *const libm[] = {"/lib/x86_64-linux-gnu/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6", "/usr/lib64/libm.so.6"};
	static struct rig r;
	static char text[8 << 20];
	char line[300], path[256];
	ssize_t n = -1;
	int out;

	*state = &r;
	rig_make(&r, "btrfs");
	for (size_t i = 0; i < 4; i++) {
		assert_true(qt_fmt(path, sizeof(path), "%s/%s", r.dir, ((const char *const[]){"cdi", "cdi2", "host", "host/share"})[i]));
		assert_int_equal(mkdir(path, 0755), 0);
	}
	assert_true(qt_fmt(line, sizeof(line), "cdi_dirs = %s/cdi, %s/cdi2,%s/none", r.dir, r.dir, r.dir));
	rig_set(&r, line);
	rig_set(&r, "gpu_kinds = quilt.test/gpu");
	write_file(&r, "host/share/note", 0644, "of the host\n");
	for (size_t i = 0; i < QT_LEN(libm) && n < 0; i++) {
		auto_close int fd = open(libm[i], O_RDONLY | O_CLOEXEC);

		n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	}
	assert_true(n > 0);
	assert_true(qt_fmt(path, sizeof(path), "%s/" OTHER, r.dir));
	out = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(write(out, text, (size_t)n), n);
	close(out);
	make_node(&r, "host/fuse", 10, 229);
	make_node(&r, "host/tun", 10, 200);
	make_spec(&r);
	return 0;
}

static int end(void **state)
{
	struct rig *r = *state;

	if (r->pid)
		rig_reset(r);
	return 0;
}

static int unmake(void **state)
{
	rig_unmake(*state);
	return 0;
}

static struct qt_id create(struct rig *r, struct rt_strv gpus, bool strict)
{
	static const char command[] = "/bin/sh\0-c\0sleep 100000";
	struct qt_id id = qt_id_new("ctr");
	struct rt_create_req req = rig_create_req(id);
	struct rt_create_rep rep;
	struct qt_err e = {0};

	req.gpus = gpus;
	req.strict = strict;
	req.argv = (struct rt_strv){command, sizeof(command), 3};
	if (rt_create(&r->rt, &req, &rep, BUDGET_MS, &e) < 0)
		fail_msg("create: %s", e.msg);
	return id;
}

static struct qt_err refused(struct rig *r, struct rt_strv gpus, enum qt_code code)
{
	struct rt_create_req req = rig_create_req(qt_id_new("ctr"));
	struct rt_create_rep rep;
	struct qt_err e = {0};

	req.gpus = gpus;
	assert_int_equal(rt_create(&r->rt, &req, &rep, BUDGET_MS, &e), -1);
	if (e.code != code)
		fail_msg("%s: %s", qt_err_row(e.code)->name, e.msg);
	assert_null(strstr(e.msg, r->dir)); /* no path of the host */
	return e;
}

static struct rt_start_req start_req(struct qt_id id, struct rt_strv gpus)
{
	return (struct rt_start_req){.id = id, .hostname = rt_str("demo"), .argv.s = "", .env.s = "", .gpus = gpus};
}

static void start(struct rig *r, struct qt_id id, struct rt_strv gpus)
{
	struct rt_start_req req = start_req(id, gpus);
	struct rt_start_rep rep;
	struct qt_err e = {0};

	if (rt_start(&r->rt, &req, &rep, BUDGET_MS, &e) < 0)
		fail_msg("start: %s", e.msg);
}

static struct qt_err not_started(struct rig *r, struct qt_id id, struct rt_strv gpus, enum qt_code code)
{
	struct rt_start_req req = start_req(id, gpus);
	struct rt_start_rep rep;
	struct qt_err e = {0};

	assert_int_equal(rt_start(&r->rt, &req, &rep, BUDGET_MS, &e), -1);
	if (e.code != code)
		fail_msg("%s: %s", qt_err_row(e.code)->name, e.msg);
	assert_int_equal(rig_get(r, id).state, RT_ST_EXITED);
	return e;
}

static void stop(struct rig *r, struct qt_id id)
{
	struct rt_kill_req req = {.id = id};
	struct rt_kill_rep rep;
	struct qt_err e = {0};

	assert_int_equal(rt_kill(&r->rt, &req, &rep, BUDGET_MS, &e), 0);
}

static void delete(struct rig *r, struct qt_id id)
{
	struct qt_err e = {0};

	assert_int_equal(rig_delete(r, id, &e), 0);
}

static void says(struct rig *r, struct qt_id id, const char *command, const char *want)
{
	char out[4096];

	rig_exec(r, id, command, out, sizeof(out));
	if (!qt_streq(out, want))
		fail_msg("`%s` says \"%s\", and not \"%s\"", command, out, want);
}

/* "NAME who,NAME who,…" of RT_GPUS. */
static void listed(struct rig *r, const char *want)
{
	struct rt_gpus_req req = {.after = rt_str("")};
	struct rt_gpus_rep rep;
	struct qt_err e = {0};
	const char *p = NULL;
	char text[4096] = "";

	assert_int_equal(rt_gpus(&r->rt, &req, &rep, BUDGET_MS, &e), 0);
	for (unsigned i = 0; (p = rt_strv_next(&rep.gpus, p)); i++) {
		size_t len = strlen(text);

		assert_true(qt_fmt(text + len, sizeof(text) - len, "%s%s", p, i % 2 ? "," : " "));
	}
	assert_string_equal(text, want);
}

static uint32_t counted(struct rig *r)
{
	struct rt_info_req req = {0};
	struct rt_info_rep rep;
	struct qt_err e = {0};

	assert_int_equal(rt_info(&r->rt, &req, &rep, BUDGET_MS, &e), 0);
	return rep.gpus;
}

static void inside(void **state)
{
	static const char both[] = GPU("0") GPU("1");
	struct rig *r = *state;
	struct qt_id id, plain;
	char out[4096];

	rig_start(r, NULL);
	assert_int_equal(counted(r), 2);
	for (int strict = 0; strict < 2; strict++) {
		id = create(r, (struct rt_strv){both, sizeof(both) - 1, 2}, strict);
		says(r, id, "[ -c /dev/quilt0 ] && exec 3<>/dev/quilt0 && echo open", "open\n");
		says(r, id, "exec 3</dev/quilt/tun && echo open", "open\n");
		/* The node's mode lets everybody write; the control group does not. */
		says(r, id, "(exec 3>/dev/quilt/tun) 2>&1 | grep -o 'Operation not permitted'", "Operation not permitted\n");
		says(r, id, "cat /opt/share/note; (echo x >/opt/share/note) 2>&1 | grep -o 'Read-only file system'", "of the host\nRead-only file system\n");
		says(r, id, "(echo x >/usr/lib/q/libm.so.6.0) 2>&1 | grep -o 'Read-only file system'", "Read-only file system\n");
		says(r, id, "grep -c ' /usr/lib/q/libm.so.6.0 .* ro,nosuid,nodev' /proc/mounts", "1\n");
		says(r, id, "grep -c ' /opt/share .* ro,nosuid,nodev,noexec' /proc/mounts", "1\n");
		says(r, id, "readlink /usr/lib/q/libm.so.6; readlink /usr/lib/q/libm.so", "libm.so.6.0\nlibm.so.6\n");
		stop(r, id);
		delete(r, id);
	}
	/* Its own environment counts more than the specification's. */
	id = create(r, ONE("0"), false);
	/* (A container is ready before its command is: until then process 2 is a part of the init, and not to be looked at.) */
	rig_exec(r, id, "until (tr '\\0' '\\n' </proc/2/environ) 2>/dev/null; do :; done", out, sizeof(out));
	assert_non_null(strstr(out, "QUILT_GPU=yes\n"));
	assert_non_null(strstr(out, "WHICH=0\n"));
	assert_non_null(strstr(out, "FOO=bar\n"));
	assert_null(strstr(out, "FOO=of"));
	says(r, id, "ls /dev/quilt 2>/dev/null | wc -l", "0\n");
	plain = create(r, (struct rt_strv){"", 0, 0}, false);
	says(r, plain, "ls /dev | grep quilt | wc -l; for f in /usr/lib/q /opt; do [ ! -e $f ] || echo $f; done", "0\n");
	rig_reset(r);
}

static void each_has_its_own(void **state)
{
	struct rig *r = *state;
	struct qt_id a, b;
	char want[512];

	rig_start(r, NULL);
	listed(r, "quilt.test/gpu=0 ,quilt.test/gpu=1 ,quilt.test/gpu=UUID-0 =quilt.test/gpu=0,");
	a = create(r, ONE("UUID-0"), false);
	(void)refused(r, ONE("0"), QT_E_CAPACITY_FULL); /* one device, two names */
	(void)refused(r, ONE("UUID-0"), QT_E_CAPACITY_FULL);
	b = create(r, ONE("1"), false);
	stop(r, a);
	(void)refused(r, ONE("0"), QT_E_CAPACITY_FULL); /* in whatever state */
	rig_kill(r);
	rig_start(r, NULL);
	assert_true(qt_fmt(want, sizeof(want), "quilt.test/gpu=0 ten_a/%s,quilt.test/gpu=1 ten_a/%s,quilt.test/gpu=UUID-0 =quilt.test/gpu=0,", a.s, b.s));
	listed(r, want);
	(void)refused(r, ONE("0"), QT_E_CAPACITY_FULL);
	start(r, a, ONE("0"));
	says(r, a, "exec 3<>/dev/quilt0 && echo open", "open\n");
	stop(r, a);
	(void)not_started(r, a, ONE("1"), QT_E_CAPACITY_FULL);
	start(r, a, (struct rt_strv){"", 0, 0}); /* the request says what it has */
	says(r, a, "ls /dev | grep quilt | wc -l", "0\n");
	listed(r, qt_fmt(want, sizeof(want), "quilt.test/gpu=0 ,quilt.test/gpu=1 ten_a/%s,quilt.test/gpu=UUID-0 =quilt.test/gpu=0,", b.s) ? want : "");
	delete(r, a);
	delete(r, b);
	delete(r, create(r, ONE("1"), false));
	rig_census(r, 0, 0);
	rig_term(r);
}

static void what_is_refused(void **state)
{
	static const char twice[] = GPU("0") GPU("UUID-0");
	struct rig *r = *state;
	struct qt_id id;

	rig_start(r, NULL);
	(void)refused(r, ONE("7"), QT_E_CAPACITY_FULL);
	(void)refused(r, ONE("all"), QT_E_CAPACITY_FULL);
	(void)refused(r, (struct rt_strv){"/dev/fuse", 10, 1}, QT_E_VALIDATION_ERROR);
	(void)refused(r, (struct rt_strv){"other.test/gpu=0", 17, 1}, QT_E_CAPACITY_FULL);
	(void)refused(r, (struct rt_strv){twice, sizeof(twice) - 1, 2}, QT_E_VALIDATION_ERROR);
	id = create(r, ONE("0"), false);
	stop(r, id);
	rig_census(r, 1, 0);
	remove_file(r, "host/fuse");
	(void)not_started(r, id, ONE("0"), QT_E_UNAVAILABLE);
	rig_census(r, 1, 0);
	make_node(r, "host/fuse", 1, 3); /* another device than the specification says */
	(void)not_started(r, id, ONE("0"), QT_E_UNAVAILABLE);
	remove_file(r, "host/fuse");
	make_node(r, "host/fuse", 10, 229);
	remove_file(r, "host/share/note"); /* of a directory: no matter */
	start(r, id, ONE("0"));
	delete(r, id);
	remove_file(r, OTHER);
	(void)refused(r, ONE("0"), QT_E_UNAVAILABLE);
	rig_census(r, 0, 0); /* and it is free again */
	write_file(r, OTHER, 0644, "no library at all");
	id = create(r, ONE("0"), false);
	says(r, id, "cat /usr/lib/q/libm.so.6.0; ls -l /usr/lib/q/libm.so.6 2>/dev/null | wc -l", "no library at all0\n");
	delete(r, id);
	rig_census(r, 0, 0);
	rig_term(r);
}

/* Its files are the container's to arrange: what is attached stays inside, whatever lies in the way. */
static void hostile_roots(void **state)
{
	struct rig *r = *state;
	struct qt_id id;
	char command[512];
	struct stat st;

	rig_start(r, NULL);
	id = create(r, ONE("0"), false);
	stop(r, id);
	start(r, id, (struct rt_strv){"", 0, 0});
	assert_true(qt_fmt(command, sizeof(command), "rm -r /usr/lib/q && mkdir -p %s/cdi2 && ln -s ../../../../../../../..%s/cdi2 /usr/lib/q && rm -rf /opt && ln -s / /opt", r->dir, r->dir));
	says(r, id, command, "");
	stop(r, id);
	start(r, id, ONE("0"));
	/* Inside, the link leads to a directory of the container's own. */
	assert_true(qt_fmt(command, sizeof(command), "%s/cdi2/libm.so.6.0", r->dir));
	assert_int_equal(lstat(command, &st), -1);
	assert_true(qt_fmt(command, sizeof(command), "cat %s/cdi2/libm.so.6.0; echo; ls -d /share", r->dir));
	says(r, id, command, "no library at all\n/share\n");
	stop(r, id);
	start(r, id, (struct rt_strv){"", 0, 0});
	says(r, id, "rm /usr/lib/q /opt; mkdir -p /usr/lib/q/libm.so; ln -s /etc/passwd /usr/lib/q/libm.so.6.0; echo mine >/etc/passwd", "");
	stop(r, id);
	start(r, id, ONE("0"));
	/* A link is replaced, what is no link stays. */
	says(r, id, "cat /etc/passwd; cat /usr/lib/q/libm.so.6.0; echo; ls -d /usr/lib/q/libm.so", "mine\nno library at all\n/usr/lib/q/libm.so\n");
	stop(r, id);
	start(r, id, (struct rt_strv){"", 0, 0});
	says(r, id, "rm -r /usr/lib/q; mkdir -p /usr/lib/q/libm.so.6.0", "");
	stop(r, id);
	(void)not_started(r, id, ONE("0"), QT_E_CONFLICT);
	start(r, id, (struct rt_strv){"", 0, 0});
	says(r, id, "rm -r /usr/lib/q; ln -s /nowhere /usr/lib/q", "");
	stop(r, id);
	(void)not_started(r, id, ONE("0"), QT_E_CONFLICT);
	delete(r, id);
	rig_census(r, 0, 0);
	rig_term(r);
}

#define SPEC(kind, name) "{cdiVersion: 0.5.0, kind: " kind ", devices: [{name: " name ", containerEdits: {env: [A=1]}}]}\n"

static void specs_come_and_go(void **state)
{
	struct rig *r = *state;
	char path[256];

	remove_file(r, "cdi/test.yaml");
	rig_start(r, NULL);
	listed(r, "");
	assert_int_equal(counted(r), 0);
	write_file(r, "cdi/a.json", 0644, SPEC("quilt.test/gpu", "a"));
	listed(r, "quilt.test/gpu=a ,");
	/* Other kinds, other names, hidden and broken ones, and those that others may write to. */
	write_file(r, "cdi/b.yaml", 0644, SPEC("other.test/gpu", "b"));
	write_file(r, "cdi/c.txt", 0644, SPEC("quilt.test/gpu", "c"));
	write_file(r, "cdi/.d.yaml", 0644, SPEC("quilt.test/gpu", "d"));
	write_file(r, "cdi/e.yml", 0644, SPEC("quilt.test/gpu", "e") "}");
	write_file(r, "cdi/f.yml", 0664, SPEC("quilt.test/gpu", "f"));
	write_file(r, "cdi/g.yml", 0644, SPEC("quilt.test/gpu", "g"));
	assert_true(qt_fmt(path, sizeof(path), "%s/cdi/g.yml", r->dir));
	assert_int_equal(chown(path, 1, 0), 0);
	assert_true(qt_fmt(path, sizeof(path), "%s/cdi/h.yml", r->dir));
	assert_int_equal(symlink("a.json", path), 0);
	assert_true(qt_fmt(path, sizeof(path), "%s/cdi/i.yml", r->dir));
	assert_int_equal(mkfifo(path, 0644), 0);
	listed(r, "quilt.test/gpu=a ,");
	/* Changed in its place; two of one directory that say the same name; a later directory wins over both. */
	write_file(r, "cdi/a.json", 0644, SPEC("quilt.test/gpu", "z"));
	listed(r, "quilt.test/gpu=z ,");
	write_file(r, "cdi/j.json", 0644, SPEC("quilt.test/gpu", "z"));
	listed(r, "");
	(void)refused(r, ONE("z"), QT_E_CAPACITY_FULL);
	write_file(r, "cdi2/a.json", 0644, SPEC("quilt.test/gpu", "z"));
	listed(r, "quilt.test/gpu=z ,");
	assert_true(qt_fmt(path, sizeof(path), "%s/cdi2", r->dir));
	assert_int_equal(chmod(path, 0777), 0);
	remove_file(r, "cdi/j.json");
	listed(r, "quilt.test/gpu=z ,");
	remove_file(r, "cdi/a.json");
	listed(r, "");
	rig_term(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(inside, end),		    cmocka_unit_test_teardown(each_has_its_own, end),
		cmocka_unit_test_teardown(what_is_refused, end),    cmocka_unit_test_teardown(hostile_roots, end),
		cmocka_unit_test_teardown(specs_come_and_go, end),
	};

	return cmocka_run_group_tests_name("gpu", tests, make, unmake);
}
