/* Containers that ask by TCP: one question after the other on a connection. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "server.h"

#define IDLE_MS 10000 /* and an answer that is not read for so long is not read at all */

struct dns_conn {
	struct dns_server *s;
	struct dns_conn *next, **at;
	struct dns_client client;
	int fd;
	rt_watch_t watch;
	struct rt_timer timer;
	struct rt_later release;
	uint8_t in[2 + DNS_QUERY_MAX];
	size_t in_len;
	uint8_t *out; /* the answer that is being sent */
	size_t out_len, out_at;
	bool busy; /* an answer is to come */
};

static void release(void *arg)
{
	free(arg);
}

static void end(struct dns_conn *c)
{
	struct dns_server *s = c->s;

	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	s->n_conns--;
	dns_source(s, &c->client)->conns--;
	rt_timer_clear(s->loop, &c->timer);
	rt_loop_del(s->loop, &c->watch);
	qt_reset_fd(&c->fd, -1);
	free(qt_take(&c->out));
	rt_loop_later(s->loop, &c->release, release, c);
}

static void on_idle(void *arg)
{
	end(arg);
}

static bool stay(struct dns_conn *c, uint32_t events)
{
	struct qt_err e = {0};

	rt_loop_mod(c->s->loop, c->watch, events);
	return rt_timer_set(c->s->loop, &c->timer, IDLE_MS, on_idle, c, &e) == 0;
}

static void flush(struct dns_conn *c)
{
	ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return end(c);
	c->out_at += n > 0 ? (size_t)n : 0;
	if (c->out_at < c->out_len) {
		if (!stay(c, EPOLLOUT))
			end(c);
		return;
	}
	free(qt_take(&c->out));
	c->busy = false;
	if (!stay(c, EPOLLIN))
		end(c);
}

static void read_more(struct dns_conn *c)
{
	size_t want = c->in_len < 2 ? 2 : 2 + ((size_t)c->in[0] << 8 | c->in[1]);
	ssize_t n;

	if (want > sizeof(c->in))
		return end(c);
	n = recv(c->fd, c->in + c->in_len, want - c->in_len, MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		return end(c);
	c->in_len += n > 0 ? (size_t)n : 0;
	if (c->in_len < 2 || c->in_len < 2 + ((size_t)c->in[0] << 8 | c->in[1])) {
		if (!stay(c, EPOLLIN))
			end(c);
		return;
	}
	n = (ssize_t)c->in_len - 2;
	c->in_len = 0;
	c->busy = true;
	/* Before it is taken: the answer may come at once, and then the connection reads again. Errors and a hang-up still wake it. */
	rt_loop_mod(c->s->loop, c->watch, 0);
	if (!dns_take(c->s, &c->client, c->in + 2, (size_t)n))
		end(c);
}

static void on_event(void *arg, uint32_t events)
{
	struct dns_conn *c = arg;

	if (c->out)
		flush(c);
	else if (!c->busy)
		read_more(c);
	else if (events & (EPOLLHUP | EPOLLERR))
		end(c);
}

void dns_conn_send(struct dns_server *s, rt_watch_t conn, const uint8_t *wire, size_t len)
{
	struct dns_conn *c = rt_loop_arg(s->loop, conn);

	if (!c || !c->busy || c->out || len > 65535)
		return;
	c->out = malloc(2 + len);
	if (!c->out)
		return end(c);
	c->out[0] = (uint8_t)(len >> 8);
	c->out[1] = (uint8_t)len;
	memcpy(c->out + 2, wire, len);
	c->out_len = 2 + len;
	c->out_at = 0;
	flush(c);
}

void dns_conn_accept(void *server, uint32_t events)
{
	struct dns_server *s = server;
	struct dns_client who = {.conn = 0};
	socklen_t size = sizeof(who.from);
	auto_close int fd = accept4(s->tcp_fd, (struct sockaddr *)&who.from, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct qt_err e = {0};
	struct dns_conn *c;

	(void)events;
	if (fd < 0 || who.from.sin_family != AF_INET || s->n_conns >= DNS_CONNS_MAX || dns_source(s, &who)->conns >= DNS_CONNS_OF_ONE)
		return;
	c = calloc(1, sizeof(*c));
	if (!c)
		return;
	*c = (struct dns_conn){.s = s, .client = who, .fd = qt_take_fd(&fd), .next = s->conns, .at = &s->conns};
	if (s->conns)
		s->conns->at = &c->next;
	s->conns = c;
	s->n_conns++;
	dns_source(s, &who)->conns++;
	if (rt_loop_add(s->loop, c->fd, EPOLLIN, on_event, c, &c->watch, &e) < 0 || !stay(c, EPOLLIN))
		return end(c);
	c->client.conn = c->watch;
}

void dns_conns_close(struct dns_server *s)
{
	while (s->conns)
		end(s->conns);
}
