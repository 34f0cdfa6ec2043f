#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "caps.h"
#include "cleanup.h"

/* clang-format off */
static const struct {
	unsigned char cap;
	bool strict;	/* strict containers have it too */
	const char *why;
} given[] = {
	{CAP_CHOWN,            true,  "package managers give files to their users"},
	{CAP_DAC_OVERRIDE,     true,  "root works on files of the container's other users"},
	{CAP_FOWNER,           true,  "the same for modes and times"},
	{CAP_FSETID,           false, "setgid directories keep their bit"},
	{CAP_KILL,             true,  "root ends what its users run"},
	{CAP_SETGID,           true,  "daemons step down"},
	{CAP_SETUID,           true,  "daemons step down"},
	{CAP_SETPCAP,          false, "programs give capabilities up themselves"},
	{CAP_NET_BIND_SERVICE, true,  "ports below 1024, where the sysctl is not there"},
	{CAP_SYS_CHROOT,       false, "chroot of build tools"},
};
/* clang-format on */

uint64_t rt_caps_mask(bool strict)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < QT_LEN(given); i++)
		if (!strict || given[i].strict)
			mask |= UINT64_C(1) << given[i].cap;
	return mask;
}

int rt_caps_drop(uint64_t mask)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = (uint32_t)mask, .permitted = (uint32_t)mask},
		{.effective = (uint32_t)(mask >> 32), .permitted = (uint32_t)(mask >> 32)},
	};

	/* The new user namespace refilled the bounding set, with capabilities too that these headers do not know yet: the kernel says
	 * where it ends. */
	for (unsigned long cap = 0; cap < 64; cap++) {
		if (mask & (UINT64_C(1) << cap))
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL && cap > CAP_BLOCK_SUSPEND)
			break;
		return -1;
	}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -1;
	if (syscall(SYS_capset, &head, data) < 0)
		return -1;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}
