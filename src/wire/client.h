/* client.h - asking the runtime. */
#ifndef QT_CLIENT_H
#define QT_CLIENT_H

#include "rt.h"

/* One connection, one request at a time: not for two threads, and not across fork(). After a failure that is the
 * connection's (RUNTIME_UNAVAILABLE, TIMEOUT) it is closed; the next request opens a new one. */
struct rt_client {
	int fd; /* -1: not connected */
	uint64_t serial;
	char path[108];
	bool unsent; /* the last request failed before it was sent: nobody has carried it out */
	char *buf; /* RT_MSG_MAX bytes: the last reply, into which decoded text points until the next request */
};

/* PATH is the runtime's socket. Does not connect yet. */
int rt_client_init(struct rt_client *c, const char *path, struct qt_err *e);
void rt_client_done(struct rt_client *c);

/* One request: REQ is a struct rt_NAME_req, REP a struct rt_NAME_rep of that OP. As many descriptors as the operation's row says
 * go with it (borrowed) and come back into FDS_OUT (the caller's); either may be NULL when the row says 0. BUDGET_MS bounds the whole.
 * -1 with the runtime's own error, or RUNTIME_UNAVAILABLE (nobody answers; a request may have been carried out all the
 * same when it was sent), or TIMEOUT. */
int rt_call(struct rt_client *c, enum rt_op op, const void *req, const int *fds_in, void *rep, int *fds_out,
	    int budget_ms, struct qt_err *e);

/* Typed: rt_create(&client, &req, &rep, 4000, &e), and so on. Operations with descriptors go by rt_call(). */
#define RT_OP(SYM, name, fin, fout, doc)                                                                  \
	static inline int rt_##name(struct rt_client *c, const struct rt_##name##_req *req,               \
				    struct rt_##name##_rep *rep, int budget_ms, struct qt_err *e)         \
	{                                                                                                 \
		return rt_call(c, RT_##SYM, req, NULL, rep, NULL, budget_ms, e);                          \
	}
RT_OPS(RT_OP)
#undef RT_OP

#endif
