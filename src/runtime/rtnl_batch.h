/* rtnl_batch.h - several rtnetlink requests in one system call. For the files rtnl*.c. */
#ifndef RT_RTNL_BATCH_H
#define RT_RTNL_BATCH_H

#include <netlink/msg.h>
#include <stddef.h>
#include <stdint.h>

#include "rtnl.h"

#define RT_NLB_MAX 8

struct rt_rtnl {
	struct nl_sock *sk;
};

/* Zeroed to begin with. The kernel takes the requests in order, and goes on after one that fails: a batch holds what
 * can be undone together. */
struct rt_nlb {
	unsigned char buf[4096];
	size_t len;
	unsigned n;
	uint32_t seq[RT_NLB_MAX];
	const char *what[RT_NLB_MAX]; /* literals: for the error */
};

/* MSG, as the libnl builders leave it, goes to the end of B and is released. MSG NULL is the error "no memory". */
int rt_nlb_put(struct rt_rtnl *r, struct rt_nlb *b, struct nl_msg *msg, const char *what, struct qt_err *e);

/* Send them, and take every answer: REPLY is called for each message of request I. 0 if all succeeded; else the first error, with
 * the kernel's errno in e->sys (EINTR: a dump that changes overtook; ask again). */
int rt_nlb_run(struct rt_rtnl *r, struct rt_nlb *b, int (*reply)(void *arg, unsigned i, struct nlmsghdr *h, struct qt_err *e),
	       void *arg, struct qt_err *e);

#endif
