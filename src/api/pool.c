#include <errno.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "fcgi.h"
#include "handlers.h"
#include "log.h"
#include "num.h"
#include "pool.h"
#include "conns.h"
#include "lease.h"
#include "share.h"
#include "str.h"

#define BACKLOG	       511
#define FIRST_LISTEN_FD 3	/* sd_listen_fds(3) */
#define WORKERS_MAX    512	/* of both pools, old ones that still drain included */
#define THREADS_MAX    512	/* of a worker: as many as the settings allow */
#define STACK_BYTES    (512 * 1024)
#define DRAIN_MS       15000	/* a stop does not wait longer for a request */
#define RESPAWN_AFTER_MS 200	/* a worker that dies young is not replaced at once */

static struct pool {
	const char *socket_name;
	int fd;
	bool inherited;
	uint64_t workers, threads;
	struct qt_share *share; /* of the slow one: what one tenant may hold of it */
} pools[] = {{"api.sock", -1, false, 0, 0, NULL}, {"api-slow.sock", -1, false, 0, 0, NULL}};

static struct qt_leases *leases;

static struct child {
	pid_t pid;
	const struct pool *pool;
	bool draining;
	int64_t born;
} children[WORKERS_MAX];

static void take_sizes(const struct qt_conf *conf)
{
	pools[0].workers = conf->workers;
	pools[0].threads = conf->threads;
	pools[1].workers = conf->slow_workers;
	pools[1].threads = conf->slow_threads;
}

/* Sockets that systemd opened for us (contrib/systemd) are known by their names. They stay when we end: nginx waits instead of failing. */
static bool inherit(struct pool *p)
{
	struct sockaddr_un a;
	uint32_t pid, n;

	if (!qt_u32(&pid, getenv("LISTEN_PID") ? getenv("LISTEN_PID") : "", 1, INT32_MAX) || (pid_t)pid != getpid() ||
	    !qt_u32(&n, getenv("LISTEN_FDS") ? getenv("LISTEN_FDS") : "", 1, 16))
		return false;
	for (int fd = FIRST_LISTEN_FD; fd < FIRST_LISTEN_FD + (int)n; fd++) {
		socklen_t len = sizeof(a) - 1;
		const char *base;

		memset(&a, 0, sizeof(a));
		if (getsockname(fd, (struct sockaddr *)&a, &len) < 0 || a.sun_family != AF_UNIX)
			continue;
		base = strrchr(a.sun_path, '/');
		if (base && qt_streq(base + 1, p->socket_name) && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) {
			p->fd = fd;
			p->inherited = true;
			return true;
		}
	}
	return false;
}

static int open_socket(const struct qt_conf *conf, struct pool *p, struct qt_err *e)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	mode_t old;
	int r;

	if (inherit(p))
		return 0;
	if (!qt_fmt(a.sun_path, sizeof(a.sun_path), "%s/%s", conf->run_dir, p->socket_name))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "run_dir is too long for a socket");
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p->fd < 0)
		return qt_fail_sys(e, errno, "socket");
	(void)unlink(a.sun_path);
	old = umask(0117);
	r = bind(p->fd, (struct sockaddr *)&a, sizeof(a));
	(void)umask(old);
	if (r < 0 || listen(p->fd, BACKLOG) < 0)
		return qt_fail_sys(e, errno, "%s", a.sun_path);
	return 0;
}

static void woken(int sig)
{
	(void)sig;
}

/* One worker process: threads that accept, and the main thread that waits for the end. */
static void worker_main(const struct qt_conf *conf, const struct pool *p, unsigned row, pid_t master)
{
	static struct qt_worker w;
	static pthread_t threads[THREADS_MAX];
	struct sigaction wake = {.sa_handler = woken};
	int64_t deadline;
	pthread_attr_t attr;
	struct qt_err e = {0};
	sigset_t set, term;
	int sig;

	w.conf = conf;
	w.listen_fd = p->fd;
	w.share = p->share;
	w.leases = leases;
	w.row = row;
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != master || FCGX_Init() != 0 || sigaction(QT_WAKE_SIGNAL, &wake, NULL) < 0 || qt_conns_new(&w.conns, &e) < 0)
		exit(1);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	set = term;
	sigaddset(&set, QT_WAKE_SIGNAL);
	(void)pthread_sigmask(SIG_SETMASK, &set, NULL);
	(void)pthread_attr_init(&attr);
#ifndef QT_SANITIZED
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
#endif
	for (uint64_t i = 0; i < p->threads; i++) {
		int r = pthread_create(&threads[i], &attr, qt_fcgi_thread, &w);

		if (r != 0) {
			qt_log(QT_LOG_ERROR, "pthread_create: %s", strerror(r));
			exit(1);
		}
		atomic_fetch_add(&w.running, 1);
	}
	do {
		qt_conns_sweep(w.conns);
		sig = sigtimedwait(&term, NULL, &(struct timespec){.tv_sec = 1});
	} while (sig < 0);
	atomic_store(&w.stopping, true);
	for (deadline = qt_mono_ms() + DRAIN_MS; atomic_load(&w.running) > 0 && qt_mono_ms() < deadline; (void)poll(NULL, 0, 20))
		for (uint64_t i = 0; i < p->threads; i++)
			(void)pthread_kill(threads[i], QT_WAKE_SIGNAL); /* never joined: it stays a valid name */
	_exit(0);
}

