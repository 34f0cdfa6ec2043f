/* Where hierarchies are found, what is written into them and what is read out: against texts and a directory tree that look like the
 * kernel's. What the kernel makes of it is tests/privileged/cgroup_test.c's. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fdio.h"
#include "runtime/cgroup_parts.h"

static const char hybrid[] = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
			     "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
			     "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
			     "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
			     "36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices\n"
			     "37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer\n"
			     "39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n"
			     "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n"
			     "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";

static const char unified[] = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
			      "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

/* Somebody's view of a part, before the real one. */
static const char partial[] = "50 23 0:26 /user.slice /home/x/cg rw - cgroup2 cgroup2 rw\n"
			      "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

/* v1 without pids: half of it here and half there would leave a limit out. */
static const char torn[] = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
			   "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

static void hierarchies_are_found(void **state)
{
	struct rt_cgroup_plan p;

	(void)state;
	assert_true(rt_cgroup_plan(&p, hybrid));
	assert_int_equal(p.version, 1);
	assert_string_equal(p.v1[RT_CG_MEMORY], "/sys/fs/cgroup/memory");
	assert_string_equal(p.v1[RT_CG_CPU], "/sys/fs/cgroup/cpu,cpuacct");
	assert_string_equal(p.v1[RT_CG_CPUACCT], "/sys/fs/cgroup/cpu,cpuacct");
	assert_int_equal(p.same[RT_CG_CPUACCT], RT_CG_CPU);
	assert_int_equal(p.same[RT_CG_MEMORY], RT_CG_MEMORY);
	assert_string_equal(p.v1[RT_CG_BLKIO], "");
	assert_string_equal(p.v2, "/sys/fs/cgroup/unified");

	assert_true(rt_cgroup_plan(&p, unified));
	assert_int_equal(p.version, 2);
	assert_string_equal(p.v2, "/sys/fs/cgroup");
	assert_true(rt_cgroup_plan(&p, partial));
	assert_string_equal(p.v2, "/sys/fs/cgroup");
	assert_false(rt_cgroup_plan(&p, torn));
	assert_false(rt_cgroup_plan(&p, ""));
	assert_false(rt_cgroup_plan(&p, "1 2 3\n - \n - cgroup2\n x - cgroup2 a b\n"));
}

static void quota_follows_the_percentage(void **state)
{
	static const struct {
		uint32_t centi;
		uint64_t quota, period;
	} rows[] = {
		{10000, 100000, 100000}, {5000, 50000, 100000},	  {40000, 400000, 100000}, {100, 1000, 100000},
		{50, 5000, 1000000},	 {10, 1000, 1000000}, {1, 1000, 1000000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rt_quota q = rt_quota(rows[i].centi);

		assert_int_equal(q.quota_us, rows[i].quota);
		assert_int_equal(q.period_us, rows[i].period);
	}
}

static void counters_are_read(void **state)
{
	static const char events[] = "low 0\nhigh 1\nmax 22\noom 3\noom_kill 4\noom_group_kill 0\n";
	static const char io[] = "8:0 rbytes=100 wbytes=20 rios=3 wios=4 dbytes=5 dios=6\n254:0 rbytes=1 wbytes=2 rios=3 wios=4\n";
	static const char blkio[] = "8:0 Read 4096\n8:0 Write 8192\n8:0 Sync 1\n254:0 Read 10\nTotal 12298\n";

	(void)state;
	assert_int_equal(rt_cgroup_key(events, "oom_kill"), 4);
	assert_int_equal(rt_cgroup_key(events, "oom"), 3);
	assert_int_equal(rt_cgroup_key(events, "low"), 0);
	assert_int_equal(rt_cgroup_key(events, "kill"), 0);
	assert_int_equal(rt_cgroup_sum(io, "rbytes="), 101);
	assert_int_equal(rt_cgroup_sum(io, "bytes="), 0);
	assert_int_equal(rt_cgroup_sum(io, "wios="), 8);
	assert_int_equal(rt_cgroup_sum(blkio, "Read "), 4106);
	assert_int_equal(rt_cgroup_sum("", "Read "), 0);
}

/* A tree like cgroup2's, of plain files. */
struct tree {
	char dir[64];
	struct rt_cgroups c;
};

static const struct {
	const char *name, *text;
} files[] = {
	{"memory.max", "max\n"},
	{"memory.swap.max", "max\n"},
	{"cpu.max", "max 100000\n"},
	{"pids.max", "max\n"},
	{"pids.current", "7\n"},
	{"memory.current", "1048576\n"},
	{"memory.peak", "2097152\n"},
	{"memory.stat", "anon 1000\nfile 2000\nfile_mapped 3\n"},
	{"memory.events", "oom 0\noom_kill 2\n"},
	{"cpu.stat", "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_throttled 1\nthrottled_usec 5\n"},
	{"io.stat", "8:0 rbytes=100 wbytes=20 rios=3 wios=4\n"},
	{"cgroup.events", "populated 1\nfrozen 0\n"},
	{"cgroup.procs", ""},
	{"cgroup.kill", ""},
	{"cgroup.freeze", ""},
};

static int make_tree(void **state)
{
	static struct tree t;
	char path[160];

	memset(&t, 0, sizeof(t));
	(void)snprintf(t.dir, sizeof(t.dir), "/tmp/quilt-cgroup-XXXXXX");
	assert_non_null(mkdtemp(t.dir));
	(void)snprintf(path, sizeof(path), "%s/ctr_a", t.dir);
	assert_int_equal(mkdir(path, 0755), 0);
	t.c.plan.version = 2;
	t.c.ops = &rt_cgroup_v2;
	t.c.dir[0] = open(t.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		FILE *f;

		(void)snprintf(path, sizeof(path), "%s/ctr_a/%s", t.dir, files[i].name);
		f = fopen(path, "we");
		assert_non_null(f);
		assert_true(fputs(files[i].text, f) >= 0);
		assert_int_equal(fclose(f), 0);
	}
	*state = &t;
	return 0;
}

static int remove_tree(void **state)
{
	struct tree *t = *state;
	char path[160];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/ctr_a/%s", t->dir, files[i].name);
		(void)unlink(path);
	}
	(void)snprintf(path, sizeof(path), "%s/ctr_a", t->dir);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(close(t->c.dir[0]), 0);
	return rmdir(t->dir);
}

