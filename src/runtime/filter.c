#include <errno.h>
#include <linux/btrfs.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "filter.h"

enum who { DENY, ANY, LOOSE };

static const struct {
	const char *name;
	enum who who;
} rows[] = {
#define RT_SC(name, who, why) {#name, who},
#define RT_SC_IF(name, who, arg, mask, value, why)
#include "syscalls.def"
#undef RT_SC
#undef RT_SC_IF
};

static const struct {
	const char *name;
	enum who who;
	unsigned arg;
	uint64_t mask, value;
} conditions[] = {
#define RT_SC(name, who, why)
#define RT_SC_IF(name, who, arg, mask, value, why) {#name, who, arg, mask, value},
#include "syscalls.def"
#undef RT_SC
#undef RT_SC_IF
};

static void release(scmp_filter_ctx *ctx)
{
	if (*ctx)
		seccomp_release(*ctx);
}

static int fail(struct qt_err *e, int rc, const char *what)
{
	return qt_fail_sys(e, -rc, "system call filter: %s", what);
}

/* libseccomp writes to a descriptor only. */
static int take_code(struct rt_filter *ret, scmp_filter_ctx ctx, struct qt_err *e)
{
	auto_close int fd = memfd_create("filter", MFD_CLOEXEC);
	auto_free struct sock_filter *code = NULL;
	struct stat st;
	int rc;

	if (fd < 0)
		return qt_fail_sys(e, errno, "system call filter: memory");
	rc = seccomp_export_bpf(ctx, fd);
	if (rc < 0)
		return fail(e, rc, "compile");
	if (fstat(fd, &st) < 0)
		return qt_fail_sys(e, errno, "system call filter: size");
	if (st.st_size <= 0 || st.st_size > BPF_MAXINSNS * (off_t)sizeof(*code))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "system call filter: it is too long");
	code = malloc((size_t)st.st_size);
	if (!code || pread(fd, code, (size_t)st.st_size, 0) != st.st_size)
		return qt_fail_sys(e, ENOMEM, "system call filter: read");
	ret->len = (unsigned short)((size_t)st.st_size / sizeof(*code));
	ret->code = qt_take(&code);
	return 0;
}

/* The number of NAME here, or -1: libseccomp does not know it (the kernel's is newer), or this machine has none. It is absent then,
 * which is the safe side. */
static int number(const char *name)
{
	int nr = seccomp_syscall_resolve_name(name);

	return nr >= 0 ? nr : -1;
}

static int set_attributes(scmp_filter_ctx ctx, uint32_t bad_arch, struct qt_err *e)
{
	int rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, bad_arch);

	if (rc == 0)
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree of numbers */
	return rc < 0 ? fail(e, rc, "attributes") : 0;
}

static uint32_t action(enum who who, bool strict)
{
	return who == ANY || (who == LOOSE && !strict) ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM);
}

static int add_rows(scmp_filter_ctx ctx, bool strict, struct qt_err *e)
{
	for (size_t i = 0; i < QT_LEN(rows); i++) {
		int nr = number(rows[i].name);
		int rc = nr < 0 ? 0 : seccomp_rule_add_array(ctx, action(rows[i].who, strict), nr, 0, NULL);

		if (rc < 0)
			return fail(e, rc, rows[i].name);
	}
	return 0;
}

static int add_conditions(scmp_filter_ctx ctx, bool strict, struct qt_err *e)
{
	for (size_t i = 0; i < QT_LEN(conditions); i++) {
		struct scmp_arg_cmp cmp = SCMP_CMP64(conditions[i].arg, SCMP_CMP_MASKED_EQ, conditions[i].mask,
						     conditions[i].value);
		int nr = number(conditions[i].name);
		int rc = 0;

		if (conditions[i].mask == UINT64_MAX)
			cmp = SCMP_CMP64(conditions[i].arg, SCMP_CMP_EQ, conditions[i].value);
		if (nr >= 0 && action(conditions[i].who, strict) == SCMP_ACT_ALLOW)
			rc = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, nr, 1, &cmp);
		if (rc < 0)
			return fail(e, rc, conditions[i].name);
	}
	return 0;
}

int rt_filter_make(struct rt_filter *ret, bool strict, struct qt_err *e)
{
	QT_AUTO(release) scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	struct scmp_arg_cmp route[] = {
		SCMP_CMP64(0, SCMP_CMP_EQ, AF_NETLINK),
		SCMP_CMP64(2, SCMP_CMP_EQ, 0), /* NETLINK_ROUTE: getifaddrs() */
	};
	int rc;

	if (!ctx)
		return qt_fail_sys(e, ENOMEM, "system call filter");
	if (set_attributes(ctx, SCMP_ACT_KILL_PROCESS, e) < 0 || add_rows(ctx, strict, e) < 0 ||
	    add_conditions(ctx, strict, e) < 0)
		return -1;
	rc = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, route);
	if (rc < 0)
		return fail(e, rc, "socket");
	return take_code(ret, ctx, e);
}

/* What no container may ask of a file, by its bits in MASK; the kernel looks at 32 of them. */
static const struct {
	uint32_t mask, request;
	int sys;
} denied_ioctls[] = {
	{UINT32_MAX, TIOCSTI, EPERM},
	/* Subvolumes of its own, which btrfs lets everybody make: each would have a quota of its own, and be in no copy of the volume that it lies in. As on
	 * a file system that has none, and whatever the size of the argument; FICLONE and its like are of the same letter. */
#define BTRFS(nr) {0xffff, BTRFS_IOCTL_MAGIC << 8 | (nr), ENOTTY}
	BTRFS(1),  /* SNAP_CREATE */
	BTRFS(14), /* SUBVOL_CREATE */
	BTRFS(15), /* SNAP_DESTROY */
	BTRFS(23), /* SNAP_CREATE_V2 */
	BTRFS(24), /* SUBVOL_CREATE_V2 */
	BTRFS(26), /* SUBVOL_SETFLAGS: of the volume itself, read-only */
	BTRFS(37), /* SET_RECEIVED_SUBVOL */
	BTRFS(63), /* SNAP_DESTROY_V2 */
#undef BTRFS
};

int rt_filter_make_ioctl(struct rt_filter *ret, struct qt_err *e)
{
	QT_AUTO(release) scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

	if (!ctx)
		return qt_fail_sys(e, ENOMEM, "system call filter");
	if (set_attributes(ctx, SCMP_ACT_KILL_PROCESS, e) < 0)
		return -1;
	for (size_t i = 0; i < QT_LEN(denied_ioctls); i++) {
		struct scmp_arg_cmp it = SCMP_CMP64(1, SCMP_CMP_MASKED_EQ, denied_ioctls[i].mask, denied_ioctls[i].request);
		int rc = seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO((unsigned)denied_ioctls[i].sys), SCMP_SYS(ioctl), 1, &it);

		if (rc < 0)
			return fail(e, rc, "ioctl");
	}
	return take_code(ret, ctx, e);
}

void rt_filter_done(struct rt_filter *f)
{
	free(f->code);
	f->code = NULL;
	f->len = 0;
}

int rt_filter_install(const struct rt_filter *f)
{
	struct sock_fprog prog = {.len = f->len, .filter = f->code};

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog) == 0 ? 0 : -1;
}
