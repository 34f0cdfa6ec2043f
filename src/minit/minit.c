/* quilt-minit - PID 1 of every container: starts the command, runs execs, reaps, keeps the log. See proto.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "logw.h"
#include "minit.h"

#define EXIT_SETUP 70

struct mi_init mi;

static int signal_fd = -1;
static bool listening;
static _Alignas(4096) char config[MI_MSG_MAX];

static uint64_t ms_of(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t mi_now_ms(void)
{
	return ms_of(CLOCK_REALTIME);
}

uint64_t mi_mono_ms(void)
{
	return ms_of(CLOCK_MONOTONIC);
}

bool mi_watch(int fd, enum mi_source source, unsigned slot, uint32_t gen)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = (uint64_t)source << 56 | (uint64_t)slot << 32 | gen};

	return epoll_ctl(mi.epoll, EPOLL_CTL_ADD, fd, &e) == 0;
}

/* A child between fork and exec may hold a copy, with which the registration would live on. */
void mi_unwatch_close(int *fd)
{
	if (*fd < 0)
		return;
	(void)epoll_ctl(mi.epoll, EPOLL_CTL_DEL, *fd, NULL);
	(void)close(*fd);
	*fd = -1;
}

void mi_write_status(bool exiting, int exit_code)
{
	struct mi_status st = {
		.magic = MI_MAGIC,
		.command_state = mi.command_state,
		.command_exit = mi.command_exit,
		.exiting = exiting,
		.exit_code = exit_code,
		.command_ended_ms = mi.command_ended_ms,
		.exited_ms = exiting ? mi_now_ms() : 0,
	};
	ssize_t n = pwrite(MI_FD_STATUS, &st, sizeof(st), 0);

	(void)n;
}

void mi_command_ended(int code, int sig)
{
	char b[12], c[12];

	mi_output_drain();
	mi.command_state = 2;
	mi.command_exit = code;
	mi.command_ended_ms = mi_now_ms();
	if (sig)
		mi_say(LOG_WARN, "command ended by signal ", mi_num(b, sig), ", exit code ", mi_num(c, code));
	else
		mi_say(code ? LOG_WARN : LOG_INFO, "command exited with code ", mi_num(b, code));
	mi_write_status(false, 0);
	if (mi.stopping)
		mi_stop_step();
}

void mi_stop(void)
{
	if (!mi.stopping)
		mi_say(LOG_INFO, "container stopping");
	mi.stopping = true;
	mi_stop_step();
}

static _Noreturn void leave(void)
{
	mi_output_drain();
	mi_say(LOG_INFO, "container stopped");
	logw_flush();
	mi_write_status(true, mi.command_exit);
	_exit(mi.command_exit);
}

