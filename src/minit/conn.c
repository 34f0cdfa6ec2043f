#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "logfmt.h"
#include "minit.h"
#include "msgio.h"

#define OVERFLOW_UID 65534U /* who has no number in a user namespace */
#define ACCEPTS	     32	    /* in one turn of the loop */

enum state {
	FREE,
	IDLE,	  /* a connection that did not ask for an exec yet */
	STARTING, /* forked; the start pipe is open */
	RUNNING,
	DONE,	  /* and may ask for another */
};

static struct slot {
	int fd;	      /* the connection; none for the command */
	int start_fd; /* while STARTING */
	pid_t pid;    /* while STARTING or RUNNING: not reaped, so the number is this process's */
	uint32_t gen;
	uint8_t state;
	bool ending;  /* it was told to end: what is left of its group when it has goes with it */
	uint8_t about; /* of a connection: the place of the kept exec that it is about, plus one; 0: none */
} slots[1 + MI_CONNS_MAX + MI_KEEPS_MAX];

/* The kept ones have slots of their own behind the connections', since they have none. */
#define KEPT	   (slots + 1 + MI_CONNS_MAX)
#define SLOTS_END  (slots + 1 + MI_CONNS_MAX + MI_KEEPS_MAX)
#define IS_KEPT(s) ((s) >= KEPT)
#define PLACE(s)   ((int)((s) - KEPT))

static unsigned n_execs, n_conns;

/* One message at a time. Given back to the kernel after a long one. */
static _Alignas(4096) char msg[MI_MSG_MAX];

unsigned mi_execs(void)
{
	return n_execs;
}

static bool has_process(const struct slot *s)
{
	return s->state == STARTING || s->state == RUNNING;
}

static void leave_process(struct slot *s, enum state state)
{
	if (has_process(s) && s != &slots[0])
		n_execs--;
	if (s->state == STARTING)
		mi_unwatch_close(&s->start_fd);
	s->pid = 0;
	s->ending = false;
	s->state = (uint8_t)state;
}

/* The process may not have made its group yet: then it is alone. */
static void signal_process(struct slot *s, int sig)
{
	/* What a terminal's user sends it is a key like others. */
	s->ending |= (sig == SIGTERM || sig == SIGKILL) && !(IS_KEPT(s) && mi_keep_is_tty(PLACE(s)));
	if (kill(-s->pid, sig) < 0)
		(void)kill(s->pid, sig);
}

static void drop(struct slot *s)
{
	if (has_process(s)) {
		(void)kill(-s->pid, SIGKILL);
		(void)kill(s->pid, SIGKILL);
	}
	leave_process(s, FREE);
	mi_unwatch_close(&s->fd);
	s->gen++;
	n_conns--;
}

/* A client that does not take its answers is dropped. */
static bool answer_msg(struct slot *s, const struct mi_msg *m, const void *more, size_t len, const int *fds, unsigned n_fds)
{
	if (mi_send(s->fd, m, more, len, fds, n_fds))
		return true;
	drop(s);
	return false;
}

static bool answer_fds(struct slot *s, uint32_t kind, uint32_t arg, uint32_t arg2, const void *more, size_t len, const int *fds,
		       unsigned n_fds)
{
	const struct mi_msg m = {.magic = MI_MAGIC, .kind = kind, .arg = arg, .arg2 = arg2};

	return answer_msg(s, &m, more, len, fds, n_fds);
}

static bool answer(struct slot *s, uint32_t kind, uint32_t arg, uint32_t arg2, const void *more, size_t len)
{
	return answer_fds(s, kind, arg, arg2, more, len, NULL, 0);
}

/* To every connection that is about the exec of S: its own, or those attached to a kept one. DONE: for the last time. */
static void tell(const struct slot *of, uint32_t kind, uint32_t arg, uint32_t arg2, bool done)
{
	struct mi_kept kept;
	int fds[2];
	unsigned n = 0;

	if (!IS_KEPT(of)) {
		(void)answer((struct slot *)of, kind, arg, arg2, NULL, 0);
		return;
	}
	if (kind == MI_STARTED) {
		mi_keep_tell(PLACE(of), &kept, fds, &n);
		n = kept.tty ? 1 : 0;
	}
	for (struct slot *s = slots + 1; s < KEPT; s++) {
		if (s->state == FREE || s->about != PLACE(of) + 1)
			continue;
		if (done)
			s->about = 0;
		(void)answer_fds(s, kind, arg, arg2, NULL, 0, fds, n);
	}
}

