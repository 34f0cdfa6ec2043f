#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launch.h"

#define START_FD     3 /* in the child */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static char oom_score[8]; /* what children write into their oom_score_adj; "" if unknown */

/* Room for every list that fits into a message, and for what devices bring. Only children touch it, in their copy. */
static char *list[2 * MI_MSG_MAX + 4];

void mi_launch_init(void)
{
	int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
	char b[8];
	ssize_t n;
	int v = 0;
	size_t i = 0, k = sizeof(oom_score) - 1;

	if (fd < 0)
		return;
	n = read(fd, b, sizeof(b) - 1);
	(void)close(fd);
	if (n <= 0)
		return;
	b[n] = '\0';
	if (b[0] == '-')
		i++;
	for (; b[i] >= '0' && b[i] <= '9'; i++)
		v = v * 10 + (b[i] - '0');
	v = (b[0] == '-' ? -v : v) + 500;
	v = v > 1000 ? 1000 : v < 0 ? 0 : v;
	do {
		oom_score[--k] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	memmove(oom_score, oom_score + k, sizeof(oom_score) - k);
}

static _Noreturn void give_up(uint32_t step, int sys)
{
	struct mi_start_error e = {step, (uint32_t)sys};
	ssize_t n = write(START_FD, &e, sizeof(e));

	(void)n;
	_exit(127);
}

/* So that the kernel, when the container's memory is used up, takes these and not minit. */
static void be_first_to_die(void)
{
	int fd = oom_score[0] ? open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC) : -1;
	ssize_t n;

	if (fd < 0)
		return;
	n = write(fd, oom_score, strlen(oom_score));
	(void)n;
	(void)close(fd);
}

static void default_action(long sig)
{
	/* The kernel's struct sigaction, zeroed: SIG_DFL. The library's function refuses the numbers that it keeps for itself. */
	static const unsigned long dfl[4];

	(void)syscall(SYS_rt_sigaction, sig, dfl, NULL, 8L);
}

void mi_launch_no_signals(void)
{
	for (long sig = 1; sig <= 64; sig++)
		default_action(sig);
}

static void reset_signals(void)
{
	static const unsigned long none;

	default_action(SIGPIPE); /* the only one that is ignored here */
	(void)syscall(SYS_rt_sigprocmask, (long)SIG_SETMASK, &none, NULL, 8L);
}

/* By system calls: the library's functions would talk to other threads first. */
static void become(uint32_t uid, uint32_t gid, const struct mi_user *user)
{
	if (geteuid() != 0 && uid == getuid() && gid == getgid())
		return;
	if (syscall(SYS_setgroups, user ? (long)user->n_groups : 0L, user ? user->groups : NULL) < 0 || syscall(SYS_setresgid, (long)gid, (long)gid, (long)gid) < 0 ||
	    syscall(SYS_setresuid, (long)uid, (long)uid, (long)uid) < 0)
		give_up(MI_STEP_USER, errno);
}

/* Made as root and left to root: a chown here could be led astray by whoever may rename in PATH. */
static void make_dirs(const char *path)
{
	char p[MI_CWD_MAX];
	size_t len = strlen(path);

	memcpy(p, path, len + 1);
	for (size_t i = 1; i <= len; i++) {
		if (p[i] != '/' && p[i] != '\0')
			continue;
		p[i] = '\0';
		(void)mkdir(p, 0755);
		p[i] = path[i];
	}
}

static void enter(const char *path)
{
	char p[MI_CWD_MAX];

	if (chdir(path) < 0)
		give_up(MI_STEP_CWD, errno);
	/* A directory outside the root would show as "(unreachable)...". */
	if (syscall(SYS_getcwd, p, sizeof(p)) < 0)
		give_up(MI_STEP_CWD, errno);
	if (p[0] != '/')
		give_up(MI_STEP_CWD, EXDEV);
}

