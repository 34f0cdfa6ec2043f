/*
 * The system call filters, run by a small BPF machine for every number: the whole answer is compared with rt_filter.txt, so that a new
 * name in the allow list is a visible line in review. QT_REGENERATE=1 writes the file anew.
 */
#include <errno.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/btrfs.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "runtime/caps.h"
#include "runtime/filter.h"
#include "runtime/parts.h"

#define N_CALLS 600

static struct rt_filter filters[2], tty;

static uint32_t run(const struct rt_filter *f, const struct seccomp_data *d)
{
	uint32_t a = 0, x = 0, m[BPF_MEMWORDS] = {0};

	for (unsigned pc = 0; pc < f->len; pc++) {
		const struct sock_filter *i = &f->code[pc];
		uint32_t k = i->k;

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(k % 4 == 0 && k < sizeof(*d));
			memcpy(&a, (const char *)d + k, 4);
			break;
		case BPF_LD | BPF_IMM:
			a = k;
			break;
		case BPF_LD | BPF_MEM:
			a = m[k];
			break;
		case BPF_ST:
			m[k] = a;
			break;
		case BPF_MISC | BPF_TAX:
			x = a;
			break;
		case BPF_MISC | BPF_TXA:
			a = x;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= k;
			break;
		case BPF_JMP | BPF_JA:
			pc += k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			pc += a > k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += a >= k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			pc += a & k ? i->jt : i->jf;
			break;
		case BPF_RET | BPF_K:
			return k;
		default:
			fail_msg("instruction %x", i->code);
		}
	}
	fail_msg("fell off the end");
	return 0;
}

static uint32_t ask(const struct rt_filter *f, int nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
	struct seccomp_data d = {.nr = nr, .arch = AUDIT_ARCH_X86_64, .args = {a0, a1, a2}};

	return run(f, &d);
}

static int setup(void **state)
{
	struct qt_err e = {0};

	(void)state;
	if (rt_filter_make(&filters[0], false, &e) < 0 || rt_filter_make(&filters[1], true, &e) < 0 ||
	    rt_filter_make_ioctl(&tty, &e) < 0)
		fail_msg("%s", e.msg);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rt_filter_done(&filters[0]);
	rt_filter_done(&filters[1]);
	rt_filter_done(&tty);
	return 0;
}

static const char *word(uint32_t action)
{
	static char text[16];

	if (action == SECCOMP_RET_ALLOW)
		return "allow";
	if (action == (SECCOMP_RET_ERRNO | EPERM))
		return "EPERM";
	if (action == (SECCOMP_RET_ERRNO | ENOSYS))
		return "-";
	(void)snprintf(text, sizeof(text), "%08x", action);
	return text;
}

/* One line a number: its name, and what default and strict containers get for zero arguments. Absent in both: no line. */
static size_t print_all(char *out, size_t size)
{
	size_t n = 0;

	for (int nr = 0; nr < N_CALLS; nr++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, nr), normal[16], strict[16];

		(void)snprintf(normal, sizeof(normal), "%s", word(ask(&filters[0], nr, 0, 0, 0)));
		(void)snprintf(strict, sizeof(strict), "%s", word(ask(&filters[1], nr, 0, 0, 0)));
		if (strcmp(normal, "-") != 0 || strcmp(strict, "-") != 0)
			n += (size_t)snprintf(out + n, size - n, "%d %s %s %s\n", nr, name ? name : "?", normal, strict);
		free(name);
		assert_true(n < size);
	}
	return n;
}

static void the_list_is_the_reviewed_one(void **state)
{
	static char got[65536], want[65536];
	FILE *f;
	size_t n;

	(void)state;
	n = print_all(got, sizeof(got));
	if (getenv("QT_REGENERATE")) {
		f = fopen(QT_GOLDEN, "we");
		assert_non_null(f);
		assert_int_equal(fwrite(got, 1, n, f), n);
		assert_int_equal(fclose(f), 0);
	}
	f = fopen(QT_GOLDEN, "re");
	assert_non_null(f);
	want[fread(want, 1, sizeof(want) - 1, f)] = '\0';
	(void)fclose(f);
	assert_string_equal(got, want);
}