static void refuse(struct slot *s, int sys)
{
	if (answer(s, MI_ERROR, 0, (uint32_t)sys, NULL, 0))
		drop(s);
}

static bool may_ask(int fd)
{
	struct ucred c;
	socklen_t len = sizeof(c);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &len) < 0)
		return false;
	if (mi.pid1)
		return c.pid == 0 && (c.uid == OVERFLOW_UID || c.uid == getuid());
	return c.uid == getuid();
}

bool mi_conn_accept(int listen_fd)
{
	for (unsigned i = 0; i < ACCEPTS && n_conns < MI_CONNS_MAX; i++) {
		int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct slot *s = &slots[1];

		if (fd < 0)
			return errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS;
		while (s->state != FREE)
			s++;
		if (!may_ask(fd) || !mi_watch(fd, MI_SRC_CONN, (unsigned)(s - slots), s->gen)) {
			(void)close(fd);
			continue;
		}
		*s = (struct slot){.fd = fd, .start_fd = -1, .gen = s->gen, .state = IDLE};
		n_conns++;
	}
	return n_conns < MI_CONNS_MAX;
}

static int start(struct slot *s, const struct mi_launch *l)
{
	pid_t pid;

	if (mi.stopping)
		return ESHUTDOWN;
	if (n_execs >= MI_EXECS_MAX)
		return EAGAIN;
	pid = mi_launch(l, &s->start_fd);
	if (pid < 0)
		return errno;
	s->pid = pid;
	s->state = STARTING;
	if (s != &slots[0])
		n_execs++;
	if (!mi_watch(s->start_fd, MI_SRC_START, (unsigned)(s - slots), s->gen)) {
		int sys = errno;

		(void)kill(pid, SIGKILL);
		leave_process(s, DONE);
		return sys;
	}
	return 0;
}

/* The start pipe has something to say, or must have since the process is gone. */
static void started(struct slot *s)
{
	struct mi_start_error e = {0};
	ssize_t n = read(s->start_fd, &e, sizeof(e));
	uint32_t pid = (uint32_t)s->pid;
	bool command = s == &slots[0];

	if (n < 0)
		return;
	if (n == 0) {
		mi_unwatch_close(&s->start_fd);
		s->state = RUNNING;
		if (IS_KEPT(s))
			mi_keep_started(PLACE(s), s->pid);
		if (command)
			mi_say(LOG_INFO, "command started");
		else
			tell(s, MI_STARTED, pid, 0, false);
		return;
	}
	leave_process(s, IS_KEPT(s) ? FREE : DONE);
	if (!command) {
		tell(s, MI_FAILED, e.step, e.sys, true);
		if (IS_KEPT(s))
			mi_keep_drop(PLACE(s));
		return;
	}
	mi_say(LOG_ERROR, "cannot execute the command: ", e.step == MI_STEP_CWD ? "working directory: " : "", strerror((int)e.sys));
	mi_command_ended(mi_exec_failed_code(e.sys), 0);
}

void mi_start_event(unsigned slot, uint32_t gen)
{
	struct slot *s = &slots[slot];

	if (s->gen == gen && s->state == STARTING)
		started(s);
}

static void ended(struct slot *s, int code, int sig)
{
	if (s->state == STARTING)
		started(s);
	if (s->state != RUNNING)
		return;
	leave_process(s, IS_KEPT(s) ? FREE : DONE);
	if (IS_KEPT(s))
		mi_keep_ended(PLACE(s), code, sig);
	if (s == &slots[0])
		mi_command_ended(code, sig);
	else
		tell(s, MI_EXITED, (uint32_t)code, (uint32_t)sig, true);
}

static struct slot *slot_of(pid_t pid)
{
	for (struct slot *s = slots; s < SLOTS_END; s++)
		if (has_process(s) && s->pid == pid)
			return s;
	return NULL;
}

bool mi_reap(void)
{
	for (;;) {
		siginfo_t si = {0};
		struct slot *s;
		int sig;

		/* Looked at, and reaped below: so long its number means its group. */
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0)
			return errno != ECHILD;
		if (si.si_pid == 0)
			return true;
		s = slot_of(si.si_pid);
		/* The command's rest has its own time to end (mi_stop_step). */
		if (s && s->ending && s != &slots[0])
			(void)kill(-s->pid, SIGKILL);
		(void)waitid(P_PID, (id_t)si.si_pid, &si, WEXITED | WNOHANG);
		sig = si.si_code == CLD_EXITED ? 0 : si.si_status;
		if (s)
			ended(s, sig ? 128 + sig : si.si_status, sig);
	}
}

