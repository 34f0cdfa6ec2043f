/* peer_in.h - one connection, as the files that serve it see it: peer.c reads, peer_out.c writes. */
#ifndef RT_PEER_IN_H
#define RT_PEER_IN_H

#include "msg.h"
#include "peer.h"

#define RT_ROLES 5

struct rt_out {
	struct rt_out *next;
	size_t len, n_fds;
	int fds[QT_FDS_MAX];
	char data[];
};

struct rt_peer {
	struct rt_peers *all;
	struct rt_peer *next, **prev;
	int fd;
	pid_t pid; /* it may be anybody's by now */
	enum rt_role role;
	rt_watch_t watch; /* and its name: struct rt_call */
	bool greeted, watching, closed;

	/* The request that is not answered yet. */
	bool busy;
	uint64_t serial;
	enum rt_op op;
	int64_t deadline;
	struct rt_timer budget, again;
	char *msg; /* RT_AGAIN: a copy */
	size_t msg_len;

	struct rt_out *queue, **queue_end;
	unsigned queued;
	struct rt_later release;
};

struct rt_peers {
	struct rt *rt;
	int listen_fd, reserve_fd;
	rt_watch_t watch;
	uid_t api_uid, agent_uid, dns_uid, stream_uid;
	unsigned count[RT_ROLES];
	unsigned long broken; /* peers closed for breaking the protocol */
	struct rt_peer *first;
	char in[RT_MSG_MAX], out[RT_MSG_MAX], scratch[RT_MSG_MAX];
};

/* Closed at once, freed when nobody has it in hands any more. */
void rt_peer_close(struct rt_peer *p);
/* "api", "agent", ...: for the log. */
const char *rt_peer_role(const struct rt_peer *p);
/* Its request is answered, or never will be. */
void rt_peer_forget(struct rt_peer *p);

/* --- peer_out.c ---------------------------------------------------------------------------------------- */
/* What the loop is to tell us of it. After whatever changed its request or its queue, if it is not closed. */
void rt_peer_listen(struct rt_peer *p);
/* FDS are taken over. It may be closed afterwards, as after all that follows. */
void rt_peer_reply(struct rt_peer *p, const void *rep, const int *fds, size_t n_fds);
void rt_peer_reply_error(struct rt_peer *p, const struct qt_err *why);
void rt_peer_flush(struct rt_peer *p);
void rt_peer_drop(struct rt_peer *p); /* what waits to be sent */
/* Who waits for the answer; NULL: nobody any more. */
struct rt_peer *rt_peer_waiting(const struct rt *rt, const struct rt_call *call);

#endif
