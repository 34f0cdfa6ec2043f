#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "rootpath.h"

static int open2(int dir_fd, const char *path, int flags, mode_t mode, uint64_t resolve, struct qt_err *e)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		.mode = flags & (O_CREAT | O_TMPFILE) ? mode : 0,
		.resolve = resolve,
	};
	long fd;

	/* EAGAIN: a rename raced with "..". security.md 5.2 asks for eight tries. */
	for (int i = 0; i < 8; i++) {
		fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return fd >= 0 ? (int)fd : qt_fail_sys(e, errno, "open");
}

int qt_open_in_root(int root_fd, const char *path, int flags, mode_t mode, struct qt_err *e)
{
	return open2(root_fd, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, e);
}

int qt_open_beneath(int dir_fd, const char *path, int flags, mode_t mode, struct qt_err *e)
{
	return open2(dir_fd, path, flags, mode,
		     RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV, e);
}

bool qt_have_openat2(void)
{
	struct qt_err e = {0};
	int fd = open2(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0, 0, &e);

	qt_close(fd);
	return fd >= 0;
}