/* The kept one is the process of a slot of its own; this connection hears of it. */
static int start_kept(struct slot *s, struct mi_launch *l, const struct mi_msg *m)
{
	struct mi_keep_fds fds = {l->fds[0], -1, -1};
	bool tty = l->flags & MI_EXEC_TTY;
	int place = mi_keep_make(l->run.key, tty, m->arg2, m->arg, &fds), sys = errno;
	struct slot *kept;

	if (place >= 0) {
		kept = KEPT + place;
		kept->fd = kept->start_fd = -1;
		kept->gen++;
		l->fds[0] = fds.in;
		l->fds[1] = fds.out;
		l->fds[2] = fds.err;
		sys = start(kept, l);
		if (sys == 0) {
			s->about = (uint8_t)(place + 1);
		} else {
			kept->state = FREE;
			mi_keep_drop(place);
		}
	}
	if (tty && fds.in >= 0)
		(void)close(fds.in);
	if (!tty && fds.out >= 0)
		(void)close(fds.out);
	if (!tty && fds.err >= 0)
		(void)close(fds.err);
	return sys;
}

static void not_started(struct slot *s, int sys)
{
	const struct mi_msg m = {.magic = MI_MAGIC, .kind = MI_FAILED, .arg = MI_STEP_FORK, .arg2 = (uint32_t)sys,
				 .flags = sys == EAGAIN ? mi_keep_n_ended() : 0};

	s->state = DONE;
	(void)answer_msg(s, &m, NULL, 0, NULL, 0);
}

static void on_exec(struct slot *s, const struct mi_msg *m, const struct mi_run *run, const int *fds)
{
	bool keep = m->flags & MI_EXEC_KEEP;
	struct mi_launch l = {
		.run = *run,
		.uid = m->uid == MI_ID_DEFAULT ? mi.uid : m->uid,
		.gid = m->gid == MI_ID_DEFAULT ? mi.gid : m->gid,
		.umask = mi.umask,
		.user = m->uid == MI_ID_DEFAULT && m->gid == MI_ID_DEFAULT ? &mi.user : NULL,
		.flags = m->flags,
		.device_env = mi.device_env,
		.device_env_len = mi.device_env_len,
		.fds = {m->flags & MI_EXEC_TTY ? -1 : fds[0], keep ? -1 : fds[1], keep ? -1 : fds[2]},
	};
	int sys;

	if ((s->state != IDLE && s->state != DONE) || s->about) {
		refuse(s, EBUSY);
		return;
	}
	if (l.run.cwd[0] == '\0')
		l.run.cwd = mi.cwd;
	sys = mi.stopping ? ESHUTDOWN : keep ? start_kept(s, &l, m) : start(s, &l);
	if (sys != 0)
		not_started(s, sys);
}

static void on_attach(struct slot *s, const char *key)
{
	int place = mi_keep_find(key), fds[2];
	struct mi_kept kept;
	unsigned n;

	if (place < 0) {
		(void)answer(s, MI_FAILED, MI_STEP_NONE, ENOENT, NULL, 0);
		return;
	}
	mi_keep_tell(place, &kept, fds, &n);
	s->about = kept.ended ? 0 : (uint8_t)(place + 1);
	(void)answer_fds(s, MI_KEPT, 0, 0, &kept, sizeof(kept), fds, n);
}

static void on_forget(struct slot *s, const char *key)
{
	int place = mi_keep_find(key);

	if (place >= 0 && !mi_keep_has_ended(place)) {
		struct slot *kept = KEPT + place;

		if (has_process(kept)) {
			(void)kill(-kept->pid, SIGKILL);
			(void)kill(kept->pid, SIGKILL);
		}
		leave_process(kept, FREE);
		kept->gen++;
		tell(kept, MI_EXITED, 128 + SIGKILL, SIGKILL, true);
	}
	if (place >= 0)
		mi_keep_drop(place);
	(void)answer(s, MI_GONE, 0, 0, NULL, 0);
}

