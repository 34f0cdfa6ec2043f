#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "fdio.h"
#include "minit/proto.h"
#include "rig.h"
#include "str.h"

static void copy(int dir_fd, const char *to, const char *from)
{
	auto_close int in = open(from, O_RDONLY | O_CLOEXEC);
	auto_close int out = openat(dir_fd, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	struct stat st;
	ssize_t n = 1;

	assert_true(in >= 0);
	assert_true(out >= 0);
	assert_int_equal(fstat(in, &st), 0);
	for (off_t left = st.st_size; left > 0 && n > 0; left -= n)
		n = sendfile(out, in, NULL, (size_t)left);
	assert_true(n > 0);
}

void rig_write(int dir_fd, const char *path, const char *text, mode_t mode)
{
	auto_close int fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

void rig_remove_tree(int dir_fd, const char *name)
{
	int fd;
	DIR *d;
	const struct dirent *de;

	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return;
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	d = fdopendir(fd);
	while (d && (de = readdir(d)))
		if (!qt_streq(de->d_name, ".") && !qt_streq(de->d_name, ".."))
			rig_remove_tree(fd, de->d_name);
	if (d)
		(void)closedir(d);
	(void)unlinkat(dir_fd, name, AT_REMOVEDIR);
}

static int make_dir(int at, const char *name)
{
	int fd;

	assert_int_equal(mkdirat(at, name, 0755), 0);
	fd = openat(at, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void make_lower(int fd)
{
	const struct vfs_cap_data net_raw = {.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
					     .data = {{.permitted = 1U << CAP_NET_RAW}}};
	auto_close int capable = -1;
	static const char *const dirs[] = {"bin", "etc", "proc", "sys", "dev", "tmp", "run", "root"};

	for (size_t i = 0; i < QT_LEN(dirs); i++)
		assert_int_equal(mkdirat(fd, dirs[i], 0755), 0);
	copy(fd, "bin/busybox", "/bin/busybox");
	assert_int_equal(symlinkat("busybox", fd, "bin/sh"), 0);
	copy(fd, "bin/probe", QT_TEST_PROBE);
	rig_write(fd, "etc/passwd", "root:x:0:0::/root:/bin/sh\n", 0644);
	/* What overlayfs copies up only with the right capabilities: a setgid directory of another group, a file with capabilities. */
	assert_int_equal(mkdirat(fd, "shared", 0755), 0);
	assert_int_equal(fchownat(fd, "shared", 0, 50, 0), 0);
	assert_int_equal(fchmodat(fd, "shared", 02775, 0), 0);
	rig_write(fd, "bin/capable", "#!/bin/sh\n", 0755);
	capable = openat(fd, "bin/capable", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fsetxattr(capable, "security.capability", &net_raw, sizeof(net_raw), 0), 0);
	/* Hostile: a link in the place of a file that we write. */
	assert_int_equal(symlinkat("/etc/passwd", fd, "etc/resolv.conf"), 0);
}

static int make_listener(const char *dir)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(qt_fmt(a.sun_path, sizeof(a.sun_path), "%s/sock", dir));
	assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

int rig_setup(void **state)
{
	static struct rig r;
	struct qt_err e = {0};
	char instance[24];
	int top, ctr;

	(void)umask(022);
	memset(&r, 0, sizeof(r));
	r.lower_fd = r.upper_fd = r.work_fd = r.vol_fd = r.ro_fd = r.listen_fd = -1;
	/* As the runtime's: what is mounted for a moment is nobody else's. */
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL), 0);
	*state = &r; /* the teardown runs also when this fails half-way */
	assert_true(qt_copy(r.dir, sizeof(r.dir), "/tmp/quilt-spawn-XXXXXX"));
	assert_non_null(mkdtemp(r.dir));
	top = open(r.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	r.lower_fd = make_dir(top, "lower");
	ctr = make_dir(top, "ctr");
	r.upper_fd = make_dir(ctr, "upper");
	r.work_fd = make_dir(ctr, "work");
	r.vol_fd = make_dir(top, "vol");
	r.ro_fd = make_dir(top, "ro");
	close(ctr);
	close(top);
	make_lower(r.lower_fd);
	r.listen_fd = make_listener(r.dir);
	assert_true(qt_fmt(instance, sizeof(instance), "qspawn%d", getpid()));
	if (rt_cgroups_open(&r.cgroups, instance, &e) < 0 || rt_spawner_open(&r.spawner, QT_TEST_INIT, &e) < 0)
		fail_msg("%s", e.msg);
	return 0;
}

/* A test that failed has left its container. */
static void end_left(const struct qt_id *id, void *arg)
{
	struct rig *r = arg;
	struct qt_err e = {0};
	int64_t deadline = qt_mono_ms() + RIG_BUDGET_MS;

	(void)rt_cgroup_kill(r->cgroups, id, &e);
	do {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		(void)poll(NULL, 0, 1);
	} while (!rt_cgroup_remove(r->cgroups, id) && qt_left_ms(deadline) > 0);
}

int rig_teardown(void **state)
{
	struct rig *r = *state;

	rt_cgroup_each(r->cgroups, end_left, r);

	rt_spawner_close(r->spawner);
	rt_cgroups_close(r->cgroups);
	close(r->lower_fd);
	close(r->upper_fd);
	close(r->work_fd);
	close(r->vol_fd);
	close(r->ro_fd);
	close(r->listen_fd);
	rig_remove_tree(AT_FDCWD, r->dir);
	assert_int_equal(access(r->dir, F_OK), -1);
	return 0;
}

static int make_config(const char *const *argv)
{
	struct mi_config c = {.magic = MI_MAGIC, .version = MI_VERSION, .log_file_bytes = 65536, .umask = 022, .stop_signal = SIGTERM};
	static const char env[] = "PATH=/bin";
	int fd = memfd_create("config", MFD_CLOEXEC);

	assert_true(fd >= 0);
	for (size_t i = 0; argv[i]; i++)
		c.argv_len += (uint32_t)strlen(argv[i]) + 1;
	c.env_len = sizeof(env);
	c.cwd_len = 2;
	assert_int_equal(write(fd, &c, sizeof(c)), sizeof(c));
	for (size_t i = 0; argv[i]; i++)
		assert_int_equal(write(fd, argv[i], strlen(argv[i]) + 1), strlen(argv[i]) + 1);
	assert_int_equal(write(fd, env, sizeof(env)), sizeof(env));
	assert_int_equal(write(fd, "/", 2), 2);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

struct attach {
	const struct rig_what *w;
};

static int attach(void *arg, pid_t pid, struct qt_err *e)
{
	struct attach *a = arg;

	(void)pid;
	return a->w->fail_attach ? qt_fail(e, QT_E_CAPACITY_FULL, "no address") : 0;
}

static int connect_net(void *arg, pid_t pid, struct qt_err *e)
{
	const struct attach *a = arg;
	siginfo_t si;

	if (a->w->dies_first)
		assert_int_equal(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
	return a->w->fail_connect ? qt_fail(e, QT_E_CAPACITY_FULL, "no link") : 0;
}

int rig_start(struct rig *r, const struct rig_what *w, struct box *ret, struct qt_err *e)
{
	auto_close int log0 = memfd_create("log", MFD_CLOEXEC), log1 = memfd_create("log", MFD_CLOEXEC);
	auto_close int status = memfd_create("status", MFD_CLOEXEC), config = make_config(w->argv);
	auto_close int group = -1;
	struct rt_limits limits = w->limits.memory_mb ? w->limits : (struct rt_limits){.memory_mb = 64, .cpu_centi = 10000, .pids = 64};
	struct rt_mount mounts[] = {{r->vol_fd, w->volume ? w->volume : "/out", false}, {r->ro_fd, "/ro", true}};
	struct attach a = {w};
	int doors[RT_DOORS_MAX], n, rc;
	struct rt_way_in way = {0};
	struct rt_spare *spare;
	struct rt_spawn what = {
		.hostname = "box",
		.uid_base = RIG_UID_BASE,
		.strict = w->strict,
		.lower_fds = &r->lower_fd,
		.n_lower = 1,
		.upper_fd = r->upper_fd,
		.work_fd = r->work_fd,
		.resolv_conf = "nameserver 192.0.2.1\n",
		.workdir = w->workdir ? w->workdir : "/made/for/work",
		.mounts = mounts,
		.n_mounts = 2,
		.listen_fd = r->listen_fd,
		.log_fd = {log0, log1},
		.status_fd = status,
		.config_fd = config,
		.attach = attach,
		.connect = connect_net,
		.arg = &a,
	};

	memset(ret, 0, sizeof(*ret));
	ret->id = qt_id_new("ctr");
	what.id = ret->id;
	ret->pid_fd = -1;
	if (rt_cgroup_make(r->cgroups, &ret->id, &limits, e) < 0)
		return -1;
	group = rt_cgroup_fd(r->cgroups, &ret->id);
	n = rt_cgroup_doors(r->cgroups, &ret->id, doors, e); /* on v2 it is born there: none */
	assert_true(n >= 0);
	way.cgroup_fd = w->cgroup_fd ? w->cgroup_fd : group;
	way.doors = w->fail_join ? (const int[]){r->lower_fd} : doors;
	way.n_doors = w->fail_join ? 1 : (unsigned)n;
	spare = rt_spare_make(r->spawner, RIG_UID_BASE, &way, e);
	if (!spare)
		fail_msg("%s", e->msg);
	rc = rt_spawn(spare, &what, w->budget_ms ? w->budget_ms : RIG_BUDGET_MS, &ret->pid, &ret->pid_fd, e);
	while (n > 0)
		close(doors[--n]);
	if (rc == 0)
		return 0;
	/* Nothing is left in it, so it goes at once. */
	assert_true(rt_cgroup_empty(r->cgroups, &ret->id));
	assert_true(rt_cgroup_remove(r->cgroups, &ret->id));
	return -1;
}

void rig_wait(struct rig *r, struct box *b)
{
	auto_close int in = inotify_init1(IN_CLOEXEC);
	struct qt_err e = {0};
	int64_t deadline = qt_mono_ms() + RIG_BUDGET_MS;
	char path[64], events[4096];

	assert_true(qt_fmt(path, sizeof(path), "%s/vol", r->dir));
	assert_true(inotify_add_watch(in, path, IN_MOVED_TO) >= 0);
	while (faccessat(r->vol_fd, "report", F_OK, 0) < 0) {
		struct pollfd p[] = {{in, POLLIN, 0}, {b->pid_fd, POLLIN, 0}};

		assert_true(poll(p, 2, qt_left_ms(deadline)) > 0);
		if (p[1].revents)
			fail_msg("the container ended");
		assert_true(read(in, events, sizeof(events)) > 0);
	}
	assert_true(qt_read_file(r->vol_fd, "report", b->report, sizeof(b->report), &e) >= 0);
}

void rig_stop(struct rig *r, struct box *b)
{
	static const char *const reports[] = {"report", "report.new"};
	int64_t deadline = qt_mono_ms() + RIG_BUDGET_MS;
	struct qt_err e = {0};
	siginfo_t si;

	assert_int_equal(rt_cgroup_kill(r->cgroups, &b->id, &e), 0);
	assert_int_equal(waitid(P_PIDFD, (id_t)b->pid_fd, &si, WEXITED), 0);
	close(b->pid_fd);
	b->pid_fd = -1;
	/* Its children are reaped with it, yet the kernel takes the group off each task a moment later. */
	while (!rt_cgroup_remove(r->cgroups, &b->id)) {
		assert_true(qt_left_ms(deadline) > 0);
		(void)poll(NULL, 0, 1);
	}
	for (size_t i = 0; i < QT_LEN(reports); i++)
		rig_remove_tree(r->vol_fd, reports[i]);
}

unsigned rig_each(const struct box *b, const char *key, void (*fn)(const char *value, void *arg), void *arg)
{
	size_t n = strlen(key);
	unsigned found = 0;

	for (const char *p = b->report; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
		char value[1024];
		size_t len;

		if (strncmp(p, key, n) != 0 || p[n] != '=')
			continue;
		len = strcspn(p + n + 1, "\n");
		assert_true(len < sizeof(value));
		memcpy(value, p + n + 1, len);
		value[len] = '\0';
		found++;
		fn(value, arg);
	}
	return found;
}

struct search {
	const char *want;
	bool found;
	char got[512];
};

static void compare(const char *value, void *arg)
{
	struct search *s = arg;

	s->found |= qt_streq(value, s->want);
	(void)snprintf(s->got, sizeof(s->got), "%.500s", value);
}

bool rig_says(const struct box *b, const char *key, const char *value)
{
	struct search s = {.want = value};

	(void)rig_each(b, key, compare, &s);
	if (!s.found)
		print_error("%s: want \"%s\", got \"%s\"\n", key, value, s.got);
	return s.found;
}
