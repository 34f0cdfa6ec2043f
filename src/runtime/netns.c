#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "cleanup.h"
#include "fdio.h"
#include "netns.h"
#include "num.h"
#include "str.h"

int rt_netns_open(pid_t pid, struct qt_err *e)
{
	char path[40];
	int fd;

	if (pid == 0)
		(void)qt_copy(path, sizeof(path), "/proc/self/ns/net");
	else
		(void)qt_fmt(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 ? fd : qt_fail_sys(e, errno, "open a network namespace");
}

bool rt_netns_same(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

int rt_netns_do(int own_fd, int ns_fd, int (*fn)(void *arg, struct qt_err *e), void *arg, struct qt_err *e)
{
	int r;

	if (setns(ns_fd, CLONE_NEWNET) < 0)
		return qt_fail_sys(e, errno, "enter a network namespace");
	r = fn(arg, e);
	if (setns(own_fd, CLONE_NEWNET) < 0)
		abort();
	return r;
}

int rt_sysctl_open(struct qt_err *e)
{
	auto_close int fd = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (fd < 0 || fstatfs(fd, &fs) < 0)
		return qt_fail_sys(e, errno, "open the sysctl directory");
	if (fs.f_type != PROC_SUPER_MAGIC)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the sysctl directory is not procfs");
	return qt_take_fd(&fd);
}

int rt_sysctl_get(int sys_fd, const char *name, struct qt_err *e)
{
	char text[32];
	uint32_t v;

	if (qt_read_file(sys_fd, name, text, sizeof(text), e) < 0)
		return qt_context(e, "sysctl %s", name);
	text[strcspn(text, "\n")] = '\0';
	if (!qt_u32(&v, text, 0, INT32_MAX))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "sysctl %s is no number", name);
	return (int)v;
}

int rt_sysctl_set(int sys_fd, const char *name, const char *value, struct qt_err *e)
{
	return qt_write_ctl(sys_fd, name, value, e) < 0 ? qt_context(e, "sysctl %s", name) : 0;
}

bool rt_sysctl_has(int sys_fd, const char *name)
{
	return faccessat(sys_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}
