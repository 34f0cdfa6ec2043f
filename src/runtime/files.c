#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "dirs.h"
#include "fdio.h"
#include "files.h"
#include "str.h"

/* Execs wait here until the init accepts them: as many as may come at once. */
#define BACKLOG 512

static const char *const log_names[2] = {"log.0", "log.1"};

static int open_dir(struct rt *rt, const struct qt_id *id, struct qt_err *e)
{
	int fd = openat(rt->ctr_state_fd, id->s, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 ? fd : qt_fail_sys(e, errno, "open the container's files");
}

int rt_files_make(struct rt *rt, const struct qt_id *id, struct qt_err *e)
{
	auto_close int fd = rt_dir_make(rt->ctr_state_fd, id->s, 0700, e);

	return fd < 0 ? -1 : 0;
}

void rt_files_drop(struct rt *rt, const char *id)
{
	auto_close int fd = openat(rt->ctr_state_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0)
		(void)rt_dir_empty(fd); /* ours: four files */
	(void)unlinkat(rt->ctr_state_fd, id, AT_REMOVEDIR);
}

int rt_files_open(struct rt *rt, const struct qt_id *id, int ret_log[2], int *ret_status, struct qt_err *e)
{
	auto_close int dir = open_dir(rt, id, e), a = -1, b = -1, status = -1;

	if (dir < 0)
		return -1;
	a = openat(dir, log_names[0], O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	b = openat(dir, log_names[1], O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	status = openat(dir, "status", O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (a < 0 || b < 0 || status < 0)
		return qt_fail_sys(e, errno, "make the container's files");
	ret_log[0] = qt_take_fd(&a);
	ret_log[1] = qt_take_fd(&b);
	*ret_status = qt_take_fd(&status);
	return 0;
}

int rt_files_logs(struct rt *rt, const struct qt_id *id, int ret_log[2], struct qt_err *e)
{
	auto_close int dir = open_dir(rt, id, e), a = -1, b = -1;

	if (dir < 0)
		return -1;
	a = openat(dir, log_names[0], O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	b = openat(dir, log_names[1], O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (a < 0 || b < 0)
		return qt_fail_sys(e, errno, "open the logs");
	ret_log[0] = qt_take_fd(&a);
	ret_log[1] = qt_take_fd(&b);
	return 0;
}

bool rt_files_status(struct rt *rt, const struct qt_id *id, struct mi_status *ret)
{
	struct qt_err ignored = {0};
	auto_close int dir = open_dir(rt, id, &ignored), fd = -1;
	struct mi_status s;

	if (dir < 0)
		return false;
	fd = openat(dir, "status", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || pread(fd, &s, sizeof(s), 0) != (ssize_t)sizeof(s) || s.magic != MI_MAGIC)
		return false;
	*ret = s;
	return true;
}

/* --- the socket ---------------------------------------------------------------------------------------- */

/* By the descriptor of the directory: sun_path is shorter than run_dir may be. */
static void address(struct sockaddr_un *ret, struct rt *rt, const char *id)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	(void)qt_fmt(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s.sock", rt->sock_fd, id);
}

void rt_files_drop_socket(struct rt *rt, const char *id)
{
	char name[64];

	if (qt_fmt(name, sizeof(name), "%s.sock", id))
		(void)unlinkat(rt->sock_fd, name, 0);
}

bool rt_files_rename_socket(struct rt *rt, const struct qt_id *id, const struct qt_id *to)
{
	char from_name[64], to_name[64];

	return qt_fmt(from_name, sizeof(from_name), "%s.sock", id->s) && qt_fmt(to_name, sizeof(to_name), "%s.sock", to->s) &&
	       renameat(rt->sock_fd, from_name, rt->sock_fd, to_name) == 0;
}

int rt_files_listen(struct rt *rt, const struct qt_id *id, struct qt_err *e)
{
	auto_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un a;

	if (fd < 0)
		return qt_fail_sys(e, errno, "socket");
	address(&a, rt, id->s);
	rt_files_drop_socket(rt, id->s);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, BACKLOG) < 0)
		return qt_fail_sys(e, errno, "listen for the init");
	return qt_take_fd(&fd);
}

int rt_files_connect(struct rt *rt, const struct qt_id *id, struct qt_err *e)
{
	auto_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un a;

	if (fd < 0)
		return qt_fail_sys(e, errno, "socket");
	address(&a, rt, id->s);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		int sys = errno;

		(void)qt_fail(e, QT_E_EXEC_NOT_READY, "the container's init does not take connections: %s", strerror(sys));
		e->sys = sys;
		return -1;
	}
	return qt_take_fd(&fd);
}

/* --- the configuration --------------------------------------------------------------------------------- */

int rt_files_config(const struct rt *rt, const struct rt_strv *argv, const struct rt_strv *env, uint32_t device_env_len, const char *workdir,
		    const char *user, uint32_t stop_signal, struct qt_err *e)
{
	auto_close int fd = memfd_create("minit-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct mi_config c = {
		.magic = MI_MAGIC,
		.version = MI_VERSION,
		.argv_len = argv->len,
		.env_len = env->len,
		.device_env_len = device_env_len,
		.cwd_len = (uint32_t)strlen(workdir) + 1,
		.log_file_bytes = (uint32_t)rt->conf.log_file_bytes,
		.umask = 022,
		.stop_signal = stop_signal ? stop_signal : SIGTERM,
		.user_len = user[0] ? (uint32_t)strlen(user) + 1 : 0,
	};

	if (fd < 0)
		return qt_fail_sys(e, errno, "memfd_create");
	if (qt_write_full(fd, &c, sizeof(c), e) < 0 || qt_write_full(fd, argv->s, argv->len, e) < 0 ||
	    qt_write_full(fd, env->s, env->len, e) < 0 || qt_write_full(fd, workdir, c.cwd_len, e) < 0 ||
	    qt_write_full(fd, user, c.user_len, e) < 0)
		return -1;
	if (lseek(fd, 0, SEEK_SET) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return qt_fail_sys(e, errno, "seal the configuration");
	return qt_take_fd(&fd);
}
