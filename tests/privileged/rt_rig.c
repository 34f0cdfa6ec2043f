#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "minit/minit_client.h"
#include "rt_rig.h"
#include "str.h"

/* --- making and unmaking ------------------------------------------------------------------------------- */

static void run_program(const char *const *argv)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0)
		fail_msg("%s ended with %d", argv[0], status);
}

static void shell(const char *fmt, ...)
{
	char command[4096];
	va_list ap;

	va_start(ap, fmt);
	assert_true(vsnprintf(command, sizeof(command), fmt, ap) < (int)sizeof(command));
	va_end(ap);
	run_program((const char *const[]){"/bin/sh", "-ec", command, NULL});
}

static char base36(unsigned place)
{
	unsigned n = (unsigned)getpid() % 46656;

	while (place-- > 0)
		n /= 36;
	return "0123456789abcdefghijklmnopqrstuvwxyz"[n % 36];
}

/* No tmpfs: Debian's kernel cannot map ids on one. Of the 512 MiB one test leaves hardly anything. With project quotas where the kernel has them: Debian's
 * does. */
static void make_pool(struct rig *r, const char *pool)
{
	static const struct {
		const char *pool, *size, *mkfs, *quota;
	} kinds[] = {
		{"btrfs", "1G", "mkfs.btrfs -q -f", "false"},
		{"xfs", "1G", "mkfs.xfs -q -f -m reflink=1", ""},
		{"ext4", "512M", "mkfs.ext4 -q -F -m 0 -O ^has_journal", "-O quota,project -E quotatype=prjquota"},
	};
	const char *size = getenv("QT_RIG_SIZE");
	size_t i = 0;

	while (i < QT_LEN(kinds) && !qt_streq(kinds[i].pool, pool))
		i++;
	assert_true(i < QT_LEN(kinds));
	shell("cd %s; truncate -s %s img; fit() { m=\"$1\" o=\"$2\"; %s $m img >/dev/null 2>&1 && mount -t %s -o loop,nosuid,nodev,noexec$o img pool 2>/dev/null; };"
	      "{ [ \"%s\" != false ] && fit '%s' ,prjquota; } || fit '' ''; chmod 700 pool; rm -rf pool/lost+found",
	      r->dir, size && qt_streq(pool, "btrfs") ? size : kinds[i].size, kinds[i].mkfs, pool, kinds[i].quota, kinds[i].quota);
}

