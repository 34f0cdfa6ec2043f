#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "harden.h"
#include "str.h"

#define NOFILE_WANTED 262144

static int open_standard_fds(struct qt_err *e)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
		if (fd < 0)
			return qt_fail_sys(e, errno, "open /dev/null");
	} while (fd <= 2);
	qt_close(fd);
	return 0;
}

static void raise_limits(void)
{
	struct rlimit r = {NOFILE_WANTED, NOFILE_WANTED};
	const struct rlimit no_core = {0, 0};

	/* Three descriptors a container: less than wanted only means fewer containers. */
	if (setrlimit(RLIMIT_NOFILE, &r) < 0 && getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r);
	}
	(void)setrlimit(RLIMIT_CORE, &no_core); /* memory of ours holds tenants' environments */
}

static int cut_capabilities(struct qt_err *e)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};
	uint64_t keep = 0, must = 0, have;

#define CAP(name, needed, why)        \
	keep |= 1ULL << CAP_##name; \
	must |= (uint64_t)needed << CAP_##name;
#include "caps.def"
#undef CAP
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap) < 0)
			return qt_fail_sys(e, errno, "drop a capability: this program must be started by root");
	if (syscall(SYS_capget, &head, data) < 0)
		return qt_fail_sys(e, errno, "capget");
	have = data[0].permitted | (uint64_t)data[1].permitted << 32;
	keep &= have;
	if (must & ~have)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a capability that is needed was taken away from this program (see --privileges)");
	data[0] = (struct __user_cap_data_struct){.effective = (uint32_t)keep, .permitted = (uint32_t)keep};
	data[1] = (struct __user_cap_data_struct){.effective = (uint32_t)(keep >> 32), .permitted = (uint32_t)(keep >> 32)};
	if (syscall(SYS_capset, &head, data) < 0)
		return qt_fail_sys(e, errno, "capset");
	return 0;
}

/* A slave: what the host mounts and unmounts is seen, and nothing of ours is seen by the host (overlay.c). */
static int own_mounts(struct qt_err *e)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return qt_fail_sys(e, errno, "make a mount namespace");
	return 0;
}

int rt_harden(struct qt_err *e)
{
	if (open_standard_fds(e) < 0)
		return -1;
	/* What a careless parent left open would be ours to leak. */
	if (syscall(SYS_close_range, 3, ~0U, 0) < 0)
		return qt_fail_sys(e, errno, "close_range");
	(void)umask(077);
	raise_limits();
	if (geteuid() != 0)
		return qt_fail(e, QT_E_FORBIDDEN, "this program must be started by root");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return qt_fail_sys(e, errno, "no_new_privs");
	if (own_mounts(e) < 0)
		return -1;
	return cut_capabilities(e);
}

void rt_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	auto_close int fd = -1;

	if (!path || !qt_copy(a.sun_path, sizeof(a.sun_path), path))
		return;
	if (a.sun_path[0] == '@')
		a.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	/* Nobody listens any more: no reason to end. */
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&a,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))) < 0)
		return;
}
