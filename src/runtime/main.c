/* quilt-runtime: the only privileged program. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cleanup.h"
#include "dnssock.h"
#include "harden.h"
#include "installed.h"
#include "log.h"
#include "num.h"
#include "ops.h"
#include "peer.h"
#include "sessions.h"
#include "str.h"

static const char usage[] =
	"usage: quilt-runtime [-c FILE]\n"
	"       quilt-runtime [-c FILE] --shutdown\n"
	"       quilt-runtime --privileges | --protocol | --version | --help\n"
	"\n"
	"Makes and ends containers for the programs of Quilt; listens on RUN_DIR/runtime.sock. Started by root.\n"
	"\n"
	"  -c, --config FILE  settings (default " QT_CONF_PATH ")\n"
	"      --shutdown     when no runtime runs: end all containers, record that, and take links, packet filter and cgroups away\n"
	"      --privileges   print what it does for whom, and with which privileges (markdown)\n"
	"      --protocol     print the protocol on its socket (markdown)\n"
	"      --version      print the version and exit\n"
	"  -h, --help         print this and exit\n";

enum mode { SERVE, SHUTDOWN };

struct signals {
	struct rt *rt;
	int fd;
	rt_watch_t watch;
};

static void on_signal(void *arg, uint32_t events)
{
	struct signals *s = arg;
	struct signalfd_siginfo si;

	(void)events;
	if (read(s->fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	if (si.ssi_signo == SIGHUP)
		qt_log(QT_LOG_INFO, "SIGHUP: the runtime reads its settings at start only");
	else
		rt_loop_stop(s->rt->loop);
}

static int watch_signals(struct signals *s, struct rt *rt, struct qt_err *e)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	s->rt = rt;
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return qt_fail_sys(e, errno, "sigprocmask");
	s->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->fd < 0)
		return qt_fail_sys(e, errno, "signalfd");
	return rt_loop_add(rt->loop, s->fd, EPOLLIN, on_signal, s, &s->watch, e);
}

struct watchdog {
	struct rt *rt;
	struct rt_timer timer;
	uint32_t every_ms;
};

static void still_here(void *arg)
{
	struct watchdog *w = arg;
	struct qt_err e = {0};

	rt_notify("WATCHDOG=1");
	if (rt_timer_set(w->rt->loop, &w->timer, w->every_ms, still_here, w, &e) < 0)
		qt_log_err(QT_LOG_ERROR, &e, "the watchdog is not fed any more");
}

static void feed_watchdog(struct watchdog *w, struct rt *rt)
{
	const char *usec = getenv("WATCHDOG_USEC");
	uint64_t n;

	w->rt = rt;
	if (!usec || !qt_u64(&n, usec, 10000, 3600000000U))
		return;
	w->every_ms = (uint32_t)(n / 3000);
	still_here(w);
}

/* Links whose container is gone, and whose namespace an open connection keeps: looked for now and then, since nothing tells of them. */
#define REAP_EVERY_MS 1000

struct reaper {
	struct rt *rt;
	struct rt_timer timer;
};

static void reap_links(void *arg)
{
	struct reaper *p = arg;
	struct qt_err e = {0};

	(void)rt_net_reap(p->rt->net);
	if (rt_timer_set(p->rt->loop, &p->timer, REAP_EVERY_MS, reap_links, p, &e) < 0)
		qt_log_err(QT_LOG_ERROR, &e, "links that linger are not removed any more");
}

struct checker {
	struct rt *rt;
	struct rt_timer timer;
};

static void check_net(void *arg)
{
	struct checker *c = arg;
	struct qt_err e = {0}, again = {0};
	int r = rt_net_check(c->rt->net, &e);

	if (r > 0)
		qt_log(QT_LOG_WARN, "somebody changed the packet filter: it was made anew");
	else if (r < 0 && e.sys != EINTR) /* others change theirs all the time */
		qt_log_err(QT_LOG_WARN, &e, "the packet filter could not be compared; it is tried again");
	if (rt_timer_set(c->rt->loop, &c->timer, (uint32_t)c->rt->conf.net_check_s * 1000, check_net, c, &again) < 0)
		qt_log_err(QT_LOG_ERROR, &again, "the packet filter is not compared any more");
}

