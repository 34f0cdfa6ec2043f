#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "fdio.h"
#include "rnd.h"
#include "str.h"

int qt_write_full(int fd, const void *data, size_t len, struct qt_err *e)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return qt_fail_sys(e, errno, "write");
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

ssize_t qt_read_all(int fd, void *buf, size_t size, struct qt_err *e)
{
	char *p = buf, extra;
	size_t got = 0;

	for (;;) {
		ssize_t n = got < size ? read(fd, p + got, size - got) : read(fd, &extra, 1);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return qt_fail_sys(e, errno, "read");
		}
		if (n == 0)
			return (ssize_t)got;
		if (got == size)
			return qt_fail_sys(e, EFBIG, "read");
		got += (size_t)n;
	}
}

ssize_t qt_read_file(int dir_fd, const char *name, char *buf, size_t size, struct qt_err *e)
{
	auto_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n;

	if (fd < 0)
		return qt_fail_sys(e, errno, "open a file for reading");
	n = qt_read_all(fd, buf, size - 1, e);
	if (n >= 0)
		buf[n] = '\0';
	return n;
}

int qt_replace_file(int dir_fd, const char *name, const void *data, size_t len, mode_t mode, bool sync,
		    struct qt_err *e)
{
	auto_close int fd = -1;
	unsigned char r[8];
	char hex[17], tmp[300];

	qt_rnd(r, sizeof(r));
	qt_hex(hex, r, sizeof(r));
	if (!qt_fmt(tmp, sizeof(tmp), ".%s.%s", name, hex))
		return qt_fail_sys(e, ENAMETOOLONG, "replace a file");
	fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return qt_fail_sys(e, errno, "create a file");
	if (qt_write_full(fd, data, len, e) < 0)
		goto undo;
	if (fchmod(fd, mode) < 0 || (sync && fsync(fd) < 0) || renameat(dir_fd, tmp, dir_fd, name) < 0) {
		(void)qt_fail_sys(e, errno, "replace a file");
		goto undo;
	}
	if (sync && fsync(dir_fd) < 0)
		return qt_fail_sys(e, errno, "sync a directory");
	return 0;
undo:
	(void)unlinkat(dir_fd, tmp, 0);
	return -1;
}

int qt_write_ctl(int dir_fd, const char *name, const char *text, struct qt_err *e)
{
	auto_close int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC);
	size_t len = strlen(text);
	ssize_t n;

	if (fd < 0)
		return qt_fail_sys(e, errno, "open a control file (%s)", strrchr(name, '/') ? strrchr(name, '/') + 1 : name);
	do
		n = write(fd, text, len);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)len)
		return qt_fail_sys(e, n < 0 ? errno : EIO, "write a control file (%s)",
				   strrchr(name, '/') ? strrchr(name, '/') + 1 : name);
	return 0;
}

int qt_set_nonblock(int fd, bool on, struct qt_err *e)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0)
		return qt_fail_sys(e, errno, "fcntl");
	return 0;
}
