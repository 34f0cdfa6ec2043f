/* quilt-dns: the names of containers, for containers. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "client.h"
#include "clock.h"
#include "feed.h"
#include "installed.h"
#include "log.h"
#include "netdns.h"
#include "server.h"
#include "str.h"

#define BUDGET_MS 2000
#define LOOK_MS	  1000 /* at the runtime, and for the first reading */
#define WAIT_MS	  30000 /* for the runtime at start: then the keeper starts us anew */

static const char usage[] = "Usage: quilt-dns [-c FILE] [--redis-secret FILE]\n"
			    "Resolves names for the containers of this node, each tenant its own; asks nameservers for all others.\n"
			    "  -c, --config FILE        settings (default " QT_CONF_PATH ")\n"
			    "      --redis-secret FILE  user:password for Redis, instead of the setting redis_secret_file\n"
			    "      --version            print the version and exit\n"
			    "  -h, --help               print this and exit\n";

struct program {
	struct qt_conf conf;
	struct rt_client rt;
	struct dns_server server;
	int run_fd, signal_fd;
	int ready_fd; /* RUN_DIR/dns.ready, locked: so quiltctl sees that we live */
	rt_watch_t signal_watch;
	struct rt_timer look;
	bool told, runtime_away;
};

static void on_signal(void *arg, uint32_t events)
{
	struct program *p = arg;

	(void)events;
	rt_loop_stop(p->server.loop);
}

/* The sockets, from the runtime, which may be on its way up. */
static int get_sockets(struct program *p, int fds[2], struct qt_err *e)
{
	const struct rt_dns_req req = {0};
	const struct timespec gap = {.tv_nsec = 100000000};
	int64_t until = qt_mono_ms() + WAIT_MS;
	struct rt_dns_rep rep;

	while (rt_call(&p->rt, RT_DNS, &req, NULL, &rep, fds, BUDGET_MS, e) < 0) {
		if (qt_left_ms(until) == 0 || (e->code != QT_E_RUNTIME_UNAVAILABLE && e->code != QT_E_TIMEOUT))
			return -1;
		qt_err_reset(e);
		(void)nanosleep(&gap, NULL);
	}
	return 0;
}

/* The connection to the runtime is how it knows that we are there. The sockets outlive it. */
static void keep_in_touch(struct program *p)
{
	const struct rt_info_req req = {0};
	struct rt_info_rep rep;
	struct qt_err e = {0};
	bool away = rt_info(&p->rt, &req, &rep, BUDGET_MS, &e) < 0;

	if (away && !p->runtime_away)
		qt_log_err(QT_LOG_WARN, &e, "the runtime is away; names are resolved all the same");
	p->runtime_away = away;
}

static void look(void *arg)
{
	struct program *p = arg;
	struct qt_err e = {0};

	keep_in_touch(p);
	if (!p->told && dns_feed_ready(p->server.feed)) {
		p->ready_fd = openat(p->run_fd, "dns.ready", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
		p->told = p->ready_fd >= 0 && flock(p->ready_fd, LOCK_EX | LOCK_NB) == 0;
		if (!p->told)
			qt_reset_fd(&p->ready_fd, -1);
		qt_log(QT_LOG_INFO, "ready: %u nameservers", p->server.n_upstreams);
	}
	if (rt_timer_set(p->server.loop, &p->look, p->told ? LOOK_MS : 50, look, p, &e) < 0)
		qt_log_err(QT_LOG_ERROR, &e, "the runtime is not looked at any more");
}

static int open_program(struct program *p, const char *conf, const char *secret, struct qt_err *e)
{
	struct dns_server *s = &p->server;
	char path[300];
	sigset_t set;
	int n, fds[2];

	if (qt_conf_load_as(&p->conf, conf, secret, e) < 0)
		return -1;
	if (!p->conf.dns)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "the setting dns is 0: there is nothing to do");
	if (!rt_cidr_parse(&s->view.subnet, p->conf.subnet) || !rt_net_parse(&s->gateway, p->conf.gateway))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "subnet, gateway: not a network and an address");
	n = rt_dns_servers(&p->conf, s->upstream, e);
	if (n < 0)
		return -1;
	s->n_upstreams = (unsigned)n;
	s->view.domain = p->conf.dns_domain;
	p->run_fd = open(p->conf.run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (p->run_fd < 0)
		return qt_fail_sys(e, errno, "open run_dir");
	(void)unlinkat(p->run_fd, "dns.ready", 0); /* of an earlier life */
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return qt_fail_sys(e, errno, "sigprocmask");
	p->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p->signal_fd < 0)
		return qt_fail_sys(e, errno, "signalfd");
	if (!qt_fmt(path, sizeof(path), "%s/runtime.sock", p->conf.run_dir) || rt_client_init(&p->rt, path, e) < 0)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "run_dir is too long");
	if (rt_loop_open(&s->loop, e) < 0 || rt_loop_add(s->loop, p->signal_fd, EPOLLIN, on_signal, p, &p->signal_watch, e) < 0 ||
	    get_sockets(p, fds, e) < 0)
		return -1;
	s->udp_fd = fds[0];
	s->tcp_fd = fds[1];
	return dns_feed_open(&s->feed, &p->conf, e) < 0 ? -1 : dns_server_open(s, fds[0], fds[1], e);
}

static void close_program(struct program *p)
{
	if (p->run_fd >= 0)
		(void)unlinkat(p->run_fd, "dns.ready", 0);
	if (p->server.loop) {
		rt_timer_clear(p->server.loop, &p->look);
		dns_server_close(&p->server);
		rt_loop_del(p->server.loop, &p->signal_watch);
		rt_loop_close(p->server.loop);
	}
	dns_feed_close(p->server.feed);
	rt_client_done(&p->rt);
	qt_close(p->ready_fd);
	qt_close(p->signal_fd);
	qt_close(p->run_fd);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'}, {"redis-secret", required_argument, NULL, 's'}, {"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0},
	};
	static struct program p = {.run_fd = -1, .signal_fd = -1, .ready_fd = -1, .rt = {.fd = -1}, .server = {.udp_fd = -1, .tcp_fd = -1}};
	const char *conf = NULL, *secret = NULL;
	struct qt_err e = {0};
	int o, r;

	while ((o = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (o) {
		case 'c':
			conf = optarg;
			break;
		case 's':
			secret = optarg;
			break;
		case 'v':
			puts("quilt-dns " PACKAGE_VERSION);
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
	qt_log_init("quilt-dns", QT_LOG_INFO);
	(void)signal(SIGPIPE, SIG_IGN);
	r = open_program(&p, conf, secret, &e);
	if (r == 0) {
		look(&p);
		r = rt_loop_run(p.server.loop, &e);
	}
	if (r < 0)
		qt_log_err(QT_LOG_ERROR, &e, "cannot run");
	close_program(&p);
	return r < 0 ? 1 : 0;
}