static void holds(const struct tree *t, const char *name, const char *want)
{
	char got[256];

	assert_true(rt_cgroup_read(t->c.dir[0], "ctr_a", name, got, sizeof(got)));
	assert_int_equal(strncmp(got, want, strlen(want)), 0);
}

static void v2_reads_its_files(void **state)
{
	struct tree *t = *state;
	struct rt_cgroup_stats s = {0};

	rt_cgroup_v2.stats(&t->c, "ctr_a", &s);
	assert_int_equal(s.cpu_usage_usec, 30);
	assert_int_equal(s.cpu_throttled_usec, 5);
	assert_int_equal(s.memory_current, 1048576);
	assert_int_equal(s.memory_peak, 2097152);
	assert_int_equal(s.memory_limit, 0); /* "max" */
	assert_int_equal(s.memory_rss, 1000);
	assert_int_equal(s.memory_cache, 2000);
	assert_int_equal(s.oom_kills, 2);
	assert_int_equal(s.read_bytes, 100);
	assert_int_equal(s.write_ops, 4);
	assert_int_equal(s.pids, 7);
	assert_false(rt_cgroup_v2.empty(&t->c, "ctr_a"));
	assert_true(rt_cgroup_v2.empty(&t->c, "ctr_none"));
}

static void v2_writes_its_files(void **state)
{
	struct tree *t = *state;
	struct qt_err e = {0};

	assert_int_equal(rt_cgroup_v2.kill(&t->c, "ctr_a", &e), 0);
	holds(t, "cgroup.kill", "1");
	assert_int_equal(rt_cgroup_v2.kill(&t->c, "ctr_none", &e), 0);
	/* The state that is asked for is there at once here; the other one never comes, and is taken back. */
	assert_int_equal(rt_cgroup_v2.freeze(&t->c, "ctr_a", false, 0, &e), 0);
	holds(t, "cgroup.freeze", "0");
	assert_int_equal(rt_cgroup_v2.freeze(&t->c, "ctr_a", true, 0, &e), -1);
	assert_int_equal(e.code, QT_E_TIMEOUT);
	holds(t, "cgroup.freeze", "0");
}

static void limits_are_read_back(void **state)
{
	struct tree *t = *state;
	struct qt_err e = {0};
	int fd = t->c.dir[0];

	assert_int_equal(rt_cgroup_set(fd, "ctr_a", "memory.max", 67108864, &e), 0);
	/* A kernel that rounds, or ignores: here a longer text below what is written. */
	assert_int_equal(rt_cgroup_write(fd, "ctr_a", "pids.max", "100000\n", &e), 0);
	assert_int_equal(rt_cgroup_set(fd, "ctr_a", "pids.max", 64, &e), -1);
	assert_non_null(strstr(e.msg, "pids.max"));
}

static struct rt_limits more; /* whose devices are allowed besides */

