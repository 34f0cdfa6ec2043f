#include <errno.h>
#include <libnftnl/common.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "nft.h"

#define REPLY_MAX 32768
#define KEEP_MAX  (1 << 18) /* a buffer beyond this is given back after the transaction */

struct rt_nft {
	struct mnl_socket *sock;
	uint32_t seq;	   /* of the next message */
	uint32_t first;	   /* of the transaction's first one behind the batch header */
	char *buf;
	size_t len, cap;
	size_t last;	   /* offset of the last message */
	const char **what; /* by message */
	uint32_t n, n_cap;
	bool no_memory;
	int sndbuf;
	char spare[RT_NFT_MSG_MAX]; /* is written to, and never sent, once memory ran out */
};

int rt_nft_open(struct rt_nft **ret, struct qt_err *e)
{
	struct rt_nft *n = calloc(1, sizeof(*n));
	int on = 1;

	if (!n)
		return qt_fail_sys(e, ENOMEM, "nftables socket");
	n->sock = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!n->sock || mnl_socket_bind(n->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		int sys = errno;

		rt_nft_close(n);
		return qt_fail_sys(e, sys, "nftables socket (does the kernel have nf_tables?)");
	}
	/* Errors without a copy of the message, but with the kernel's words. */
	(void)mnl_socket_setsockopt(n->sock, NETLINK_CAP_ACK, &on, sizeof(on));
	(void)mnl_socket_setsockopt(n->sock, NETLINK_EXT_ACK, &on, sizeof(on));
	*ret = n;
	return 0;
}

void rt_nft_close(struct rt_nft *n)
{
	if (!n)
		return;
	if (n->sock)
		(void)mnl_socket_close(n->sock);
	free(n->buf);
	free(n->what);
	free(n);
}

/* Room for one message at the end, or the spare. */
static char *room(struct rt_nft *n)
{
	if (n->cap - n->len < RT_NFT_MSG_MAX) {
		size_t cap = n->cap * 2 > n->len + RT_NFT_MSG_MAX ? n->cap * 2 : n->len + RT_NFT_MSG_MAX;
		char *more = realloc(n->buf, cap);

		if (!more) {
			n->no_memory = true;
			return n->spare;
		}
		n->buf = more;
		n->cap = cap;
	}
	return n->buf + n->len;
}

void rt_nft_begin(struct rt_nft *n)
{
	char *at;

	n->len = 0;
	n->n = 0;
	n->no_memory = false;
	at = room(n);
	n->len += nftnl_batch_begin(at, n->seq++)->nlmsg_len;
	n->first = n->seq;
}

struct nlmsghdr *rt_nft_msg(struct rt_nft *n, uint16_t type, uint16_t flags, const char *what)
{
	if (n->n == n->n_cap) {
		uint32_t cap = n->n_cap ? n->n_cap * 2 : 64;
		const char **more = realloc(n->what, cap * sizeof(*more));

		if (more) {
			n->what = more;
			n->n_cap = cap;
		} else {
			n->no_memory = true;
		}
	}
	if (n->n < n->n_cap)
		n->what[n->n++] = what;
	return nftnl_nlmsg_build_hdr(n->no_memory ? n->spare : room(n), type, NFPROTO_INET, flags, n->seq++);
}

void rt_nft_msg_done(struct rt_nft *n, struct nlmsghdr *h)
{
	if (n->no_memory)
		return;
	n->last = n->len;
	n->len += MNL_ALIGN(h->nlmsg_len);
}

void rt_nft_spoil(struct rt_nft *n)
{
	n->no_memory = true;
}

