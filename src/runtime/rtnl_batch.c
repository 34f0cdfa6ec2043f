#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "rtnl_batch.h"

#define REPLY_MAX 32768 /* the kernel never makes a larger one */

int rt_rtnl_open(struct rt_rtnl **ret, struct qt_err *e)
{
	struct rt_rtnl *r = calloc(1, sizeof(*r));
	int on = 1;

	if (!r)
		return qt_fail_sys(e, ENOMEM, "rtnetlink socket");
	r->sk = nl_socket_alloc();
	if (!r->sk || nl_connect(r->sk, NETLINK_ROUTE) < 0) {
		int sys = errno;

		rt_rtnl_close(r);
		return qt_fail_sys(e, sys, "rtnetlink socket");
	}
	/* Errors come without a copy of the request then. */
	(void)setsockopt(nl_socket_get_fd(r->sk), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	*ret = r;
	return 0;
}

void rt_rtnl_close(struct rt_rtnl *r)
{
	if (!r)
		return;
	nl_socket_free(r->sk);
	free(r);
}

int rt_nlb_put(struct rt_rtnl *r, struct rt_nlb *b, struct nl_msg *msg, const char *what, struct qt_err *e)
{
	struct nlmsghdr *h;

	if (!msg)
		return qt_fail_sys(e, ENOMEM, "%s", what);
	nl_complete_msg(r->sk, msg);
	h = nlmsg_hdr(msg);
	if (b->n == RT_NLB_MAX || NLMSG_ALIGN(h->nlmsg_len) > sizeof(b->buf) - b->len) {
		nlmsg_free(msg);
		return qt_fail_sys(e, EMSGSIZE, "%s", what);
	}
	memcpy(b->buf + b->len, h, h->nlmsg_len);
	b->len += NLMSG_ALIGN(h->nlmsg_len);
	b->seq[b->n] = h->nlmsg_seq;
	b->what[b->n++] = what;
	nlmsg_free(msg);
	return 0;
}

static int take(struct rt_nlb *b, struct nlmsghdr *h, unsigned *left, bool *cut,
		int (*reply)(void *arg, unsigned i, struct nlmsghdr *h, struct qt_err *e), void *arg, struct qt_err *e)
{
	const struct nlmsgerr *er = NLMSG_DATA(h);
	unsigned i = 0;

	while (i < b->n && b->seq[i] != h->nlmsg_seq)
		i++;
	if (i == b->n) /* the rest of an exchange that was given up */
		return 0;
	if (h->nlmsg_flags & NLM_F_DUMP_INTR)
		*cut = true;
	switch (h->nlmsg_type) {
	case NLMSG_ERROR:
		if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*er)))
			return qt_fail_sys(e, EPROTO, "%s", b->what[i]);
		(*left)--;
		return er->error ? qt_fail_sys(e, -er->error, "%s", b->what[i]) : 0;
	case NLMSG_DONE:
		(*left)--;
		return 0;
	case NLMSG_NOOP:
		return 0;
	case NLMSG_OVERRUN:
		return qt_fail_sys(e, EOVERFLOW, "%s", b->what[i]);
	default:
		return reply ? reply(arg, i, h, e) : 0;
	}
}

int rt_nlb_run(struct rt_rtnl *r, struct rt_nlb *b, int (*reply)(void *arg, unsigned i, struct nlmsghdr *h, struct qt_err *e),
	       void *arg, struct qt_err *e)
{
	auto_free char *buf = malloc(REPLY_MAX);
	unsigned left = b->n;
	bool cut = false;
	int ret = 0;

	if (!buf)
		return qt_fail_sys(e, ENOMEM, "rtnetlink");
	if (nl_sendto(r->sk, b->buf, b->len) < 0)
		return qt_fail_sys(e, errno, "send to rtnetlink");
	while (left > 0) {
		struct sockaddr_nl from = {0};
		struct iovec iov = {buf, REPLY_MAX};
		struct msghdr m = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
		/* The kernel has answered, or begun to, before the send came back: what is not there now never comes. */
		ssize_t n = recvmsg(nl_socket_get_fd(r->sk), &m, MSG_DONTWAIT);
		int len = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return qt_fail_sys(e, errno == EAGAIN ? EPROTO : errno, "%s", b->what[0]);
		if (m.msg_flags & MSG_TRUNC)
			return qt_fail_sys(e, EMSGSIZE, "%s", b->what[0]);
		if (from.nl_pid != 0)
			continue;
		for (struct nlmsghdr *h = (struct nlmsghdr *)(void *)buf; nlmsg_ok(h, len); h = nlmsg_next(h, &len))
			if (take(b, h, &left, &cut, reply, arg, e) < 0)
				ret = -1;
	}
	if (cut && ret == 0)
		return qt_fail_sys(e, EINTR, "%s", b->what[0]);
	return ret;
}
