#include <errno.h>
#include <fcgiapp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "clock.h"
#include "dispatch.h"
#include "fcgi.h"
#include "identity.h"
#include "life/files.h"
#include "log.h"
#include "num.h"
#include "route.h"
#include "share.h"
#include "str.h"
#include "upload.h"

#define PEER_STALL_S 30 /* nginx has the whole request before it connects: it never waits so long */

static const char *param(const FCGX_Request *r, const char *name)
{
	const char *v = FCGX_GetParam(name, r->envp);

	return v ? v : "";
}

/* How often the parameter is there: two headers of one name are two parameters. */
static unsigned count(const FCGX_Request *r, const char *name)
{
	size_t len = strlen(name);
	unsigned n = 0;

	for (char **p = r->envp; *p; p++)
		n += strncmp(*p, name, len) == 0 && (*p)[len] == '=';
	return n;
}

static bool client_gone(void *arg)
{
	const FCGX_Request *r = arg;
	struct pollfd p = {.fd = r->ipcFd, .events = POLLRDHUP};

	return poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

/* nginx asks whether this request may go on, and to whom. Its auth_request knows three answers: 204, go on here, with the pool of workers in a
 * header; 401 and 403, no. Which error it is travels in a header, by which nginx's error_page finds who says so (nginx/quilt-http.conf.in). STREAM is none: it is
 * how a request gets to quilt-stream, since nothing but the route table says who serves what. */
static void refuse_auth(FCGX_Request *r, enum qt_code code, bool large, unsigned retry_after)
{
	FCGX_FPrintF(r->out, "Status: %d\r\nX-Quilt-Error: %s%s\r\nX-Quilt-Retry: %u\r\n\r\n", code == QT_E_UNAUTHORIZED ? 401 : 403,
		     qt_err_row(code)->name, code == QT_E_UNAUTHORIZED && large ? "_LARGE" : "", retry_after);
}

/* A key in a header says who it is, whatever else is there. */
static int identify(struct qt_life *l, struct qt_leases *leases, const FCGX_Request *r, const struct qt_credentials *cr, const struct qt_look *look, struct qt_apikey *key,
		    char *cookie, unsigned *retry_after, struct qt_err *e)
{
	int rc = 0;

	if (look->is_gui && cr->n_api_key + cr->n_authorization == 0)
		rc = qt_gui_auth(l, &look->container, look->link, FCGX_GetParam("HTTP_COOKIE", r->envp), key, cookie, retry_after, e);
	if (rc == 0)
		return qt_identity_auth(l, leases, cr, key, retry_after, e);
	return rc < 0 ? -1 : 0;
}

static void answer_auth(struct qt_life *l, struct qt_leases *leases, FCGX_Request *r)
{
	struct qt_credentials cr = {
		.api_key = FCGX_GetParam("HTTP_X_API_KEY", r->envp),
		.authorization = FCGX_GetParam("HTTP_AUTHORIZATION", r->envp),
		.n_api_key = count(r, "HTTP_X_API_KEY"),
		.n_authorization = count(r, "HTTP_AUTHORIZATION"),
	};
	static const struct {
		const char *status, *header;
	} ways[] = {[QT_POOL_QUICK] = {"204 No Content", "X-Quilt-Pool: quilt_quick"},
		    [QT_POOL_SLOW] = {"204 No Content", "X-Quilt-Pool: quilt_slow"},
		    [QT_POOL_STREAM] = {"403 Forbidden", "X-Quilt-Error: STREAM"}};
	char cookie[QT_GUI_COOKIE_MAX] = "";
	struct qt_look look;
	struct qt_apikey key;
	struct qt_err e = {0};
	const char *method = param(r, "QUILT_METHOD"), *uri = param(r, "REQUEST_URI");
	unsigned retry_after = 0;
	uint64_t length = 0;

	(void)qt_u64(&length, param(r, "QUILT_LENGTH"), 0, UINT64_MAX);
	qt_dispatch_look(method, uri, &look);
	cr.token = look.token;
	cr.n_token = look.n_token;
	if (identify(l, leases, r, &cr, &look, &key, cookie, &retry_after, &e) == 0) {
		/* Before nginx takes the body in: how much depends on the route. */
		if (length > qt_upload_limit(l->conf, method, uri)) {
			refuse_auth(r, QT_E_PAYLOAD_TOO_LARGE, true, 0);
			return;
		}
		FCGX_FPrintF(r->out, "Status: %s\r\nX-Quilt-Tenant: %s\r\nX-Quilt-Key: %s\r\nX-Quilt-Plan: %s\r\nX-Quilt-Cookie: %s\r\n%s\r\n\r\n",
			     ways[look.pool].status, key.tenant.s, key.id.s, key.plan, cookie, ways[look.pool].header);
		return;
	}
	if (!qt_err_row(e.code)->show)
		qt_log_err(QT_LOG_ERROR, &e, "request_id=%s auth", param(r, "QUILT_REQUEST_ID"));
	refuse_auth(r, e.code, length > l->conf->max_body_bytes, retry_after);
}

/* The code of an error's name; UNAUTHORIZED if there is none: the refusing value. */
static enum qt_code code_of(const char *name)
{
	for (int c = 1; c < QT_CODE_COUNT; c++)
		if (qt_streq(qt_err_row((enum qt_code)c)->name, name))
			return (enum qt_code)c;
	return QT_E_UNAUTHORIZED;
}

static void answer_denied(const FCGX_Request *r, const char *error, struct qt_out *out)
{
	struct qt_err e = {0};
	uint32_t retry;

	if (qt_starts(param(r, "REQUEST_URI"), "/gui/") && code_of(error) == QT_E_UNAUTHORIZED) {
		(void)qt_fail(&e, QT_E_UNAUTHORIZED, "the link to the desktop is not valid, or its time is over");
		e.hint = "GET /api/containers/{id}/gui-url makes a new one.";
	}
	(void)qt_fail(&e, code_of(error), "%s",
		      qt_streq(error, "RATE_LIMITED") ? "too many requests with this API key"
						      : "a valid API key is needed");
	if (qt_u32(&retry, param(r, "QUILT_RETRY"), 1, 3600))
		e.retry_after = (int)retry;
	memset(out, 0, sizeof(*out));
	qt_answer_error(&e, param(r, "QUILT_REQUEST_ID"), out);
	out->route_id = "denied";
}

static int read_some(void *arg, char *buf, size_t size)
{
	const FCGX_Request *r = arg;

	return FCGX_GetStr(buf, (int)size, r->in);
}

static int read_body(const struct qt_worker *w, const FCGX_Request *r, char **body, struct qt_in *in)
{
	uint64_t len;
	int got = 0;

	if (!qt_u64(&len, param(r, "CONTENT_LENGTH"), 1, UINT64_MAX))
		return 0;
	if (qt_dispatch_flags(in->method, in->uri) & QT_R_UPLOAD) {
		in->length = len;
		return 0;
	}
	if (len > w->conf->max_body_bytes) {
		in->body_too_large = true;
		return 0;
	}
	*body = malloc(len + 1);
	if (!*body)
		return -1;
	while ((uint64_t)got < len) {
		int n = FCGX_GetStr(*body + got, (int)len - got, r->in);

		if (n <= 0)
			return -1; /* nginx buffers requests: a short one is a client that left */
		got += n;
	}
	(*body)[len] = '\0';
	in->body = *body;
	in->body_len = len;
	return 0;
}

/* A file that ends early must not look whole: its length was said already, so the connection breaks. */
static void put_file(FCGX_Request *r, struct qt_file *f)
{
	struct qt_err e = {0};
	char chunk[16384];

	for (uint64_t left = f->size; left > 0;) {
		ssize_t n = qt_file_read(f, chunk, left < sizeof(chunk) ? (size_t)left : sizeof(chunk), &e);

		if (n <= 0 || FCGX_PutStr(chunk, (int)n, r->out) < 0) {
			(void)shutdown(r->ipcFd, SHUT_RDWR);
			return;
		}
		left -= (uint64_t)n;
	}
}

static void put_answer(FCGX_Request *r, const struct qt_out *out, bool head)
{
	char text[512];

	/* Made here: FCGX_FPrintF() knows only a part of printf's conversions, and says nothing about the rest. */
	(void)snprintf(text, sizeof(text), "Status: %d\r\nContent-Type: %s\r\nContent-Length: %zu\r\n", out->status, out->type,
		       out->len);
	FCGX_PutS(text, r->out);
	if (out->allow[0]) {
		(void)snprintf(text, sizeof(text), "Allow: %s\r\n", out->allow);
		FCGX_PutS(text, r->out);
	}
	if (out->retry_after) {
		(void)snprintf(text, sizeof(text), "Retry-After: %d\r\n", out->retry_after);
		FCGX_PutS(text, r->out);
	}
	if (out->file) {
		/* A tenant's bytes: nothing that a browser may take for a page of ours. */
		(void)snprintf(text, sizeof(text),
			       "X-Content-Type-Options: nosniff\r\nContent-Disposition: attachment\r\nX-Quilt-File-Mode: %u\r\nX-Quilt-File-Size: %zu\r\n",
			       qt_file_mode_digits(out->file->mode), out->len);
		FCGX_PutS(text, r->out);
	}
	if (out->replayed)
		FCGX_PutS("Idempotency-Replayed: true\r\n", r->out);
	FCGX_PutS("\r\n", r->out);
	if (!head && out->file)
		put_file(r, out->file);
	else if (!head && out->text)
		FCGX_PutStr(out->text, (int)out->len, r->out);
}

/* Whoever cannot do anything else can still end what he began: for that there is half of what is left. */
static unsigned percent_of(const struct qt_worker *w, const struct qt_in *in)
{
	unsigned percent = (unsigned)w->conf->tenant_slow_percent;

	return qt_dispatch_flags(in->method, in->uri) & QT_R_ENDS ? (100 + percent) / 2 : percent;
}

/* The tenant has its share of the threads already. */
static void answer_busy(const struct qt_in *in, struct qt_out *out)
{
	struct qt_err e = {0};

	(void)qt_fail(&e, QT_E_TENANT_BUSY, "too many requests that take long are under way for this tenant");
	memset(out, 0, sizeof(*out));
	qt_answer_error(&e, in->request_id, out);
	out->route_id = "busy";
}

static void serve(struct qt_worker *w, struct qt_life *l, unsigned thread, FCGX_Request *r)
{
	int64_t began = qt_mono_ms();
	auto_free char *body = NULL;
	struct qt_in in = {
		.method = param(r, "REQUEST_METHOD"),
		.uri = param(r, "REQUEST_URI"),
		.content_type = param(r, "CONTENT_TYPE"),
		.accept = param(r, "QUILT_ACCEPT"),
		.tenant_header = param(r, "QUILT_X_TENANT_ID"),
		.idempotency_key = param(r, "QUILT_IDEMPOTENCY_KEY"),
		.tenant = FCGX_GetParam("QUILT_TENANT", r->envp),
		.key_id = FCGX_GetParam("QUILT_KEY", r->envp),
		.plan = FCGX_GetParam("QUILT_PLAN", r->envp),
		.last_event_id = "",
		.upgrade = {"", "", "", ""},
		.request_id = param(r, "QUILT_REQUEST_ID"),
		.gone = client_gone,
		.gone_arg = r,
		.read = read_some,
		.read_arg = r,
	};
	const char *denied = param(r, "QUILT_DENIED");
	struct qt_out out;

	if (*param(r, "QUILT_AUTH")) {
		answer_auth(l, w->leases, r);
		return;
	}
	if (*denied)
		answer_denied(r, denied, &out);
	else if (read_body(w, r, &body, &in) < 0)
		return;
	else if (in.tenant && !qt_share_take(w->share, w->row, thread, in.tenant, percent_of(w, &in)))
		answer_busy(&in, &out);
	else
		qt_dispatch(l, &in, &out);
	put_answer(r, &out, qt_streq(in.method, "HEAD"));
	qt_log(QT_LOG_INFO, "request_id=%s route=%s tenant=%s key=%s status=%d code=%s ms=%d", in.request_id, out.route_id,
	       in.tenant ? in.tenant : "-", in.key_id ? in.key_id : "-", out.status,
	       out.code == QT_OK ? "-" : qt_err_row(out.code)->name, (int)(qt_mono_ms() - began));
	free(out.text);
	if (out.file)
		qt_file_done(out.file);
	free(out.file);
}

/* At a stop the master shuts its own sockets down: nobody new gets in, and who waits in the queue is still served. One that stays open, at a
 * reload or since it is the service manager's, is left with its queue to those who come after us. */
static bool is_shut(int listen_fd)
{
	struct pollfd p = {.fd = listen_fd, .events = POLLRDHUP};

	return poll(&p, 1, 0) == 1 && p.revents & POLLRDHUP;
}

/* A connection, or -1; *LAST: there will be none any more. QT_WAKE_SIGNAL ends the waiting, and is let through only here: it must not cut off what a request does. One that
 * comes too early is sent again. */
static int next_connection(const struct qt_worker *w, bool *last)
{
	static const struct timeval stalled = {.tv_sec = PEER_STALL_S};
	sigset_t wake;
	int fd;

	*last = atomic_load(&w->stopping) && !is_shut(w->listen_fd);
	sigemptyset(&wake);
	sigaddset(&wake, QT_WAKE_SIGNAL);
	(void)pthread_sigmask(SIG_UNBLOCK, &wake, NULL);
	fd = *last ? -1 : accept4(w->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	*last = *last || (fd < 0 && errno == EINVAL); /* shut down, and the queue is empty */
	(void)pthread_sigmask(SIG_BLOCK, &wake, NULL);
	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &stalled, sizeof(stalled));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &stalled, sizeof(stalled));
	return fd;
}