void rig_make(struct rig *r, const char *pool)
{
	static unsigned count;

	memset(r, 0, sizeof(*r));
	r->rt.fd = -1;
	(void)qt_copy(r->dir, sizeof(r->dir), "/tmp/qt-rt-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	/* Other people's tests run beside this one: names and numbers are the pid's. */
	(void)snprintf(r->instance, sizeof(r->instance), "t%05x%x", (unsigned)getpid() & 0xfffff, count++ & 0xf);
	r->gateway = 0xa9fe0000 + ((uint32_t)(192 + getpid() / 254 % 63) << 8) + (uint32_t)(1 + getpid() % 254); /* not the metadata's 169 */
	(void)snprintf(r->prefix, sizeof(r->prefix), "x%c%c%c", base36(0), base36(1), base36(2));
	assert_int_equal(chmod(r->dir, 0755), 0);
	shell("mkdir %s/pool %s/state %s/run", r->dir, r->dir, r->dir);
	make_pool(r, pool);
	shell("root=%s/pool/images/busybox/rootfs; mkdir -p $root; cd $root; mkdir bin etc tmp proc sys dev root run var; chmod 1777 tmp;"
	      "cp /bin/busybox bin/; for p in sh ls cat sleep true echo ip id env kill mkdir hostname; do ln -s busybox bin/$p; done;"
	      "printf 'name = busybox\\nversion = 1.35\\nkind = managed\\nsize_bytes = 2000000\\nrequire = /bin/sh\\nrequire = /bin/cat\\n'"
	      " > ../image.conf",
	      r->dir);
	shell("cat > %s/conf <<-'END'\n"
	      "spares = %d\nstate_dir = %s/state\nrun_dir = %s/run\npool_dir = %s/pool\ninstance = %s\nlink_prefix = %s\nsubnet = 10.%d.%d.0/24\n"
	      "uplink = none\ngateway = 169.254.%u.%u\nnameservers = 192.0.2.53\napi_user = daemon\nagent_user = bin\nstream_user = games\nminit_path = " QT_TEST_MINIT
	      "\nfiles_path = " QT_TEST_FILES "\nuid_base = %u\nuid_ranges = 256\nEND\n",
	      r->dir, RIG_SPARES, r->dir, r->dir, r->dir, r->instance, r->prefix, 128 + (int)(getpid() / 256 % 128),
	      (int)(getpid() % 256), r->gateway >> 8 & 0xff, r->gateway & 0xff,
	      1000000000U + (unsigned)(getpid() % 100) * 16777216U);
	rig_set(r, "storage_driver = auto");
}

void rig_set(struct rig *r, const char *line)
{
	shell("sed -i '/^%.*s=/d' %s/conf; echo '%s' >> %s/conf", (int)strcspn(line, "="), line, r->dir, line, r->dir);
}

unsigned rig_count(const struct rig *r, const char *name)
{
	char path[512];
	unsigned n = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	d = opendir(path);
	if (!d)
		return 0;
	for (struct dirent *de; (de = readdir(d));)
		n += de->d_name[0] != '.' && !qt_starts(de->d_name, "spare_");
	(void)closedir(d);
	return n;
}

/* What there is of spares, in the place that has most. */
static unsigned count_spares(const struct rig *r)
{
	static const char *const places[] = {"state/ctr", "pool/ctr", "run/c"};
	char pattern[512];
	unsigned most = 0;

	for (size_t i = 0; i <= QT_LEN(places); i++) {
		glob_t g = {0};

		if (i < QT_LEN(places))
			(void)snprintf(pattern, sizeof(pattern), "%s/%s/spare_*", r->dir, places[i]);
		else
			(void)snprintf(pattern, sizeof(pattern), "/sys/fs/cgroup/memory/%s/spare_*", r->instance);
		(void)glob(pattern, GLOB_NOSORT, NULL, &g);
		most = g.gl_pathc > most ? (unsigned)g.gl_pathc : most;
		globfree(&g);
	}
	return most;
}

static unsigned count_links(const struct rig *r)
{
	DIR *d = opendir("/sys/class/net");
	unsigned n = 0;

	assert_non_null(d);
	for (struct dirent *de; (de = readdir(d));)
		n += qt_starts(de->d_name, r->prefix);
	(void)closedir(d);
	return n;
}

/* Groups of containers in the hierarchy that has most. */
static unsigned count_cgroups(const struct rig *r, bool own)
{
	static const char *const roots[] = {"", "memory/", "cpu/", "pids/", "devices/", "freezer/", "blkio/", "cpuacct/", "cpu,cpuacct/"};
	unsigned most = 0;

	for (size_t i = 0; i < QT_LEN(roots); i++) {
		char path[256];
		unsigned n = 0;
		DIR *d;

		(void)snprintf(path, sizeof(path), "/sys/fs/cgroup/%s%s", roots[i], r->instance);
		d = opendir(path);
		if (!d)
			continue;
		if (own)
			n = 1;
		for (struct dirent *de; !own && (de = readdir(d));)
			n += qt_starts(de->d_name, "ctr_");
		(void)closedir(d);
		most = n > most ? n : most;
	}
	return most;
}

static unsigned count_mounts(const struct rig *r)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[4096];
	unsigned n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, r->dir) != NULL;
	(void)fclose(f);
	return n;
}

void rig_unmake(struct rig *r)
{
	if (r->pid)
		rig_term(r);
	rig_shutdown(r);
	assert_int_equal(count_links(r), 0);
	assert_int_equal(count_cgroups(r, true), 0);
	assert_int_equal(count_mounts(r), 1);
	/* A container that dies holds on to the pool until its namespace is torn down. */
	shell("i=0; until umount %s/pool; do i=$((i+1)); [ $i -lt 600 ]; sleep 0.1; done 2>/dev/null; rm -rf %s", r->dir, r->dir);
	assert_int_equal(count_mounts(r), 0);
}

/* --- the runtime --------------------------------------------------------------------------------------- */

static pid_t start(struct rig *r, const char *fail, const char *option)
{
	char conf[96];
	pid_t pid;

	(void)snprintf(conf, sizeof(conf), "%s/conf", r->dir);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* not after the test, if that dies */
		if (fail)
			(void)setenv("QUILT_FAIL", fail, 1);
		execl(QT_TEST_RUNTIME, QT_TEST_RUNTIME, "-c", conf, option, NULL);
		_exit(127);
	}
	return pid;
}

