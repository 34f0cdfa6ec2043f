/* Questions for the nameservers. Each has a socket of its own, so that the kernel gives it a port that nobody can guess and lets in answers of that
 * nameserver only; and a random id. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "rnd.h"
#include "server.h"

#define TRY_MS	   1500
#define TRIES	   3
#define ANSWER_MAX 65535

static void try_next(struct dns_ask *a);

static void on_timer(void *arg)
{
	try_next(arg);
}

/* The addresses of our own inside: what is out there has no business to send a container there. */
static bool hidden(uint32_t ip, void *arg)
{
	const struct dns_server *s = arg;

	return rt_cidr_has(&s->view.subnet, ip) || ip >> 24 == 127 || ip >> 16 == 0xa9fe || ip == 0;
}

static void give(struct dns_ask *a, uint8_t *wire, size_t len)
{
	switch (dns_reply_check(&a->q, a->id, wire, len, hidden, a->s)) {
	case DNS_NOT_OURS:
		return; /* whoever sent it: the right one may still come */
	case DNS_BAD:
		dns_send_code(a->s, &a->client, &a->q, DNS_SERVFAIL);
		break;
	case DNS_GOOD:
		dns_set_id(wire, a->q.id);
		if (wire[2] & 0x02)
			len = dns_cut(wire, &a->q);
		dns_send(a->s, &a->client, &a->q, wire, len);
		break;
	}
	dns_ask_end(a);
}

static void on_udp(void *arg, uint32_t events)
{
	struct dns_ask *a = arg;
	uint8_t buf[4096];
	ssize_t n = recv(a->fd, buf, sizeof(buf), MSG_DONTWAIT);

	(void)events;
	if (n > 0)
		give(a, buf, (size_t)n);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		try_next(a); /* nobody listens there */
}

/* By TCP: two bytes of length, then the message. */
static void on_tcp(void *arg, uint32_t events)
{
	struct dns_ask *a = arg;
	ssize_t n;
	size_t want;

	if (!a->sent) {
		n = send(a->fd, a->buf + a->done, a->len - a->done, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return try_next(a);
		a->done += n > 0 ? (size_t)n : 0;
		if (a->done < a->len)
			return;
		a->sent = true;
		a->done = 0;
		rt_loop_mod(a->s->loop, a->watch, EPOLLIN);
		return;
	}
	(void)events;
	want = a->done < 2 ? 2 : 2 + ((size_t)a->buf[0] << 8 | a->buf[1]);
	n = recv(a->fd, a->buf + a->done, want - a->done, MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		return try_next(a);
	a->done += n > 0 ? (size_t)n : 0;
	if (a->done > 2 && a->done == want)
		give(a, a->buf + 2, a->done - 2);
}

static int ask(struct dns_ask *a, struct qt_err *e)
{
	const struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(a->s->upstream[a->server])};
	bool tcp = a->client.conn != 0;
	uint8_t out[DNS_QUERY_MAX];
	size_t len;

	a->fd = socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (a->fd < 0)
		return qt_fail_sys(e, errno, "a socket");
	qt_rnd(&a->id, sizeof(a->id));
	len = dns_question_write(&a->q, a->id, out, sizeof(out));
	if (len == 0)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a question cannot be written");
	if (connect(a->fd, (const struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
		return qt_fail_sys(e, errno, "connect to a nameserver");
	if (!tcp) {
		if (send(a->fd, out, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			return qt_fail_sys(e, errno, "ask a nameserver");
		return rt_loop_add(a->s->loop, a->fd, EPOLLIN, on_udp, a, &a->watch, e);
	}
	if (!a->buf)
		a->buf = malloc(2 + ANSWER_MAX);
	if (!a->buf)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	a->buf[0] = (uint8_t)(len >> 8);
	a->buf[1] = (uint8_t)len;
	memcpy(a->buf + 2, out, len);
	a->len = 2 + len;
	a->done = 0;
	a->sent = false;
	return rt_loop_add(a->s->loop, a->fd, EPOLLOUT, on_tcp, a, &a->watch, e);
}

static void try_next(struct dns_ask *a)
{
	struct qt_err e = {0};

	while (a->s->n_upstreams > 0 && a->tries < TRIES) {
		rt_loop_del(a->s->loop, &a->watch);
		qt_reset_fd(&a->fd, -1);
		a->server = a->tries++ % a->s->n_upstreams;
		qt_err_reset(&e);
		if (ask(a, &e) == 0 && rt_timer_set(a->s->loop, &a->timer, TRY_MS, on_timer, a, &e) == 0)
			return;
	}
	dns_send_code(a->s, &a->client, &a->q, DNS_SERVFAIL);
	dns_ask_end(a);
}

void dns_forward(struct dns_server *s, const struct dns_client *c, const struct dns_query *q)
{
	struct dns_ask *a = dns_ask_new(s, c, q);

	if (a)
		try_next(a);
	else
		dns_send_code(s, c, q, DNS_SERVFAIL);
}