/* C takes nothing new. */
static void shut(const struct pool *p, const struct child *c)
{
	if (p->share)
		qt_share_shut(p->share, (unsigned)(c - children));
}

static void spawn(const struct qt_conf *conf, const struct pool *p)
{
	struct child *c = NULL;
	pid_t pid, master = getpid();

	for (size_t i = 0; i < WORKERS_MAX && !c; i++)
		if (children[i].pid == 0)
			c = &children[i];
	if (!c)
		return;
	if (p->share)
		qt_share_open(p->share, (unsigned)(c - children), (unsigned)p->threads);
	pid = fork();
	if (pid == 0) {
		worker_main(conf, p, (unsigned)(c - children), master);
		_exit(1);
	}
	if (pid < 0) {
		qt_log(QT_LOG_ERROR, "fork: %s", strerror(errno));
		shut(p, c);
		return;
	}
	*c = (struct child){pid, p, false, qt_mono_ms()};
}

static void fill(const struct qt_conf *conf)
{
	for (size_t i = 0; i < QT_LEN(pools); i++) {
		uint64_t have = 0;

		for (size_t k = 0; k < WORKERS_MAX; k++)
			have += children[k].pid != 0 && !children[k].draining && children[k].pool == &pools[i];
		for (; have < pools[i].workers; have++)
			spawn(conf, &pools[i]);
	}
}

static unsigned drain_all(void)
{
	unsigned n = 0;

	for (size_t k = 0; k < WORKERS_MAX; k++) {
		if (children[k].pid == 0)
			continue;
		if (!children[k].draining) {
			(void)kill(children[k].pid, SIGTERM);
			shut(children[k].pool, &children[k]);
		}
		children[k].draining = true;
		n++;
	}
	return n;
}

/* Returns how long to wait before the dead are replaced. */
static int reap(void)
{
	int wait_ms = 0, status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t k = 0; k < WORKERS_MAX; k++) {
			if (children[k].pid != pid)
				continue;
			shut(children[k].pool, &children[k]);
			if (!children[k].draining) {
				qt_log(QT_LOG_WARN, "worker %d ended (%s %d)", (int)pid, WIFSIGNALED(status) ? "signal" : "exit",
				       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
				if (qt_mono_ms() - children[k].born < RESPAWN_AFTER_MS)
					wait_ms = RESPAWN_AFTER_MS;
			}
			children[k].pid = 0;
		}
	}
	return wait_ms;
}

static void reload(struct qt_conf *conf, const char *conf_path)
{
	static struct qt_conf fresh;
	struct qt_err e = {0};

	if (qt_conf_load(&fresh, conf_path, &e) < 0) {
		qt_log_err(QT_LOG_ERROR, &e, "the configuration stays as it was");
		return;
	}
	*conf = fresh;
	take_sizes(conf);
	(void)drain_all();
	fill(conf);
	qt_log(QT_LOG_INFO, "reloaded");
}

static int stop(void)
{
	int64_t deadline = qt_mono_ms() + DRAIN_MS + 2000;

	for (size_t i = 0; i < QT_LEN(pools); i++)
		if (!pools[i].inherited)
			(void)shutdown(pools[i].fd, SHUT_RDWR); /* nobody new; what is held is finished */
	while (drain_all() > 0 && qt_mono_ms() < deadline) {
		(void)poll(NULL, 0, 10);
		(void)reap();
	}
	for (size_t k = 0; k < WORKERS_MAX; k++)
		if (children[k].pid)
			(void)kill(children[k].pid, SIGKILL);
	return 0;
}

int qt_pool_run(struct qt_conf *conf, const char *conf_path)
{
	struct qt_err e = {0};
	sigset_t set;
	int sfd, wait_ms;

	qt_system_begin();
	take_sizes(conf);
	for (size_t i = 0; i < QT_LEN(pools); i++) {
		if (open_socket(conf, &pools[i], &e) < 0) {
			qt_log_err(QT_LOG_ERROR, &e, "cannot begin");
			return 1;
		}
	}
	if (qt_share_new(&pools[1].share, WORKERS_MAX, THREADS_MAX, &e) < 0 || qt_leases_new(&leases, &e) < 0) {
		qt_log_err(QT_LOG_ERROR, &e, "cannot begin");
		return 1;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	sfd = signalfd(-1, &set, SFD_CLOEXEC);
	if (sfd < 0) {
		qt_log(QT_LOG_ERROR, "signalfd: %s", strerror(errno));
		return 1;
	}
	fill(conf);
	qt_log(QT_LOG_INFO, "ready");
	for (;;) {
		struct signalfd_siginfo si;

		if (read(sfd, &si, sizeof(si)) != (ssize_t)sizeof(si))
			continue;
		switch (si.ssi_signo) {
		case SIGCHLD:
			wait_ms = reap();
			if (wait_ms)
				(void)poll(NULL, 0, wait_ms);
			fill(conf);
			break;
		case SIGHUP:
			reload(conf, conf_path);
			break;
		default:
			return stop();
		}
	}
}