/* libfcgi takes a connection that is already there for one that it kept open. It accepts none by itself, since it has no socket to do so
 * from: its accept() cannot be left without losing a connection that it has just taken. */
static int accept_request(const struct qt_worker *w, FCGX_Request *r, bool *last)
{
	r->ipcFd = next_connection(w, last);
	if (r->ipcFd < 0)
		return -1;
	r->keepConnection = 1;
	return FCGX_Accept_r(r);
}

void *qt_fcgi_thread(void *worker)
{
	struct qt_worker *w = worker;
	unsigned thread = atomic_fetch_add(&w->begun, 1);
	struct qt_life life;
	struct qt_err e = {0};
	FCGX_Request r;

	if (qt_life_init(&life, w->conf, &e) < 0 || FCGX_InitRequest(&r, -1, FCGI_FAIL_ACCEPT_ON_INTR) != 0) {
		qt_log_err(QT_LOG_ERROR, &e, "a thread cannot begin");
		exit(1);
	}
	life.conns = w->conns;
	for (bool last = false; !last;) {
		if (accept_request(w, &r, &last) < 0)
			continue;
		serve(w, &life, thread, &r);
		qt_share_give(w->share, w->row, thread);
		FCGX_Finish_r(&r);
		if (qt_store_settle(life.store, &e) < 0) {
			qt_log_err(QT_LOG_WARN, &e, "a record that nobody waited for is lost");
			qt_err_reset(&e);
		}
	}
	FCGX_Free(&r, 1);
	qt_life_done(&life);
	atomic_fetch_sub(&w->running, 1);
	return NULL;
}