/* From inside, with what a process of the container may: a path leads nowhere else. A stream socket of AF_UNIX connects at once or not at all. */
static void on_dial(struct slot *s, const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), sys = 0;

	memcpy(to.sun_path, path, strlen(path) + 1); /* frame.c: it fits */
	if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
		sys = errno;
	if (sys == 0)
		(void)answer_fds(s, MI_DIALED, 0, 0, NULL, 0, &fd, 1);
	else
		(void)answer(s, MI_FAILED, MI_STEP_NONE, (uint32_t)sys, NULL, 0);
	if (fd >= 0)
		(void)close(fd);
}

void mi_keep_signal(int place, int sig)
{
	if (has_process(KEPT + place))
		signal_process(KEPT + place, sig);
}

static void on_signal(struct slot *s, int sig)
{
	/* The process may have ended while the request was on its way: not an error. */
	if (s->about)
		mi_keep_signal(s->about - 1, sig);
	else if (has_process(s))
		signal_process(s, sig);
	else if (s->state == IDLE)
		refuse(s, ESRCH);
}

static void obey(struct slot *s, const struct mi_msg *m, const struct mi_run *run, const int *fds)
{
	struct mi_pong pong = {MI_VERSION, mi.command_state, mi.command_exit, n_execs, mi_mono_ms() - mi.started_mono_ms};

	switch (m->kind) {
	case MI_PING:
		(void)answer(s, MI_PONG, 0, 0, &pong, sizeof(pong));
		break;
	case MI_EXEC:
		on_exec(s, m, run, fds);
		break;
	case MI_SIGNAL:
		on_signal(s, (int)m->arg);
		break;
	case MI_STOP:
		mi_stop();
		break;
	case MI_ATTACH:
		on_attach(s, run->key);
		break;
	case MI_FORGET:
		on_forget(s, run->key);
		break;
	case MI_DIAL:
		on_dial(s, run->cwd);
		break;
	case MI_SAVED:
		mi_keep_saved(m->arg);
		(void)answer(s, MI_GONE, 0, 0, NULL, 0);
		break;
	}
}

void mi_conn_event(unsigned slot, uint32_t gen)
{
	struct slot *s = &slots[slot];
	struct mi_run run;
	int fds[MI_FDS_ROOM], sys;
	unsigned n;
	size_t len;

	if (s->gen != gen || s->state == FREE)
		return;
	len = mi_receive(s->fd, msg, sizeof(msg), fds, &n);
	if (len == 0) {
		drop(s);
	} else {
		sys = mi_check_request(msg, len, n, &run);
		if (sys != 0)
			refuse(s, sys);
		else
			obey(s, (const struct mi_msg *)msg, &run, fds);
	}
	while (n > 0)
		(void)close(fds[--n]);
	if (len > 8192)
		(void)madvise(msg, sizeof(msg), MADV_DONTNEED);
}

bool mi_command_start(const struct mi_run *run)
{
	struct mi_launch l = {.run = *run, .uid = mi.uid, .gid = mi.gid, .umask = mi.umask, .user = &mi.user, .fds = {0, 1, 2},
			      .device_env = mi.device_env, .device_env_len = mi.device_env_len};
	int sys = 0;

	slots[0].fd = -1;
	mi.command_state = 1;
	if (!mi_output_open(l.fds))
		sys = errno;
	if (sys == 0)
		sys = start(&slots[0], &l);
	for (unsigned i = 1; i < 3; i++)
		if (l.fds[i] > 2)
			(void)close(l.fds[i]);
	if (sys != 0) {
		mi_say(LOG_ERROR, "cannot start the command: ", strerror(sys));
		mi_command_ended(126, 0);
	}
	return sys == 0;
}

/* An interactive shell pays SIGTERM no heed: a terminal's end is a hang-up. */
static void hang_up(void)
{
	for (struct slot *s = slots + 1; s < SLOTS_END; s++) {
		if (!IS_KEPT(s) || !has_process(s) || !mi_keep_is_tty(PLACE(s)))
			continue;
		signal_process(s, SIGHUP);
		signal_process(s, SIGCONT);
	}
}

void mi_stop_step(void)
{
	hang_up();
	if (has_process(&slots[0])) {
		signal_process(&slots[0], (int)mi.stop_signal);
		signal_process(&slots[0], SIGCONT);
		return;
	}
	if (mi.pid1) {
		(void)kill(-1, SIGTERM);
		(void)kill(-1, SIGCONT);
		return;
	}
	for (struct slot *s = slots + 1; s < SLOTS_END; s++)
		if (has_process(s))
			signal_process(s, SIGTERM);
}