static int on_ack_attr(const struct nlattr *a, void *arg)
{
	if (mnl_attr_get_type(a) == NLMSGERR_ATTR_MSG && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
		*(const char **)arg = mnl_attr_get_str(a);
	return MNL_CB_OK;
}

static const char *kernel_words(const struct nlmsghdr *h)
{
	const struct nlmsgerr *er = mnl_nlmsg_get_payload(h);
	const char *words = NULL;
	size_t skip = sizeof(*er);

	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	if (!(h->nlmsg_flags & NLM_F_CAPPED))
		skip += mnl_nlmsg_get_payload_len(&er->msg);
	(void)mnl_attr_parse(h, (unsigned)skip, on_ack_attr, &words);
	return words;
}

struct verdict {
	bool taken; /* the last message was acknowledged */
	int sys;
	const char *what;
	char words[80];
};

static void judge(struct rt_nft *n, const struct nlmsghdr *h, struct verdict *v)
{
	const struct nlmsgerr *er = mnl_nlmsg_get_payload(h);
	uint32_t i = h->nlmsg_seq - n->first;
	const char *words;

	if (h->nlmsg_type != NLMSG_ERROR || mnl_nlmsg_get_payload_len(h) < sizeof(*er))
		return;
	if (er->error == 0) {
		v->taken = v->taken || i == n->n - 1;
		return;
	}
	if (v->sys != 0 || (i >= n->n && h->nlmsg_seq != n->first - 1)) /* an answer to something older */
		return;
	v->sys = -er->error;
	v->what = i < n->n ? n->what[i] : "the transaction";
	words = kernel_words(h);
	if (words)
		(void)snprintf(v->words, sizeof(v->words), " (%s)", words);
}

int rt_nft_commit(struct rt_nft *n, const char **ret_what, struct qt_err *e)
{
	auto_free char *reply = malloc(REPLY_MAX);
	struct verdict v = {0};
	int need;

	if (n->n > 0 && !n->no_memory)
		((struct nlmsghdr *)(void *)(n->buf + n->last))->nlmsg_flags |= NLM_F_ACK;
	if (!n->no_memory) {
		char *at = room(n);

		n->len += nftnl_batch_end(at, n->seq++)->nlmsg_len;
	}
	if (n->no_memory || !reply)
		return qt_fail_sys(e, ENOMEM, "nftables transaction");

	need = (int)(n->len > INT32_MAX / 2 ? INT32_MAX / 2 : n->len) + 4096;
	if (need > n->sndbuf) {
		if (setsockopt(mnl_socket_get_fd(n->sock), SOL_SOCKET, SO_SNDBUFFORCE, &need, sizeof(need)) == 0)
			n->sndbuf = need;
	}
	if (mnl_socket_sendto(n->sock, n->buf, n->len) < 0)
		return qt_fail_sys(e, errno, "nftables transaction");
	/* The kernel has done it, or refused, before the send came back: what is not there now never comes. */
	for (;;) {
		ssize_t len = recv(mnl_socket_get_fd(n->sock), reply, REPLY_MAX, MSG_DONTWAIT);
		int left = (int)len;

		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0 && errno == ENOBUFS && v.sys == 0) {
			v.sys = EPROTO;
			v.what = "the transaction";
			continue;
		}
		if (len <= 0)
			break;
		for (const struct nlmsghdr *h = (const void *)reply; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
			judge(n, h, &v);
	}
	if (n->cap > KEEP_MAX) {
		free(n->buf);
		n->buf = NULL;
		n->cap = 0;
	}
	if (v.sys == 0 && v.taken)
		return 0;
	if (ret_what)
		*ret_what = v.what;
	if (v.sys == 0)
		return qt_fail_sys(e, EPROTO, "nftables gave no answer");
	return qt_fail_sys(e, v.sys, "nftables refuses %s%s", v.what, v.words);
}

/* Send the question in BUF, which takes the answers. 1, 0 if there is no such thing, -1. */
static int ask(struct rt_nft *n, char *buf, mnl_cb_t cb, void *arg, struct qt_err *e)
{
	const struct nlmsghdr *h = (const void *)buf;
	uint32_t seq = h->nlmsg_seq;
	int r = MNL_CB_OK;

	if (mnl_socket_sendto(n->sock, h, h->nlmsg_len) < 0)
		return qt_fail_sys(e, errno, "nftables question");
	while (r > MNL_CB_STOP) {
		ssize_t len = recv(mnl_socket_get_fd(n->sock), buf, REPLY_MAX, MSG_DONTWAIT);

		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return qt_fail_sys(e, errno == EAGAIN ? EPROTO : errno, "nftables question");
		if (h->nlmsg_seq != seq)
			continue;
		r = mnl_cb_run(buf, (size_t)len, seq, mnl_socket_get_portid(n->sock), cb, arg);
	}
	if (r < 0)
		return errno == ENOENT ? 0 : qt_fail_sys(e, errno, "nftables question");
	return 1;
}

int rt_nft_ask(struct rt_nft *n, uint16_t type, uint16_t flags, const char *table, const char *set, mnl_cb_t cb, void *arg,
	       struct qt_err *e)
{
	auto_free char *buf = malloc(REPLY_MAX);
	struct nlmsghdr *h;

	if (!buf)
		return qt_fail_sys(e, ENOMEM, "nftables question");
	h = nftnl_nlmsg_build_hdr(buf, type, NFPROTO_INET, flags | NLM_F_ACK, n->seq++);
	mnl_attr_put_strz(h, NFTA_TABLE_NAME, table); /* by the same number in requests about sets, chains and rules */
	if (set)
		mnl_attr_put_strz(h, NFTA_SET_NAME, set);
	return ask(n, buf, cb, arg, e);
}

static int on_any(const struct nlmsghdr *h, void *arg)
{
	(void)h;
	(void)arg;
	return MNL_CB_OK;
}

int rt_nft_has(struct rt_nft *n, struct nftnl_set *elements, struct qt_err *e)
{
	auto_free char *buf = malloc(REPLY_MAX);
	struct nlmsghdr *h;

	if (!buf)
		return qt_fail_sys(e, ENOMEM, "nftables question");
	h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETSETELEM, NFPROTO_INET, NLM_F_ACK, n->seq++);
	nftnl_set_elems_nlmsg_build_payload(h, elements);
	return ask(n, buf, on_any, NULL, e);
}
