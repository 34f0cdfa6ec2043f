/* What a hostile minit may answer, over a socket. The first byte says to which question, and how many descriptors come with it. */
#include "fuzz.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "minit/minit_client.h"

static void say(int fd, const uint8_t *data, size_t size, unsigned n_fds)
{
	static int null = -1;
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * 3)];
	} c = {0};
	struct iovec iov = {(void *)data, size};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (null < 0)
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (n_fds > 0) {
		h.msg_control = c.buf;
		h.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c.align.cmsg_level = SOL_SOCKET;
		c.align.cmsg_type = SCM_RIGHTS;
		c.align.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		for (unsigned i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(&c.align) + i * sizeof(int), &null, sizeof(int));
	}
	FUZZ_MUST(sendmsg(fd, &h, 0) == (ssize_t)size);
}

/* FDS are as many as were expected; no other one is open. */
static void close_all(const int *fds, unsigned n, unsigned least, unsigned most)
{
	unsigned open_ones = 0;

	for (unsigned i = 0; i < n; i++) {
		open_ones += fds[i] >= 0;
		qt_close(fds[i]);
	}
	FUZZ_MUST(open_ones >= least && open_ones <= most);
}

static void started(int fd, uint32_t flags)
{
	static const char argv[] = "true";
	struct mi_exec x = {.argv = {argv, sizeof(argv), 1}, .env = {"", 0, 0}, .fds = {-1, -1, -1}, .flags = flags, .key = "k", .rows = 1, .cols = 1};
	int p[2], master = -1, code, rc;
	struct mi_failed failed;
	struct qt_err e = {0};
	char text[64];
	bool tty;
	pid_t pid;

	FUZZ_MUST(pipe2(p, O_CLOEXEC) == 0);
	if (!(flags & MI_EXEC_TTY)) {
		x.fds[0] = p[0];
		x.fds[1] = x.fds[2] = p[1];
		x.key = flags ? "k" : NULL;
	}
	rc = mi_exec_start_tty(fd, &x, 0, &pid, flags & MI_EXEC_TTY ? &master : NULL, &failed, &e);
	FUZZ_MUST(rc == 0 ? (pid > 1) == (failed.step == 0) : e.code == QT_E_EXEC_NOT_READY);
	tty = rc == 0 && failed.step == 0 && (flags & MI_EXEC_TTY);
	close_all(&master, 1, tty, tty);
	if (rc == 0 && failed.step)
		(void)mi_failed_answer(&failed, &x, &code, text, sizeof(text));
	qt_close(p[0]);
	qt_close(p[1]);
}

static void kept(int fd)
{
	int fds[2] = {-1, -1}, rc;
	struct mi_kept k = {0};
	struct qt_err e = {0};

	rc = mi_attach(fd, "key", 0, &k, fds, &e);
	FUZZ_MUST(rc >= 0 || e.code == QT_E_EXEC_NOT_READY);
	FUZZ_MUST(rc <= 0 || (k.exit_code >= 0 && k.exit_code <= 255 && k.ended <= 1));
	close_all(fds, 2, rc <= 0 ? 0 : k.tty ? 1 : 2, rc <= 0 ? 0 : 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t flags[] = {0, MI_EXEC_KEEP, MI_EXEC_KEEP | MI_EXEC_TTY};
	struct qt_err e = {0};
	struct mi_pong pong;
	int s[2], code = -1, sig = -1, n;

	if (size < 2 || size > 8192)
		return 0;
	FUZZ_MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s) == 0);
	say(s[1], data + 1, size - 1, data[0] >> 4 & 3);
	(void)shutdown(s[1], SHUT_WR);
	switch (data[0] & 7) {
	case 0:
		FUZZ_MUST(mi_ping(s[0], &pong, 0, &e) == 0 || e.code == QT_E_EXEC_NOT_READY);
		break;
	case 1:
	case 2:
	case 3:
		started(s[0], flags[(data[0] & 7) - 1]);
		break;
	case 4:
		kept(s[0]);
		break;
	case 5:
		n = mi_forget(s[0], "key", 0, &e);
		FUZZ_MUST(n == 0 || e.code == QT_E_EXEC_NOT_READY);
		break;
	case 6:
		n = mi_saved(s[0], 1, 0, &e);
		FUZZ_MUST(n == 0 || e.code == QT_E_EXEC_NOT_READY);
		break;
	default:
		n = mi_exec_wait(s[0], 0, &code, &sig, &e);
		FUZZ_MUST(n == 1 ? code >= 0 && code < 256 && sig >= 0 && sig <= 64 : e.code == QT_E_UNAVAILABLE);
		break;
	}
	qt_close(s[0]);
	qt_close(s[1]);
	return 0;
}