static int wait_for(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

void rig_start(struct rig *r, const char *fail)
{
	int64_t deadline = qt_mono_ms() + BUDGET_MS;
	char path[96];

	assert_int_equal(r->pid, 0);
	r->pid = start(r, fail, NULL);
	(void)snprintf(path, sizeof(path), "%s/run/runtime.sock", r->dir);
	for (;;) {
		struct rt_info_req req = {0};
		struct rt_info_rep rep;
		struct qt_err e = {0};

		rt_client_done(&r->rt);
		assert_int_equal(rt_client_init(&r->rt, path, &e), 0);
		if (rt_info(&r->rt, &req, &rep, BUDGET_MS, &e) == 0)
			return;
		assert_int_equal(waitpid(r->pid, NULL, WNOHANG), 0);
		assert_true(qt_mono_ms() < deadline);
		(void)poll(NULL, 0, 5);
	}
}

void rig_kill(struct rig *r)
{
	assert_int_equal(kill(r->pid, SIGKILL), 0);
	assert_true(WIFSIGNALED(wait_for(r->pid)));
	r->pid = 0;
	rt_client_done(&r->rt);
}

void rig_died(struct rig *r)
{
	int status = wait_for(r->pid);

	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	r->pid = 0;
	rt_client_done(&r->rt);
}

void rig_term(struct rig *r)
{
	int status;

	assert_int_equal(kill(r->pid, SIGTERM), 0);
	status = wait_for(r->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	r->pid = 0;
	rt_client_done(&r->rt);
}

void rig_shutdown(struct rig *r)
{
	int status = wait_for(start(r, NULL, "--shutdown"));

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

void rig_reset(struct rig *r)
{
	rig_kill(r);
	rig_shutdown(r);
	shell("cd %s; rm -rf state/journal/* state/journal.bad/* state/ctr/* pool/ctr/* pool/new/* pool/snap/* pool/vol/* state/objects/*", r->dir);
}

/* --- containers ---------------------------------------------------------------------------------------- */

struct rt_create_req rig_create_req(struct qt_id id)
{
	struct rt_create_req req = {.id = id,
				    .hostname = rt_str("demo"),
				    .image = rt_str("busybox"),
				    .env = {"PATH=/bin\0FOO=bar", 18, 2},
				    .workdir = rt_str("/"),
				    .memory_mb = 64,
				    .cpu_centi = 10000,
				    .record = {"{\"name\":\"\0\"}", 12}};

	req.argv.s = "";
	assert_true(qt_id_parse(&req.tenant, "ten", "ten_a"));
	return req;
}

static void failed(const char *what, const struct qt_err *e)
{
	fail_msg("%s: %s: %s (errno %d)", what, qt_err_row(e->code)->name, e->msg, e->sys);
}

struct rt_create_rep rig_create(struct rig *r, struct qt_id id)
{
	struct rt_create_req req = rig_create_req(id);
	struct rt_create_rep rep;
	struct qt_err e = {0};

	if (rt_create(&r->rt, &req, &rep, BUDGET_MS, &e) < 0)
		failed("create", &e);
	return rep;
}

int rig_delete(struct rig *r, struct qt_id id, struct qt_err *e)
{
	struct rt_delete_req req = {.id = id};
	struct rt_delete_rep rep;

	return rt_delete(&r->rt, &req, &rep, BUDGET_MS, e);
}

struct rt_get_rep rig_get(struct rig *r, struct qt_id id)
{
	struct rt_get_req req = {.id = id};
	struct rt_get_rep rep;
	struct qt_err e = {0};

	if (rt_get(&r->rt, &req, &rep, BUDGET_MS, &e) < 0)
		failed("get", &e);
	return rep;
}

void rig_exec(struct rig *r, struct qt_id id, const char *command, char *out, size_t size)
{
	struct rt_connect_req req = {.id = id};
	struct rt_connect_rep rep;
	struct mi_exec x = {.env = {"PATH=/bin", 10, 1}, .uid = MI_ID_DEFAULT, .gid = MI_ID_DEFAULT};
	struct mi_failed why;
	struct qt_err e = {0};
	char argv[1024];
	int fd = -1, p[2], null = open("/dev/null", O_RDWR | O_CLOEXEC), code = -1, sig;
	size_t got = 0;
	pid_t pid;

	if (rt_call(&r->rt, RT_CONNECT, &req, NULL, &rep, &fd, BUDGET_MS, &e) < 0)
		failed("connect", &e);
	assert_true(rt_strv_add(&x.argv, argv, sizeof(argv), "/bin/sh"));
	assert_true(rt_strv_add(&x.argv, argv, sizeof(argv), "-c"));
	assert_true(rt_strv_add(&x.argv, argv, sizeof(argv), command));
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	x.fds[0] = null;
	x.fds[1] = p[1];
	x.fds[2] = p[1];
	if (mi_exec_start(fd, &x, BUDGET_MS, &pid, &why, &e) < 0)
		failed("exec", &e);
	assert_int_equal(why.step, 0);
	close(p[1]);
	for (ssize_t n; (n = read(p[0], out + got, size - 1 - got)) > 0;)
		got += (size_t)n;
	out[got] = '\0';
	close(p[0]);
	assert_int_equal(mi_exec_wait(fd, qt_mono_ms() + BUDGET_MS, &code, &sig, &e), 1);
	if (code != 0)
		fail_msg("`%s` ended with %d: %s", command, code, out);
	close(fd);
	close(null);
}

unsigned rig_list(struct rig *r, struct qt_id *ids, unsigned max)
{
	struct rt_list_req req = {.after = rt_str("")};
	char last[QT_ID_MAX + 1];
	unsigned n = 0;

	for (;;) {
		struct rt_list_rep rep;
		struct qt_err e = {0};
		const char *id = NULL;

		if (rt_list(&r->rt, &req, &rep, BUDGET_MS, &e) < 0)
			failed("list", &e);
		if (rep.ids.n == 0)
			return n;
		while ((id = rt_strv_next(&rep.ids, id))) {
			assert_true(n < max);
			assert_true(qt_id_parse(&ids[n++], "ctr", id));
			(void)qt_copy(last, sizeof(last), id);
		}
		req.after = rt_str(last);
	}
}

/* The first thing whose number is wrong, NULL if none. */
static const char *wrong(struct rig *r, unsigned n, unsigned running, unsigned *is, unsigned *want)
{
	const struct {
		const char *what;
		unsigned is, want;
	} all[] = {
		{"journal", rig_count(r, "state/journal"), n},
		{"journal.bad", rig_count(r, "state/journal.bad"), 0},
		{"files", rig_count(r, "state/ctr"), n},
		{"trees", rig_count(r, "pool/ctr"), n},
		{"snapshots", rig_count(r, "pool/snap"), r->snapshots},
		{"volumes", rig_count(r, "pool/vol"), r->volumes},
		{"images", rig_count(r, "pool/img"), r->images},
		{"layers", rig_count(r, "pool/layers"), r->layers},
		{"blobs", rig_count(r, "pool/oci/blobs/sha256"), r->blobs},
		{"objects", rig_count(r, "state/objects"), r->snapshots + r->volumes + r->images},
		{"objects.bad", rig_count(r, "state/objects.bad"), 0},
		{"new", rig_count(r, "pool/new"), 0},
		{"trash", rig_count(r, "pool/trash"), 0},
		{"sockets", rig_count(r, "run/c"), running},
		{"cgroups", count_cgroups(r, false), running},
		{"links", count_links(r), running},
		{"mounts", count_mounts(r), 1},
	};

	*is = count_spares(r);
	*want = r->pid ? RIG_SPARES : 0;
	if (*is > *want)
		return "spares";
	for (size_t i = 0; i < QT_LEN(all); i++) {
		if (all[i].is == all[i].want)
			continue;
		*is = all[i].is;
		*want = all[i].want;
		return all[i].what;
	}
	return NULL;
}

void rig_expect(struct rig *r, unsigned snapshots, unsigned volumes)
{
	r->snapshots = snapshots;
	r->volumes = volumes;
}

void rig_expect_images(struct rig *r, unsigned images, unsigned layers, unsigned blobs)
{
	r->images = images;
	r->layers = layers;
	r->blobs = blobs;
}

void rig_census(struct rig *r, unsigned n, unsigned running)
{
	int64_t deadline = qt_mono_ms() + BUDGET_MS;
	unsigned is, want;
	const char *what;

	while ((what = wrong(r, n, running, &is, &want))) {
		if (qt_mono_ms() > deadline)
			fail_msg("%u %s, and not %u", is, what, want);
		(void)poll(NULL, 0, 5);
	}
}

void rig_remove(struct rig *r, const char *path)
{
	shell("rm -r %s/%s", r->dir, path);
}

void rig_wait_spares(struct rig *r)
{
	int64_t deadline = qt_mono_ms() + BUDGET_MS;

	while (count_spares(r) < RIG_SPARES) {
		assert_true(qt_mono_ms() < deadline);
		(void)poll(NULL, 0, 5);
	}
}

#ifdef QT_FAILPOINTS
const struct rig_point rig_points[] = {
#define FP(name, verb) {#name, #verb},
#include "runtime/failpoints.def"
#undef FP
};
const size_t rig_n_points = QT_LEN(rig_points);
#endif
