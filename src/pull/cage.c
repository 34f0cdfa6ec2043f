#include "cage.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"

#define READ  (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE)
#define ALL   ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1) /* of the first version */

static const struct {
	const char *path;
	uint64_t access;
} open_to[] = {
	{".", READ | WRITE},
	{"/usr", READ}, {"/lib", READ}, {"/lib64", READ},
	{"/etc/ssl", READ}, {"/etc/resolv.conf", LANDLOCK_ACCESS_FS_READ_FILE}, {"/etc/hosts", LANDLOCK_ACCESS_FS_READ_FILE},
	{"/etc/nsswitch.conf", LANDLOCK_ACCESS_FS_READ_FILE}, {"/etc/host.conf", LANDLOCK_ACCESS_FS_READ_FILE},
	{"/etc/gai.conf", LANDLOCK_ACCESS_FS_READ_FILE}, {"/etc/services", LANDLOCK_ACCESS_FS_READ_FILE},
	{"/run/systemd/resolve", READ}, {"/proc/self", READ}, {"/proc/sys/vm", READ}, {"/dev/urandom", LANDLOCK_ACCESS_FS_READ_FILE},
};

static int fence(struct qt_err *e)
{
	const struct landlock_ruleset_attr rules = {.handled_access_fs = ALL};
	auto_close int set = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);

	if (set < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : qt_fail_sys(e, errno, "make a Landlock ruleset");
	for (size_t i = 0; i < QT_LEN(open_to); i++) {
		auto_close int fd = open(open_to[i].path, O_PATH | O_CLOEXEC);
		const struct landlock_path_beneath_attr rule = {.allowed_access = open_to[i].access, .parent_fd = fd};

		if (fd >= 0 && syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
			return qt_fail_sys(e, errno, "add a Landlock rule");
	}
	return syscall(SYS_landlock_restrict_self, set, 0) == 0 ? 0 : qt_fail_sys(e, errno, "apply the Landlock ruleset");
}

int pl_cage(uint64_t max_bytes, struct qt_err *e)
{
	const struct rlimit core = {0, 0}, files = {64, 64}, size = {max_bytes, max_bytes};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return qt_fail_sys(e, errno, "prctl");
	if (setrlimit(RLIMIT_CORE, &core) < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0 || setrlimit(RLIMIT_FSIZE, &size) < 0)
		return qt_fail_sys(e, errno, "set a resource limit");
	return fence(e);
}
