#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "netct.h"

#define REPLY_MAX 65536
#define TUPLE_MAX 128 /* of an IPv4 connection it is half of that */

struct rt_ct {
	struct mnl_socket *sock;
	uint32_t seq;
};

int rt_ct_open(struct rt_ct **ret, struct qt_err *e)
{
	struct rt_ct *c = calloc(1, sizeof(*c));

	if (!c)
		return qt_fail_sys(e, ENOMEM, "connection tracking");
	c->sock = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!c->sock || mnl_socket_bind(c->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		int sys = errno;

		rt_ct_close(c);
		return qt_fail_sys(e, sys, "connection tracking");
	}
	*ret = c;
	return 0;
}

void rt_ct_close(struct rt_ct *c)
{
	if (!c)
		return;
	if (c->sock)
		(void)mnl_socket_close(c->sock);
	free(c);
}

/* How a connection is named when it is to go: its first tuple, and its zone. */
struct entry {
	unsigned char tuple[TUPLE_MAX];
	uint16_t tuple_len;
	bool has_zone;
	uint16_t zone;
};

struct walk {
	bool (*gone)(uint32_t ip, void *arg);
	void *arg;
	struct entry *v;
	size_t n, cap;
	int sys;
};

/* One entry while it is read. */
struct seen {
	struct walk *w;
	const struct nlattr *orig, *zone;
	bool gone;
};

static int on_address(const struct nlattr *a, void *arg)
{
	struct seen *s = arg;
	unsigned type = mnl_attr_get_type(a);

	if ((type == CTA_IP_V4_SRC || type == CTA_IP_V4_DST) && mnl_attr_validate(a, MNL_TYPE_U32) == 0)
		s->gone = s->gone || s->w->gone(ntohl(mnl_attr_get_u32(a)), s->w->arg);
	return MNL_CB_OK;
}

static int on_tuple(const struct nlattr *a, void *arg)
{
	return mnl_attr_get_type(a) == CTA_TUPLE_IP ? mnl_attr_parse_nested(a, on_address, arg) : MNL_CB_OK;
}

static void keep(struct walk *w, const struct nlattr *orig, const struct nlattr *zone)
{
	struct entry *en;

	if (w->n == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 64;
		struct entry *v = reallocarray(w->v, cap, sizeof(*v));

		if (!v) {
			w->sys = ENOMEM;
			return;
		}
		w->v = v;
		w->cap = cap;
	}
	en = &w->v[w->n];
	if (mnl_attr_get_payload_len(orig) > sizeof(en->tuple)) {
		w->sys = EMSGSIZE;
		return;
	}
	en->tuple_len = mnl_attr_get_payload_len(orig);
	memcpy(en->tuple, mnl_attr_get_payload(orig), en->tuple_len);
	en->has_zone = zone && mnl_attr_validate(zone, MNL_TYPE_U16) == 0;
	en->zone = en->has_zone ? mnl_attr_get_u16(zone) : 0;
	w->n++;
}

static int on_attr(const struct nlattr *a, void *arg)
{
	struct seen *s = arg;

	switch (mnl_attr_get_type(a)) {
	case CTA_TUPLE_ORIG:
		s->orig = a;
		return mnl_attr_parse_nested(a, on_tuple, s);
	case CTA_TUPLE_REPLY:
		return mnl_attr_parse_nested(a, on_tuple, s);
	case CTA_ZONE:
		s->zone = a;
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

static int on_entry(const struct nlmsghdr *h, void *arg)
{
	struct seen s = {.w = arg};

	if (mnl_attr_parse(h, sizeof(struct nfgenmsg), on_attr, &s) == MNL_CB_OK && s.gone && s.orig)
		keep(arg, s.orig, s.zone);
	return MNL_CB_OK;
}

static struct nlmsghdr *begin(struct rt_ct *c, char *buf, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *g;

	h->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	h->nlmsg_seq = ++c->seq;
	g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	g->nfgen_family = AF_INET;
	g->version = NFNETLINK_V0;
	return h;
}

/* Send the request in BUF, which takes the answers; they are there when the send comes back, or are made as they are read. An errno, or 0. */
static int talk(struct rt_ct *c, char *buf, mnl_cb_t cb, void *arg)
{
	const struct nlmsghdr *h = (const void *)buf;
	uint32_t seq = h->nlmsg_seq;
	int r = MNL_CB_OK;

	if (mnl_socket_sendto(c->sock, h, h->nlmsg_len) < 0)
		return errno;
	while (r > MNL_CB_STOP) {
		ssize_t len = recv(mnl_socket_get_fd(c->sock), buf, REPLY_MAX, MSG_DONTWAIT);

		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return errno == EAGAIN ? EPROTO : errno;
		if (h->nlmsg_seq != seq) /* the rest of an exchange that was given up */
			continue;
		r = mnl_cb_run(buf, (size_t)len, seq, mnl_socket_get_portid(c->sock), cb, arg);
	}
	return r < 0 ? errno : 0;
}

static int forget(struct rt_ct *c, char *buf, const struct entry *en)
{
	struct nlmsghdr *h = begin(c, buf, IPCTNL_MSG_CT_DELETE, NLM_F_ACK);
	int sys;

	mnl_attr_put(h, CTA_TUPLE_ORIG | NLA_F_NESTED, en->tuple_len, en->tuple);
	if (en->has_zone)
		mnl_attr_put_u16(h, CTA_ZONE, en->zone);
	sys = talk(c, buf, NULL, NULL);
	return sys == ENOENT ? 0 : sys; /* it ended by itself */
}

int rt_ct_forget(struct rt_ct *c, bool (*gone)(uint32_t ip, void *arg), void *arg, struct qt_err *e)
{
	struct walk w = {.gone = gone, .arg = arg};
	auto_free char *buf = malloc(REPLY_MAX);
	int sys;

	if (!buf)
		return qt_fail_sys(e, ENOMEM, "connection tracking");
	(void)begin(c, buf, IPCTNL_MSG_CT_GET, NLM_F_DUMP);
	sys = talk(c, buf, on_entry, &w);
	if (sys == 0)
		sys = w.sys;
	for (size_t i = 0; i < w.n && sys == 0; i++)
		sys = forget(c, buf, &w.v[i]);
	free(w.v);
	return sys == 0 ? 0 : qt_fail_sys(e, sys, "forget the connections of a former address");
}
