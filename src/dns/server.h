/* server.h - the resolver's parts: clients (server.c, conn.c), questions under way (ask.c, forward.c), what is known (feed.c). One thread, and the
 * feed's, which shares nothing but what feed.h says. */
#ifndef DNS_SERVER_H
#define DNS_SERVER_H

#include <netinet/in.h>

#include "answer.h"
#include "loop.h"

#define DNS_UPSTREAMS_MAX   3
#define DNS_ASKS_MAX	    1024 /* questions under way, of all */
#define DNS_ASKS_OF_ONE	    64	 /* of one container */
#define DNS_CONNS_MAX	    256
#define DNS_CONNS_OF_ONE    8
#define DNS_PER_SECOND	    500	 /* questions of one container, sustained, and as many at once; the packet filter bounds them before */
#define DNS_SOURCES	    65536

/* What is counted of an address; those of larger subnets share. */
struct dns_source {
	int64_t at_ms;
	int tokens; /* thousandths */
	unsigned asks, conns;
	bool known;
};

struct dns_feed;
struct dns_ask;

struct dns_server {
	struct rt_loop *loop;
	struct dns_feed *feed;
	struct dns_view view;
	struct dns_zone *zone; /* the one in view; owned */
	uint32_t gateway;
	int udp_fd, tcp_fd;
	rt_watch_t udp_watch, tcp_watch, feed_watch;
	uint32_t upstream[DNS_UPSTREAMS_MAX];
	unsigned n_upstreams;
	struct dns_source *sources;
	struct dns_ask *asks; /* all under way */
	unsigned n_asks, n_conns;
	struct dns_conn *conns;
};

/* Who asked. */
struct dns_client {
	struct sockaddr_in from;
	rt_watch_t conn; /* of TCP; 0: by UDP */
};

struct dns_source *dns_source(struct dns_server *s, const struct dns_client *c);

/* A message of a client: it is answered now or later, or not at all. True if an answer is to come (by TCP, nothing more is read till then). */
bool dns_take(struct dns_server *s, const struct dns_client *c, const uint8_t *wire, size_t len);

/* LEN bytes of an answer to C, which may be gone. WIRE of an answer to Q by UDP is cut to what Q takes. */
void dns_send(struct dns_server *s, const struct dns_client *c, const struct dns_query *q, uint8_t *wire, size_t len);
void dns_send_answer(struct dns_server *s, const struct dns_client *c, const struct dns_query *q, const struct dns_answer *a);
void dns_send_code(struct dns_server *s, const struct dns_client *c, const struct dns_query *q, int rcode);

/* ask.c: a question under way. NULL when there are too many. */
struct dns_ask {
	struct dns_server *s;
	struct dns_ask *next, **at;
	struct dns_client client;
	struct dns_query q;
	struct rt_timer timer;
	struct rt_later release;
	uint64_t ticket; /* parked until the feed has ended that reading; 0: not */
	/* forwarded */
	unsigned tries, server;
	uint16_t id;
	int fd;
	rt_watch_t watch;
	uint8_t *buf; /* by TCP: what is sent, then what came */
	size_t len, done;
	bool sent;
};
struct dns_ask *dns_ask_new(struct dns_server *s, const struct dns_client *c, const struct dns_query *q);
void dns_ask_end(struct dns_ask *a);
void dns_park(struct dns_server *s, const struct dns_client *c, const struct dns_query *q, const struct dns_answer *otherwise);
/* The feed has ended reading number ENDED: those who waited for it are answered, but for containers that it does not know yet: they wait for more. */
void dns_unpark(struct dns_server *s, uint64_t ended);

/* forward.c */
void dns_forward(struct dns_server *s, const struct dns_client *c, const struct dns_query *q);

/* conn.c */
struct dns_conn;
void dns_conn_accept(void *server, uint32_t events);
void dns_conn_send(struct dns_server *s, rt_watch_t conn, const uint8_t *wire, size_t len);
void dns_conns_close(struct dns_server *s);

/* Takes the sockets. S is zeroed but for view's texts, gateway, upstreams, feed. */
int dns_server_open(struct dns_server *s, int udp_fd, int tcp_fd, struct qt_err *e);
void dns_server_close(struct dns_server *s);

#endif