/* Points at each of the texts; the place after the NULL. */
static char **point(char **at, const char *s, uint32_t len)
{
	for (const char *end = s + len; s < end; s += strlen(s) + 1)
		*at++ = (char *)s;
	*at++ = NULL;
	return at;
}

static bool has(char **env, const char *text)
{
	size_t len = strcspn(text, "=") + 1;

	for (; *env; env++)
		if (strncmp(*env, text, len) == 0)
			return true;
	return false;
}

/* Those of S that ENV does not set, at its end; END is the place after its NULL. The new place. */
static char **add(char **env, char **end, const char *s, uint32_t len)
{
	for (const char *past = s + len; s < past; s += strlen(s) + 1)
		if (!has(env, s))
			end[-1] = (char *)s, *end++ = NULL;
	return end;
}

static char *home_of(const struct mi_user *user)
{
	static char text[5 + MI_HOME_MAX] = "HOME=";

	memcpy(text + 5, user->home, strlen(user->home) + 1);
	return text;
}

static const char *find_path(char **env)
{
	for (; *env; env++)
		if (strncmp(*env, "PATH=", 5) == 0)
			return *env + 5;
	return DEFAULT_PATH;
}

/* As execvpe(3), but a file of unknown format is an error and not a script for the shell. Returns the errno. */
static int execute(char **argv, char **env)
{
	const char *name = argv[0], *dir;
	size_t name_len = strlen(name);
	bool denied = false;
	char p[4096];

	if (strchr(name, '/') || name_len == 0) {
		(void)execve(name, argv, env);
		return errno;
	}
	for (dir = find_path(env);; dir++) {
		size_t n = strcspn(dir, ":");

		if (n + name_len + 2 <= sizeof(p)) {
			memcpy(p, dir, n);
			p[n] = '/';
			memcpy(p + n + (n > 0), name, name_len + 1);
			(void)execve(p, argv, env);
			if (errno == EACCES)
				denied = true;
			else if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP && errno != ENAMETOOLONG)
				return errno;
		}
		dir += n;
		if (*dir == '\0')
			return denied ? EACCES : ENOENT;
	}
}

/* Only async-signal-safe calls from here on; nothing of minit's but the message and this code is used. */
static _Noreturn void child(const struct mi_launch *l, int start_fd)
{
	char **env, **end;

	for (int i = 0; i < 3; i++)
		if (l->fds[i] != i && dup2(l->fds[i], i) < 0)
			_exit(127);
	if (dup3(start_fd, START_FD, O_CLOEXEC) < 0)
		_exit(127);
	if (syscall(SYS_close_range, START_FD + 1U, ~0U, 0U) < 0)
		give_up(MI_STEP_SETUP, errno);
	(void)setsid();
	if ((l->flags & MI_EXEC_TTY) && ioctl(0, TIOCSCTTY, 0) < 0)
		give_up(MI_STEP_SETUP, errno);
	(void)umask(022);
	be_first_to_die();
	if (l->flags & MI_EXEC_MKCWD)
		make_dirs(l->run.cwd);
	become(l->uid, l->gid, l->user);
	enter(l->run.cwd);
	(void)umask((mode_t)l->umask);
	env = point(list, l->run.argv, l->run.argv_len);
	end = point(env, l->run.env, l->run.env_len);
	end = add(env, end, l->device_env, l->device_env_len);
	if (l->user && l->user->home[0] && !has(env, "HOME="))
		end[-1] = home_of(l->user), end[0] = NULL;
	reset_signals();
	give_up(MI_STEP_EXEC, execute(list, env));
}

pid_t mi_launch(const struct mi_launch *l, int *ret_start_fd)
{
	int p[2], sys;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -1;
	(void)fcntl(p[0], F_SETFL, O_NONBLOCK);
	pid = fork();
	if (pid == 0)
		child(l, p[1]);
	sys = errno;
	(void)close(p[1]);
	if (pid < 0) {
		(void)close(p[0]);
		errno = sys;
		return -1;
	}
	*ret_start_fd = p[0];
	return pid;
}