static void other_ways_in_are_death(void **state)
{
	struct seccomp_data d = {.nr = 20, .arch = AUDIT_ARCH_I386};

	(void)state;
	for (int strict = 0; strict < 2; strict++) {
		assert_int_equal(run(&filters[strict], &d), SECCOMP_RET_KILL_PROCESS);
		assert_int_equal(ask(&filters[strict], 0x40000000 | SYS_getpid, 0, 0, 0), SECCOMP_RET_KILL_PROCESS);
		assert_int_equal(ask(&filters[strict], 1000, 0, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
		assert_int_equal(ask(&filters[strict], 0x3fffffff, 0, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
	}
	assert_int_equal(run(&tty, &d), SECCOMP_RET_KILL_PROCESS);
}

static bool allowed(bool strict, int nr, uint64_t a0, uint64_t a2)
{
	return ask(&filters[strict], nr, a0, 0, a2) == SECCOMP_RET_ALLOW;
}

static void arguments_are_compared_whole(void **state)
{
	static const unsigned long new_ns[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,    CLONE_NEWNET,
					       CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};

	(void)state;
	for (uint64_t family = 0; family < 64; family++) {
		bool want = family == 1 || family == 2 || family == 10;

		assert_int_equal(allowed(false, SYS_socket, family, 7), want);
		assert_int_equal(allowed(true, SYS_socket, family, 7), want);
		/* The kernel looks at the low half only. */
		assert_false(allowed(false, SYS_socket, family | UINT64_C(1) << 32, 0));
	}
	assert_true(allowed(false, SYS_socket, 16, 0));
	assert_false(allowed(false, SYS_socket, 16, 12));
	assert_false(allowed(false, SYS_socket, 16, UINT64_C(1) << 32));
	assert_true(allowed(true, SYS_clone, 17, 0));
	assert_true(allowed(true, SYS_clone, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND, 0));
	for (size_t i = 0; i < sizeof(new_ns) / sizeof(new_ns[0]); i++) {
		assert_false(allowed(false, SYS_clone, new_ns[i] | 17, 0));
		assert_false(allowed(false, SYS_clone, new_ns[i] | 17 | UINT64_C(1) << 40, 0));
	}
	assert_true(allowed(false, SYS_personality, 0xffffffff, 0));
	assert_false(allowed(false, SYS_personality, 0x40000, 0));
	assert_false(allowed(true, SYS_personality, 0, 0));
}

static void nobody_types_into_a_terminal(void **state)
{
	(void)state;
	assert_int_equal(ask(&tty, SYS_ioctl, 0, TIOCSTI, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(ask(&tty, SYS_ioctl, 0, UINT64_C(7) << 32 | TIOCSTI, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(ask(&tty, SYS_ioctl, 0, TIOCGWINSZ, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(&tty, SYS_read, 0, TIOCSTI, 0), SECCOMP_RET_ALLOW);
}

/* A subvolume in a volume would have a quota of its own, and be in no copy. What copies files by reference is not of that kind. */
static void nobody_makes_subvolumes(void **state)
{
	static const uint64_t denied[] = {BTRFS_IOC_SUBVOL_CREATE, BTRFS_IOC_SUBVOL_CREATE_V2, BTRFS_IOC_SNAP_CREATE,	   BTRFS_IOC_SNAP_CREATE_V2,
					  BTRFS_IOC_SNAP_DESTROY,  BTRFS_IOC_SUBVOL_SETFLAGS,  BTRFS_IOC_SET_RECEIVED_SUBVOL, UINT64_C(7) << 32 | BTRFS_IOC_SUBVOL_CREATE};
	static const uint64_t allowed_[] = {FICLONE, FICLONERANGE, FIDEDUPERANGE, BTRFS_IOC_SUBVOL_GETFLAGS};

	(void)state;
	for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++)
		assert_int_equal(ask(&tty, SYS_ioctl, 0, denied[i], 0), SECCOMP_RET_ERRNO | ENOTTY);
	for (size_t i = 0; i < sizeof(allowed_) / sizeof(allowed_[0]); i++)
		assert_int_equal(ask(&tty, SYS_ioctl, 0, allowed_[i], 0), SECCOMP_RET_ALLOW);
}

static void capabilities_are_the_reviewed_ones(void **state)
{
	(void)state;
	assert_int_equal(rt_caps_mask(false), 0x405fb);
	assert_int_equal(rt_caps_mask(true), 0x4eb);
}

static void volumes_have_their_places(void **state)
{
	static const char *const good[] = {"/a", "/srv/data", "/process", "/dev2/x", "/a/..b", "/a/.b", "/sysroot"};
	static const char *const bad[] = {"",	    "a",	"/",	   "/a/",     "//a",	 "/a//b",  "/.",
					  "/a/..", "/../proc", "/proc", "/proc/1", "/sys", "/dev/x", "/a/./b"};
	char longest[NAME_MAX + 4];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(rt_target_ok(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(rt_target_ok(bad[i]));
	memset(longest, 'x', sizeof(longest));
	longest[0] = '/';
	longest[NAME_MAX + 1] = '\0';
	assert_true(rt_target_ok(longest));
	longest[NAME_MAX + 1] = 'x';
	longest[NAME_MAX + 2] = '\0';
	assert_false(rt_target_ok(longest));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_list_is_the_reviewed_one),
		cmocka_unit_test(other_ways_in_are_death),
		cmocka_unit_test(arguments_are_compared_whole),
		cmocka_unit_test(nobody_types_into_a_terminal), cmocka_unit_test(nobody_makes_subvolumes),
		cmocka_unit_test(capabilities_are_the_reviewed_ones),
		cmocka_unit_test(volumes_have_their_places),
	};

	return cmocka_run_group_tests_name("filter", tests, setup, teardown);
}
