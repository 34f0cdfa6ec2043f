#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "cleanup.h"
#include "clock.h"
#include "images.h"
#include "installed.h"
#include "log.h"
#include "str.h"

#define STOP_WAIT_S 10 /* for operations under way; what is not done by then goes on with the next agent */

static const char usage[] = "Usage: quilt-agent [-c FILE] [--redis-secret FILE]\n"
			    "The node's agent: executes operations, mends the state store from the runtime.\n"
			    "  -c, --config FILE        settings (default " QT_CONF_PATH ")\n"
			    "      --redis-secret FILE  user:password for Redis, instead of the setting redis_secret_file\n"
			    "      --version            print the version and exit\n"
			    "  -h, --help               print this and exit\n";

static void due_locked(struct agent *a, const struct qt_id *id, enum agent_due_kind kind, int64_t at)
{
	for (unsigned i = 0; i < a->n_due; i++)
		if (a->due[i].kind == kind && qt_streq(a->due[i].id.s, id->s))
			return;
	if (a->n_due == AGENT_DUE_MAX) {
		a->all_due = true; /* that finds the same, save for memory events */
		return;
	}
	a->due[a->n_due++] = (struct agent_due){*id, at, kind};
}

void agent_due(struct agent *a, const struct qt_id *id, enum agent_due_kind kind, int delay_ms)
{
	(void)pthread_mutex_lock(&a->lock);
	due_locked(a, id, kind, qt_mono_ms() + delay_ms);
	(void)pthread_cond_signal(&a->wake);
	(void)pthread_mutex_unlock(&a->lock);
}

void agent_all_due(struct agent *a)
{
	(void)pthread_mutex_lock(&a->lock);
	a->all_due = true;
	(void)pthread_cond_signal(&a->wake);
	(void)pthread_mutex_unlock(&a->lock);
}

void agent_pause(struct agent *a, int ms)
{
	int64_t until = qt_mono_ms() + ms;

	while (!atomic_load(&a->stopping) && qt_left_ms(until) > 0) {
		const struct timespec t = {.tv_nsec = (qt_left_ms(until) < 100 ? qt_left_ms(until) : 100) * 1000000L};

		(void)nanosleep(&t, NULL);
	}
}

void agent_trouble(struct agent_trouble *t, const struct qt_err *e)
{
	if (!t->now)
		qt_log_err(QT_LOG_WARN, e, "%s", t->what);
	t->now = true;
}

void agent_well(struct agent_trouble *t)
{
	if (t->now)
		qt_log(QT_LOG_INFO, "%s: over", t->what);
	t->now = false;
}

/* For as long as this process lives: an agent takes over at once what the one before it was at (take.c). That one may still be about to end. */
static int be_alone(int dir_fd, struct qt_err *e)
{
	const struct timespec gap = {.tv_nsec = 50 * 1000000L};
	int64_t until = qt_mono_ms() + (STOP_WAIT_S + 5) * 1000;

	while (flock(dir_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return qt_fail_sys(e, errno, "lock the agent's directory below state_dir");
		if (qt_left_ms(until) == 0)
			return qt_fail(e, QT_E_CONFLICT, "another agent works with this state_dir");
		(void)nanosleep(&gap, NULL);
	}
	return 0;
}

static int open_dirs(struct agent *a, struct qt_err *e)
{
	char path[300];

	a->run_fd = open(a->conf.run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (a->run_fd < 0)
		return qt_fail_sys(e, errno, "open run_dir");
	/* Of an earlier life. */
	if (unlinkat(a->run_fd, "agent.ready", 0) < 0 && errno != ENOENT)
		return qt_fail_sys(e, errno, "remove agent.ready");
	if (!qt_fmt(path, sizeof(path), "%s/agent", a->conf.state_dir))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "state_dir is too long");
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return qt_fail_sys(e, errno, "make the agent's directory below state_dir");
	a->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (a->dir_fd < 0)
		return qt_fail_sys(e, errno, "open the agent's directory below state_dir");
	return be_alone(a->dir_fd, e) < 0 ? -1 : qt_img_pull_sweep(&a->conf, e);
}

/* Besides the slots. */
static void *(*const mains[])(void *) = {agent_take_main, agent_mend_main, agent_watch_main, agent_beat_main, agent_expire_main};

struct threads {
	pthread_t v[AGENT_SLOTS + QT_LEN(mains)];
	unsigned n;
};

static int start_thread(struct threads *t, void *(*main)(void *), void *arg, struct qt_err *e)
{
	int sys = pthread_create(&t->v[t->n], NULL, main, arg);

	if (sys != 0)
		return qt_fail_sys(e, sys, "start a thread");
	t->n++;
	return 0;
}

static int run(struct agent *a, const sigset_t *signals, struct qt_err *e)
{
	struct agent_slot_arg args[AGENT_SLOTS];
	struct threads t = {.n = 0};
	struct timespec until;
	int r = 0, sig = 0;

	for (unsigned i = 0; i < AGENT_SLOTS && r == 0; i++) {
		args[i] = (struct agent_slot_arg){a, i};
		r = start_thread(&t, agent_slot_main, &args[i], e);
	}
	for (size_t i = 0; i < QT_LEN(mains) && r == 0; i++)
		r = start_thread(&t, mains[i], a, e);
	if (r == 0) {
		qt_log(QT_LOG_INFO, "agent of node %s started", a->conf.node);
		do
			sig = sigwaitinfo(signals, NULL);
		while (sig < 0);
		qt_log(QT_LOG_INFO, "signal %d: stopping", sig);
	}
	atomic_store(&a->stopping, true);
	agent_all_due(a);
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_WAIT_S;
	for (unsigned i = 0; i < t.n; i++) {
		if (pthread_timedjoin_np(t.v[i], NULL, &until) != 0) {
			qt_log(QT_LOG_WARN, "an operation is still under way: it goes on with the next agent");
			(void)unlinkat(a->run_fd, "agent.ready", 0);
			_exit(r == 0 ? 0 : 1);
		}
	}
	(void)unlinkat(a->run_fd, "agent.ready", 0);
	return r;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'}, {"redis-secret", required_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'}, {0},
	};
	static struct agent a = {.dir_fd = -1, .run_fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};
	pthread_condattr_t monotonic;
	const char *conf = NULL, *secret = NULL;
	struct qt_err e = {0};
	sigset_t signals;
	int opt;

	while ((opt = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			conf = optarg;
			break;
		case 's':
			secret = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		case 'V':
			puts("quilt-agent (quiltd) " PACKAGE_VERSION);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind != argc) {
		fputs(usage, stderr);
		return 2;
	}
	qt_log_init("quilt-agent", QT_LOG_INFO);
	umask(027);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &signals, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&a.wake, &monotonic);
	(void)pthread_cond_init(&a.work, &monotonic);
	if (qt_conf_load_as(&a.conf, conf, secret, &e) < 0 || open_dirs(&a, &e) < 0 || run(&a, &signals, &e) < 0) {
		qt_log_err(QT_LOG_ERROR, &e, "the agent cannot run");
		return 1;
	}
	qt_log(QT_LOG_INFO, "agent ended");
	return 0;
}
