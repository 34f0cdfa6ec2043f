#include <errno.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cgroup_parts.h"
#include "cleanup.h"
#include "str.h"

#define ANY -1

/* security.md 5.7: character devices, to read and write; nothing may be made (mknod). */
static const struct {
	int major, minor;
} allowed[] = {
	{1, 3},	  /* null */
	{1, 5},	  /* zero */
	{1, 7},	  /* full */
	{1, 8},	  /* random */
	{1, 9},	  /* urandom */
	{5, 0},	  /* tty */
	{5, 2},	  /* ptmx */
	{136, ANY}, /* pts */
};

static bool is_allowed(uint32_t major, uint32_t minor)
{
	for (size_t i = 0; i < QT_LEN(allowed); i++)
		if ((uint32_t)allowed[i].major == major && (allowed[i].minor == ANY || (uint32_t)allowed[i].minor == minor))
			return true;
	return false;
}

static int allow_more(int dir_fd, const char *id, const struct rt_limits *l, struct qt_err *e)
{
	char text[48];

	for (unsigned i = 0; i < l->n_devices; i++) {
		const struct rt_device *d = &l->devices[i];

		if (is_allowed(d->major, d->minor))
			continue;
		if (!qt_fmt(text, sizeof(text), "c %u:%u %s%s", d->major, d->minor, d->read ? "r" : "", d->write ? "w" : ""))
			return qt_fail(e, QT_E_INTERNAL_ERROR, "device too long");
		if (rt_cgroup_write(dir_fd, id, "devices.allow", text, e) < 0)
			return -1;
	}
	return 0;
}

/* How many lines the kernel keeps: each device one. */
static size_t lines_of(const struct rt_limits *l)
{
	size_t n = QT_LEN(allowed);

	for (unsigned i = 0; i < l->n_devices; i++) {
		bool known = is_allowed(l->devices[i].major, l->devices[i].minor);

		for (unsigned k = 0; k < i && !known; k++)
			known = l->devices[k].major == l->devices[i].major && l->devices[k].minor == l->devices[i].minor;
		n += !known;
	}
	return n;
}

int rt_devices_v1(int dir_fd, const char *id, const struct rt_limits *l, bool fresh, struct qt_err *e)
{
	char text[32], got[8192], *save = NULL;
	size_t lines = 0;

	if (fresh && rt_cgroup_write(dir_fd, id, "devices.deny", "a", e) < 0)
		return -1;
	for (size_t i = 0; fresh && i < QT_LEN(allowed); i++) {
		bool fits = allowed[i].minor == ANY
				    ? qt_fmt(text, sizeof(text), "c %d:* rw", allowed[i].major)
				    : qt_fmt(text, sizeof(text), "c %d:%d rw", allowed[i].major, allowed[i].minor);

		if (!fits)
			return qt_fail(e, QT_E_INTERNAL_ERROR, "device too long");
		if (rt_cgroup_write(dir_fd, id, "devices.allow", text, e) < 0)
			return -1;
	}
	if (allow_more(dir_fd, id, l, e) < 0)
		return -1;
	if (!rt_cgroup_read(dir_fd, id, "devices.list", got, sizeof(got)))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the device list cannot be read back");
	for (char *line = strtok_r(got, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		lines++;
		if (line[0] != 'c' || strchr(line, 'm'))
			return qt_fail(e, QT_E_INTERNAL_ERROR, "the kernel did not keep the device list");
	}
	return lines == lines_of(l) ? 0 : qt_fail(e, QT_E_INTERNAL_ERROR, "the kernel did not keep the device list");
}

static struct bpf_insn insn(unsigned code, unsigned dst, unsigned src, int off, int imm)
{
	return (struct bpf_insn){.code = (__u8)code, .dst_reg = dst & 15, .src_reg = src & 15, .off = (__s16)off, .imm = imm};
}

/* R2 type, R3 whether it is mknod, R4 major, R5 minor, R6 access. Each row jumps over itself to the next, or answers 1. */
unsigned rt_devices_code(struct bpf_insn *code, const struct rt_limits *l)
{
	enum { LOAD = BPF_LDX | BPF_MEM | BPF_W, JNE = BPF_JMP | BPF_JNE | BPF_K, MOV = BPF_ALU64 | BPF_MOV };
	const int type_at = offsetof(struct bpf_cgroup_dev_ctx, access_type);
	unsigned n = 0;

	code[n++] = insn(LOAD, BPF_REG_2, BPF_REG_1, type_at, 0);
	code[n++] = insn(MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0);
	code[n++] = insn(BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff);
	code[n++] = insn(BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16);
	code[n++] = insn(MOV | BPF_X, BPF_REG_6, BPF_REG_3, 0, 0);
	code[n++] = insn(LOAD, BPF_REG_4, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, major), 0);
	code[n++] = insn(LOAD, BPF_REG_5, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, minor), 0);
	code[n++] = insn(BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_3, 0, 0, BPF_DEVCG_ACC_MKNOD);
	code[n++] = insn(JNE, BPF_REG_2, 0, 1, BPF_DEVCG_DEV_CHAR); /* to the refusal */
	code[n++] = insn(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_3, 0, 2, 0); /* over it */
	code[n++] = insn(MOV | BPF_K, BPF_REG_0, 0, 0, 0);
	code[n++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	for (size_t i = 0; i < QT_LEN(allowed); i++) {
		bool any = allowed[i].minor == ANY;

		code[n++] = insn(JNE, BPF_REG_4, 0, any ? 2 : 3, allowed[i].major);
		if (!any)
			code[n++] = insn(JNE, BPF_REG_5, 0, 2, allowed[i].minor);
		code[n++] = insn(MOV | BPF_K, BPF_REG_0, 0, 0, 1);
		code[n++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	}
	for (unsigned i = 0; i < l->n_devices && i < RT_DEVICES_MAX; i++) {
		const struct rt_device *d = &l->devices[i];
		int denied = (d->read ? 0 : BPF_DEVCG_ACC_READ) | (d->write ? 0 : BPF_DEVCG_ACC_WRITE);

		code[n++] = insn(JNE, BPF_REG_4, 0, 4, (int)d->major);
		code[n++] = insn(JNE, BPF_REG_5, 0, 3, (int)d->minor);
		code[n++] = insn(BPF_JMP | BPF_JSET | BPF_K, BPF_REG_6, 0, 2, denied);
		code[n++] = insn(MOV | BPF_K, BPF_REG_0, 0, 0, 1);
		code[n++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	}
	code[n++] = insn(MOV | BPF_K, BPF_REG_0, 0, 0, 0);
	code[n++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	return n;
}

int rt_devices_v2(int cgroup_fd, const struct rt_limits *l, struct qt_err *e)
{
	struct bpf_insn code[RT_DEVICES_CODE_MAX];
	union bpf_attr load, attach;
	auto_close int prog = -1;

	memset(&load, 0, sizeof(load));
	load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	load.insns = (uint64_t)(uintptr_t)code;
	load.insn_cnt = rt_devices_code(code, l);
	load.license = (uint64_t)(uintptr_t) "GPL";
	prog = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof(load));
	if (prog < 0)
		return qt_fail_sys(e, errno, "load the device program");
	memset(&attach, 0, sizeof(attach));
	attach.target_fd = (uint32_t)cgroup_fd;
	attach.attach_bpf_fd = (uint32_t)prog;
	attach.attach_type = BPF_CGROUP_DEVICE;
	/* No flag: it cannot be overridden, nor joined by others, further down. The group keeps it. */
	if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof(attach)) < 0)
		return qt_fail_sys(e, errno, "attach the device program");
	return 0;
}