static int serve(struct rt *rt, struct qt_err *e)
{
	struct signals signals = {.fd = -1};
	struct qt_err no_dns = {0};
	struct watchdog dog = {0};
	struct reaper reaper = {.rt = rt};
	struct checker checker = {.rt = rt};
	const char *minit = rt->conf.minit_path[0] ? rt->conf.minit_path : QT_LIBEXECDIR "/quilt-minit";
	const char *files = rt->conf.files_path[0] ? rt->conf.files_path : QT_LIBEXECDIR "/quilt-files";
	int r = -1;

	if (rt_sessions_open(&rt->sessions, rt, files, e) < 0)
		return qt_context(e, "%s", files);
	if (rt_spawner_open(&rt->spawner, minit, e) < 0)
		return qt_context(e, "%s", minit);
	if (rt->conf.dns && rt_dns_open(rt->dns_fd, rt_net_gateway(rt->net), &no_dns) < 0)
		/* One that was restarted: the resolver still has the sockets of before, and needs no others. */
		qt_log_err(QT_LOG_INFO, &no_dns, "the resolver's sockets are not opened now");
	if (watch_signals(&signals, rt, e) < 0 || rt_sweep(rt, e) < 0 || rt_peers_open(&rt->peers, rt, e) < 0)
		goto out;
	qt_log(QT_LOG_INFO, "ready: %u containers, cgroup v%u, storage %s", rt->ctrs.n, rt_cgroups_version(rt->cgroups),
	       rt_store_driver_name(&rt->store));
	rt_notify("READY=1");
	feed_watchdog(&dog, rt);
	reap_links(&reaper);
	check_net(&checker);
	rt_spares_open(rt);
	r = rt_loop_run(rt->loop, e);
	rt_notify("STOPPING=1");
	qt_log(QT_LOG_INFO, "ending; containers run on");
out:
	rt_timer_clear(rt->loop, &dog.timer);
	rt_timer_clear(rt->loop, &reaper.timer);
	rt_timer_clear(rt->loop, &checker.timer);
	rt_peers_close(rt->peers);
	rt->peers = NULL;
	rt_sessions_close(qt_take(&rt->sessions)); /* conversations end; their clients retry */
	rt_loop_del(rt->loop, &signals.watch);
	qt_close(signals.fd);
	return r;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"shutdown", no_argument, NULL, 's'},	{"privileges", no_argument, NULL, 'p'},
		{"protocol", no_argument, NULL, 'w'},	{"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},	{NULL, 0, NULL, 0},
	};
	const char *conf = NULL;
	enum mode mode = SERVE;
	struct qt_err e = {0};
	struct rt rt;
	int o, r;

	while ((o = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (o) {
		case 'c':
			conf = optarg;
			break;
		case 's':
			mode = SHUTDOWN;
			break;
		case 'p':
			rt_print_privileges(stdout);
			return 0;
		case 'w':
			rt_print_protocol(stdout);
			return 0;
		case 'v':
			puts("quilt-runtime " PACKAGE_VERSION);
			return 0;
		case 'h':
			fputs(usage, stdout);
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
	qt_log_init("quilt-runtime", QT_LOG_INFO);

	/* The order matters: each line relies on those above it. Nobody is served before all of it is done. */
	if (rt_harden(&e) < 0) {
		qt_log_err(QT_LOG_ERROR, &e, "cannot start");
		return 1;
	}
	r = rt_open(&rt, conf, &e);
	if (r == 0)
		r = mode == SHUTDOWN ? rt_shutdown(&rt, &e) : serve(&rt, &e);
	if (r < 0)
		qt_log_err(QT_LOG_ERROR, &e, mode == SHUTDOWN ? "cannot shut down" : "cannot run");
	rt_close(&rt);
	return r < 0 ? 1 : 0;
}
