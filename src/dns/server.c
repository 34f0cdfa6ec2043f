#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "clock.h"
#include "feed.h"
#include "server.h"

#define AT_ONE_GO 64 /* messages of UDP, before others have their turn */

struct dns_source *dns_source(struct dns_server *s, const struct dns_client *c)
{
	return &s->sources[ntohl(c->from.sin_addr.s_addr) % DNS_SOURCES];
}

/* A bucket of DNS_PER_SECOND tokens. */
static bool too_fast(struct dns_source *b)
{
	const int full = DNS_PER_SECOND * 1000;
	int64_t now = qt_mono_ms(), gained = (now - b->at_ms) * DNS_PER_SECOND;

	b->tokens = !b->known || gained > full - b->tokens ? full : b->tokens + (int)gained;
	b->known = true;
	b->at_ms = now;
	if (b->tokens < 1000)
		return true;
	b->tokens -= 1000;
	return false;
}

void dns_send(struct dns_server *s, const struct dns_client *c, const struct dns_query *q, uint8_t *wire, size_t len)
{
	if (len == 0)
		return;
	if (c->conn) {
		dns_conn_send(s, c->conn, wire, len);
		return;
	}
	if (len > q->udp_size)
		len = dns_cut(wire, q);
	/* A full queue loses it: the container asks again. */
	(void)sendto(s->udp_fd, wire, len, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&c->from, sizeof(c->from));
}

void dns_send_answer(struct dns_server *s, const struct dns_client *c, const struct dns_query *q, const struct dns_answer *a)
{
	uint8_t out[DNS_UDP_MAX];

	dns_send(s, c, q, out, dns_answer_write(q, a, out, c->conn || q->udp_size > sizeof(out) ? sizeof(out) : q->udp_size));
}

void dns_send_code(struct dns_server *s, const struct dns_client *c, const struct dns_query *q, int rcode)
{
	const struct dns_answer a = {.rcode = rcode};

	dns_send_answer(s, c, q, &a);
}

bool dns_take(struct dns_server *s, const struct dns_client *c, const uint8_t *wire, size_t len)
{
	char text[DNS_TEXT_MAX];
	struct dns_answer a;
	struct dns_query q;
	int rcode;

	if (too_fast(dns_source(s, c)))
		return false;
	rcode = dns_query_read(&q, wire, len);
	if (rcode < 0)
		return false;
	if (rcode != DNS_NOERROR) {
		dns_send_code(s, c, &q, rcode);
		return true;
	}
	switch (dns_decide(&s->view, ntohl(c->from.sin_addr.s_addr), &q, text, &a)) {
	case DNS_ANSWER:
		dns_send_answer(s, c, &q, &a);
		break;
	case DNS_FORWARD:
		dns_forward(s, c, &q);
		break;
	case DNS_UNKNOWN:
		dns_park(s, c, &q, &a);
		break;
	}
	return true;
}

static void on_udp(void *arg, uint32_t events)
{
	struct dns_server *s = arg;

	(void)events;
	for (int i = 0; i < AT_ONE_GO; i++) {
		uint8_t buf[DNS_QUERY_MAX + 1];
		struct dns_client c = {.conn = 0};
		socklen_t size = sizeof(c.from);
		ssize_t n = recvfrom(s->udp_fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&c.from, &size);

		if (n < 0 && errno != EINTR)
			return;
		if (n > 0 && size == sizeof(c.from) && c.from.sin_family == AF_INET)
			(void)dns_take(s, &c, buf, (size_t)n);
	}
}

static void on_feed(void *arg, uint32_t events)
{
	struct dns_server *s = arg;
	struct dns_zone *new;
	uint64_t ended;

	(void)events;
	new = dns_feed_take(s->feed, &ended);
	if (new) {
		dns_zone_free(s->zone);
		s->zone = new;
		s->view.zone = new;
	}
	dns_unpark(s, ended);
}

int dns_server_open(struct dns_server *s, int udp_fd, int tcp_fd, struct qt_err *e)
{
	s->udp_fd = udp_fd;
	s->tcp_fd = tcp_fd;
	s->sources = calloc(DNS_SOURCES, sizeof(*s->sources));
	if (!s->sources)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	if (dns_zone_new(&s->zone, e) < 0)
		return -1;
	dns_zone_seal(s->zone);
	s->view.zone = s->zone;
	if (rt_loop_add(s->loop, udp_fd, EPOLLIN, on_udp, s, &s->udp_watch, e) < 0 ||
	    rt_loop_add(s->loop, tcp_fd, EPOLLIN, dns_conn_accept, s, &s->tcp_watch, e) < 0)
		return -1;
	return rt_loop_add(s->loop, dns_feed_fd(s->feed), EPOLLIN, on_feed, s, &s->feed_watch, e);
}

void dns_server_close(struct dns_server *s)
{
	while (s->asks)
		dns_ask_end(s->asks);
	dns_conns_close(s);
	rt_loop_del(s->loop, &s->udp_watch);
	rt_loop_del(s->loop, &s->tcp_watch);
	rt_loop_del(s->loop, &s->feed_watch);
	dns_zone_free(s->zone);
	free(s->sources);
	qt_close(s->udp_fd);
	qt_close(s->tcp_fd);
}
