/* peer.h - who is connected: roles by SO_PEERCRED, one request at a time, bounded queues. */
#ifndef RT_PEER_H
#define RT_PEER_H

#include "ops.h"

/* Makes RUN_DIR/runtime.sock and listens. The users of the settings must exist. */
int rt_peers_open(struct rt_peers **ret, struct rt *rt, struct qt_err *e);
void rt_peers_close(struct rt_peers *p);

/* Answer a request that a handler kept (RT_LATER). A peer that is gone, or was answered already (its budget was over), is
 * none of the caller's business. */
void rt_answer(struct rt *rt, const struct rt_call *call, const void *rep);
/* The same with one descriptor, which is closed here in any case. */
void rt_answer_fd(struct rt *rt, const struct rt_call *call, const void *rep, int fd);
void rt_refuse(struct rt *rt, const struct rt_call *call, const struct qt_err *why);

/* Is one of ROLE connected, that was greeted? */
bool rt_peer_has(const struct rt *rt, enum rt_role role);

/* The process that connected. */
pid_t rt_peer_pid(const struct rt *rt, const struct rt_call *call);

/* From here on this peer gets events, and asks nothing. */
void rt_peer_watch(struct rt *rt, const struct rt_call *call);
void rt_event(struct rt *rt, const struct qt_id *id, enum rt_event kind, uint32_t exit_code);

#endif
