#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "exec.h"
#include "gui.h"
#include "http.h"
#include "hub.h"
#include "installed.h"
#include "log.h"
#include "route.h"
#include "str.h"
#include "stream.h"
#include "terminal.h"

#define BACKLOG	     1024
#define STOP_MS	     3000
#define ACCEPTS	     64 /* in one turn of the loop */
#define HEADERS_MAX  24576 /* bytes: nginx takes 16 KiB of a URL, and little else passes */
#define HEADER_POOL  64 /* requests that are being read or answered; others wait */

static const char usage[] =
	"Usage: quilt-stream [-c FILE] [--redis-secret FILE]\n\n"
	"Serves what stays open: events, followed logs, output streams, terminals, desktops. HTTP on RUN_DIR/stream.sock, for nginx.\n\n"
	"  -c, --config FILE        settings (default " QT_CONF_PATH ")\n"
	"      --redis-secret FILE  user:password for Redis, instead of the setting redis_secret_file\n"
	"      --version            print the version and exit\n"
	"  -h, --help               print this and exit\n\n"
	"SIGTERM closes all clients and ends; terminal sessions stay.\n";

/* --- libwebsockets --------------------------------------------------------------------------------------- */

static int watch_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	(void)user;
	(void)in;
	(void)len;
	if (reason == LWS_CALLBACK_RAW_RX_FILE)
		sq_watch_serve(lws_context_user(lws_get_context(wsi)));
	return 0;
}

static const struct lws_protocols protocols[] = {
	{.name = "http", .callback = sq_http_callback, .per_session_data_size = sizeof(struct sq_http *)},
	{.name = "terminal", .callback = sq_ws_callback, .per_session_data_size = sizeof(struct sq_client *)},
	{.name = "gui", .callback = sq_gui_callback, .per_session_data_size = sizeof(void *)},
	{.name = "watch", .callback = watch_callback},
	{0},
};

static void on_lws_log(int level, const char *line)
{
	qt_log(level & LLL_ERR ? QT_LOG_ERROR : QT_LOG_WARN, "%.*s", (int)strcspn(line, "\n"), line);
}

static int open_lws(struct sq *sq, struct qt_err *e)
{
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.protocols = protocols,
		.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS,
		.gid = (gid_t)-1,
		.uid = (uid_t)-1,
		.user = sq,
		.pt_serv_buf_size = 16384,
		.max_http_header_data = HEADERS_MAX,
		.max_http_header_pool = HEADER_POOL,
	};

	lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_log);
	sq->lws = lws_create_context(&info);
	if (!sq->lws)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "libwebsockets cannot begin");
	sq->vhost = lws_create_vhost(sq->lws, &info);
	return sq->vhost ? 0 : qt_fail(e, QT_E_INTERNAL_ERROR, "libwebsockets cannot begin");
}

/* --- the listening socket -------------------------------------------------------------------------------- */

struct front {
	struct sq *sq;
	int listen_fd, signal_fd;
	struct sq_watch listen, signals;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

static void on_listen(void *arg, uint32_t events)
{
	struct front *f = arg;

	(void)events;
	for (int i = 0; i < ACCEPTS; i++) {
		int fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			break;
		(void)lws_adopt_socket_vhost(f->sq->vhost, fd); /* closes it when it fails */
	}
	sq_watch_change(f->sq, &f->listen, EPOLLIN);
}

static int open_socket(struct front *f, struct qt_err *e)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	mode_t old;
	int r;

	if (!qt_fmt(a.sun_path, sizeof(a.sun_path), "%s/stream.sock", f->sq->conf.run_dir))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "run_dir is too long for a socket");
	memcpy(f->path, a.sun_path, sizeof(f->path));
	f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (f->listen_fd < 0)
		return qt_fail_sys(e, errno, "socket");
	(void)unlink(a.sun_path);
	old = umask(0117);
	r = bind(f->listen_fd, (struct sockaddr *)&a, sizeof(a));
	(void)umask(old);
	if (r < 0 || listen(f->listen_fd, BACKLOG) < 0)
		return qt_fail_sys(e, errno, "stream.sock");
	return sq_watch(f->sq, &f->listen, f->listen_fd, EPOLLIN, on_listen, f, e);
}

static void on_signal(void *arg, uint32_t events)
{
	struct front *f = arg;
	struct signalfd_siginfo si;

	(void)events;
	if (read(f->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		qt_log(QT_LOG_INFO, "signal %u: stopping", si.ssi_signo);
		f->sq->stopping = true;
	}
	sq_watch_change(f->sq, &f->signals, EPOLLIN);
}

static int open_signals(struct front *f, struct qt_err *e)
{
	sigset_t set;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	f->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (f->signal_fd < 0)
		return qt_fail_sys(e, errno, "signalfd");
	return sq_watch(f->sq, &f->signals, f->signal_fd, EPOLLIN, on_signal, f, e);
}

static void too_long(lws_sorted_usec_list_t *sul)
{
	(void)sul;
}

/* Whoever has a terminal or a desktop is told to come again; whoever has a command run, that it is ended. */
static void stop(struct sq *sq)
{
	int64_t until = qt_mono_ms() + STOP_MS;
	lws_sorted_usec_list_t wake = {0};

	lws_sul_schedule(sq->lws, 0, &wake, too_long, STOP_MS * LWS_US_PER_MS);
	while (sq_terminals_stop() + sq_execs_stop() + sq_guis_stop() > 0 && qt_left_ms(until) > 0 && lws_service(sq->lws, 0) >= 0)
		continue;
}

static int run(struct sq *sq, struct qt_err *e)
{
	struct front f = {.sq = sq, .listen_fd = -1, .signal_fd = -1};

	if (open_lws(sq, e) < 0 || sq_watch_open(sq, e) < 0 || open_signals(&f, e) < 0 || sq_jobs_open(sq, e) < 0 || sq_hub_open(sq, e) < 0 ||
	    open_socket(&f, e) < 0)
		return -1;
	sq_terminals_open(sq);
	qt_log(QT_LOG_INFO, "ready");
	while (!sq->stopping && lws_service(sq->lws, 0) >= 0)
		continue;
	(void)unlink(f.path);
	stop(sq);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'}, {"redis-secret", required_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'}, {0},
	};
	static struct sq sq = {.epoll = -1};
	const char *path = NULL, *secret = NULL, *complaint = qt_routes_selfcheck();
	struct qt_err e = {0};
	int opt;

	while ((opt = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			path = optarg;
			break;
		case 's':
			secret = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		case 'V':
			puts("quilt-stream (quiltd) " PACKAGE_VERSION);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind != argc || complaint) {
		fprintf(stderr, "%s\n", complaint ? complaint : usage);
		return complaint ? 1 : 2;
	}
	qt_log_init("quilt-stream", QT_LOG_INFO);
	/* What threads let go of is for all: a heap for each would keep what its busiest moment needed. */
	(void)mallopt(M_ARENA_MAX, 2);
	if (qt_conf_load_as(&sq.conf, path, secret, &e) < 0 || run(&sq, &e) < 0) {
		qt_log_err(QT_LOG_ERROR, &e, "quilt-stream cannot run");
		return 1;
	}
	qt_log(QT_LOG_INFO, "ended");
	/* The threads may be in the middle of something, and nothing of ours outlives the process. */
	fflush(NULL);
	_exit(0);
}