/* The device program, run by hand: registers of 64 bits, the few instructions that it uses. */
static int run_devices(uint32_t type, uint32_t access, uint32_t major, uint32_t minor)
{
	struct bpf_insn code[RT_DEVICES_CODE_MAX];
	struct bpf_cgroup_dev_ctx ctx = {.access_type = access << 16 | type, .major = major, .minor = minor};
	unsigned n = rt_devices_code(code, &more);
	uint64_t r[11] = {0};

	assert_true(n <= RT_DEVICES_CODE_MAX);
	for (unsigned pc = 0; pc < n; pc++) {
		const struct bpf_insn *i = &code[pc];
		uint32_t word;

		switch (i->code) {
		case BPF_LDX | BPF_MEM | BPF_W:
			memcpy(&word, (const char *)&ctx + i->off, 4);
			r[i->dst_reg] = word;
			break;
		case BPF_ALU64 | BPF_MOV | BPF_X:
			r[i->dst_reg] = r[i->src_reg];
			break;
		case BPF_ALU64 | BPF_MOV | BPF_K:
			r[i->dst_reg] = (uint64_t)i->imm;
			break;
		case BPF_ALU64 | BPF_AND | BPF_K:
			r[i->dst_reg] &= (uint64_t)i->imm;
			break;
		case BPF_ALU64 | BPF_RSH | BPF_K:
			r[i->dst_reg] >>= i->imm;
			break;
		case BPF_JMP | BPF_JNE | BPF_K:
			pc += r[i->dst_reg] != (uint64_t)i->imm ? (unsigned)i->off : 0;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			pc += (r[i->dst_reg] & (uint64_t)i->imm) != 0 ? (unsigned)i->off : 0;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += r[i->dst_reg] == (uint64_t)i->imm ? (unsigned)i->off : 0;
			break;
		case BPF_JMP | BPF_EXIT:
			return (int)r[0];
		default:
			fail_msg("instruction %x", i->code);
		}
	}
	fail_msg("fell off the end");
	return -1;
}

static void devices_are_the_reviewed_ones(void **state)
{
	static const struct {
		uint32_t major, minor;
		int want;
	} rows[] = {
		{1, 3, 1}, {1, 5, 1}, {1, 7, 1},   {1, 8, 1},	 {1, 9, 1},  {5, 0, 1},	 {5, 2, 1},  {136, 0, 1}, {136, 77, 1},
		{1, 1, 0}, {1, 2, 0}, {1, 4, 0},   {1, 11, 0},	 {5, 1, 0},  {4, 0, 0},	 {10, 229, 0}, {7, 0, 0}, {137, 0, 0},
		{0, 0, 0}, {3, 1, 0}, {254, 0, 0}, {0xffffffff, 3, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t a = rows[i].major, b = rows[i].minor;

		assert_int_equal(run_devices(BPF_DEVCG_DEV_CHAR, BPF_DEVCG_ACC_READ, a, b), rows[i].want);
		assert_int_equal(run_devices(BPF_DEVCG_DEV_CHAR, BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE, a, b), rows[i].want);
		assert_int_equal(run_devices(BPF_DEVCG_DEV_CHAR, BPF_DEVCG_ACC_MKNOD, a, b), 0);
		assert_int_equal(run_devices(BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_ACC_READ, a, b), 0);
	}
}

/* WITH: the three devices of the container are there. */
static void devices_are_allowed(int with)
{
	enum { R = BPF_DEVCG_ACC_READ, W = BPF_DEVCG_ACC_WRITE, M = BPF_DEVCG_ACC_MKNOD };
	static const struct {
		uint32_t major, minor;
		int r, w, rw;
	} rows[] = {{10, 229, 1, 1, 1}, {195, 255, 1, 0, 0}, {195, 0, 0, 1, 0}, {195, 1, 0, 0, 0}, {10, 200, 0, 0, 0}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t a = rows[i].major, b = rows[i].minor;

		assert_int_equal(run_devices(BPF_DEVCG_DEV_CHAR, R, a, b), with * rows[i].r);
		assert_int_equal(run_devices(BPF_DEVCG_DEV_CHAR, W, a, b), with * rows[i].w);
		assert_int_equal(run_devices(BPF_DEVCG_DEV_CHAR, R | W, a, b), with * rows[i].rw);
		assert_int_equal(run_devices(BPF_DEVCG_DEV_CHAR, R | W | M, a, b), 0);
		assert_int_equal(run_devices(BPF_DEVCG_DEV_CHAR, M, a, b), 0);
		assert_int_equal(run_devices(BPF_DEVCG_DEV_BLOCK, R, a, b), 0);
	}
	assert_int_equal(run_devices(BPF_DEVCG_DEV_CHAR, R | W, 1, 3), 1);
}

static void devices_of_one_container(void **state)
{
	static const struct rt_device devices[] = {{10, 229, true, true}, {195, 255, true, false}, {195, 0, false, true}};

	(void)state;
	more = (struct rt_limits){.devices = devices, .n_devices = 3};
	devices_are_allowed(1);
	more = (struct rt_limits){.n_devices = 0};
	devices_are_allowed(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hierarchies_are_found),
		cmocka_unit_test(quota_follows_the_percentage),
		cmocka_unit_test(counters_are_read),
		cmocka_unit_test_setup_teardown(v2_reads_its_files, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(v2_writes_its_files, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(limits_are_read_back, make_tree, remove_tree),
		cmocka_unit_test(devices_are_the_reviewed_ones),
		cmocka_unit_test(devices_of_one_container),
	};

	return cmocka_run_group_tests_name("cgroup", tests, NULL, NULL);
}