/* Whoever is in the container can send signals and give them any sender: only kill(2) from outside shows pid 0 with SI_USER. */
static void on_signal(void)
{
	struct signalfd_siginfo si;

	while (read(signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		if (si.ssi_signo == SIGTERM && si.ssi_code == SI_USER && (!mi.pid1 || si.ssi_pid == 0))
			mi_stop();
}

static void listen_again(void)
{
	if (!listening)
		listening = mi_watch(MI_FD_LISTEN, MI_SRC_LISTEN, 0, 0);
}

static void on_listen(void)
{
	if (mi_conn_accept(MI_FD_LISTEN))
		return;
	(void)epoll_ctl(mi.epoll, EPOLL_CTL_DEL, MI_FD_LISTEN, NULL);
	listening = false;
}

static void dispatch(uint64_t data)
{
	unsigned slot = (unsigned)(data >> 32) & 0xffffffU;
	uint32_t gen = (uint32_t)data;

	switch ((enum mi_source)(data >> 56)) {
	case MI_SRC_LISTEN:
		on_listen();
		break;
	case MI_SRC_SIGNAL:
		on_signal();
		break;
	case MI_SRC_OUTPUT:
		mi_output_read(slot);
		break;
	case MI_SRC_CONN:
		mi_conn_event(slot, gen);
		break;
	case MI_SRC_START:
		mi_start_event(slot, gen);
		break;
	case MI_SRC_KEEP:
		mi_keep_read(slot);
		break;
	}
}

static _Noreturn void loop(void)
{
	struct epoll_event ev[32];

	for (;;) {
		int n;

		if (!mi_reap() && mi.stopping)
			leave();
		logw_flush();
		n = epoll_wait(mi.epoll, ev, 32, mi_keep_due(listening ? -1 : 200, mi_keep_signal));
		for (int i = 0; i < n; i++)
			dispatch(ev[i].data.u64);
		listen_again();
	}
}

static void tell(uint32_t step, int sys)
{
	struct mi_ready r = {MI_MAGIC, step, (uint32_t)sys};
	ssize_t n = write(MI_FD_READY, &r, sizeof(r));

	(void)n;
	(void)close(MI_FD_READY);
}

static _Noreturn void fail(uint32_t step, int sys)
{
	tell(step, sys);
	_exit(EXIT_SETUP);
}

static size_t read_config(void)
{
	size_t len = 0;

	/* Its writer's file offset is ours too. */
	(void)lseek(MI_FD_CONFIG, 0, SEEK_SET);
	for (;;) {
		ssize_t n = len < sizeof(config) ? read(MI_FD_CONFIG, config + len, sizeof(config) - len) : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			fail(MI_STEP_CONFIG, errno);
		if (n == 0)
			return len;
		len += (size_t)n;
	}
}

static void configure(struct mi_run *run)
{
	const struct mi_config *c = (const struct mi_config *)config;
	int sys = mi_check_config(config, read_config(), run);

	if (sys != 0)
		fail(MI_STEP_CONFIG, sys);
	(void)close(MI_FD_CONFIG);
	mi.uid = c->uid;
	mi.gid = c->gid;
	if (c->user_len > 0) {
		sys = mi_user_look_up(run->key, &mi.user);
		if (sys != 0)
			fail(MI_STEP_USER, sys);
		mi.uid = mi.user.uid;
		mi.gid = mi.user.gid;
	}
	mi.umask = c->umask;
	mi.device_env = run->env + c->env_len - c->device_env_len; /* there the configuration stays, then */
	mi.device_env_len = c->device_env_len;
	mi.stop_signal = c->stop_signal;
	memcpy(mi.cwd, run->cwd, c->cwd_len);
	run->cwd = mi.cwd;
	/* The tenant may have put a file where it was. Not kept: a working directory cannot be unmounted or removed. */
	if (chdir(mi.cwd) < 0)
		fail(MI_STEP_CWD, errno);
	if (chdir("/") < 0)
		fail(MI_STEP_SETUP, errno);
	logw_open(MI_FD_LOG, c->log_file_bytes);
}

static void set_up_signals(void)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL}, ign = {.sa_handler = SIG_IGN};
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SIGTERM);
	if (!mi.pid1)
		mi_launch_no_signals();
	/* Ignored, it would let nobody wait for children. */
	(void)sigaction(SIGCHLD, &dfl, NULL);
	(void)sigaction(SIGPIPE, &ign, NULL);
	if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
		fail(MI_STEP_SETUP, errno);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signal_fd < 0 || !mi_watch(signal_fd, MI_SRC_SIGNAL, 0, 0))
		fail(MI_STEP_SETUP, errno);
}

static void set_up_fds(void)
{
	for (int fd = 0; fd <= MI_FD_READY; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (flags < 0 || (fd > 2 && fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0))
			fail(MI_STEP_SETUP, errno);
	}
	if (syscall(SYS_close_range, MI_FD_READY + 1U, ~0U, 0U) < 0)
		fail(MI_STEP_SETUP, errno);
	mi.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (mi.epoll < 0 || fcntl(MI_FD_LISTEN, F_SETFL, O_NONBLOCK) < 0)
		fail(MI_STEP_SETUP, errno);
}

int main(void)
{
	struct mi_run run;

	mi.started_mono_ms = mi_mono_ms();
	mi.pid1 = getpid() == 1;
	set_up_fds();
	/* Or the container's root could look into our descriptors, and trace us. */
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || (!mi.pid1 && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0))
		fail(MI_STEP_SETUP, errno);
	(void)prctl(PR_SET_NAME, "minit");
	set_up_signals();
	configure(&run);
	mi_launch_init();
	listen_again();
	if (!listening)
		fail(MI_STEP_SETUP, errno);
	mi_say(LOG_INFO, "container started");
	mi_write_status(false, 0);
	logw_flush();
	/* Until here the runtime's death was to be ours; from here on the container outlives it. */
	if (prctl(PR_SET_PDEATHSIG, 0) < 0)
		fail(MI_STEP_SETUP, errno);
	tell(MI_STEP_NONE, 0);
	if (run.argv_len > 0) {
		(void)mi_command_start(&run);
		mi_write_status(false, 0);
	}
	if (mi.device_env_len == 0)
		(void)madvise(config, sizeof(config), MADV_DONTNEED);
	loop();
}
