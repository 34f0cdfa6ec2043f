/* The further routes of a container: told from all others by the protocol number that is ours. */
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/socket.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "rtnl_batch.h"

#define OURS 113 /* no routing daemon's (rt_protos) */

static int run(struct rt_rtnl *r, struct nl_msg *m, const char *what, struct qt_err *e)
{
	struct rt_nlb b = {0};

	return rt_nlb_put(r, &b, m, what, e) < 0 ? -1 : rt_nlb_run(r, &b, NULL, NULL, e);
}

static struct nl_msg *message(int type, int flags, const struct rt_cidr *dst)
{
	struct rtmsg rt = {.rtm_family = AF_INET,
			   .rtm_dst_len = (unsigned char)dst->bits,
			   .rtm_table = RT_TABLE_MAIN,
			   .rtm_protocol = OURS,
			   .rtm_scope = RT_SCOPE_UNIVERSE,
			   .rtm_type = RTN_UNICAST,
			   .rtm_flags = RTNH_F_ONLINK};
	struct nl_msg *m = nlmsg_alloc_simple(type, flags);

	if (m && (nlmsg_append(m, &rt, sizeof(rt), NLMSG_ALIGNTO) < 0 || nla_put_u32(m, RTA_DST, htonl(dst->base)) < 0)) {
		nlmsg_free(m);
		m = NULL;
	}
	return m;
}

int rt_rtnl_route_add(struct rt_rtnl *r, uint32_t gateway, const struct rt_cidr *dst, struct qt_err *e)
{
	struct nl_msg *m;
	struct rt_link eth;
	int there = rt_rtnl_find(r, RT_INNER_LINK, &eth, e);

	if (there <= 0)
		return there < 0 ? -1 : qt_fail_sys(e, ENODEV, "find the container's end");
	m = message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, dst);
	if (m && (nla_put_u32(m, RTA_GATEWAY, htonl(gateway)) < 0 || nla_put_u32(m, RTA_OIF, (uint32_t)eth.index) < 0)) {
		nlmsg_free(m);
		m = NULL;
	}
	return run(r, m, "add a route", e);
}

int rt_rtnl_route_del(struct rt_rtnl *r, const struct rt_cidr *dst, struct qt_err *e)
{
	struct qt_err mine = {0};

	if (run(r, message(RTM_DELROUTE, 0, dst), "remove a route", &mine) == 0 || mine.sys == ESRCH)
		return 0;
	return qt_fail_sys(e, mine.sys, "remove a route");
}

struct found {
	struct rt_cidr *v;
	int n;
};

static int on_route(void *arg, unsigned i, struct nlmsghdr *h, struct qt_err *e)
{
	const struct rtmsg *rt = nlmsg_data(h);
	struct nlattr *tb[RTA_MAX + 1];
	struct found *f = arg;

	(void)i;
	if (h->nlmsg_type != RTM_NEWROUTE || nlmsg_parse(h, sizeof(*rt), tb, RTA_MAX, NULL) < 0)
		return qt_fail_sys(e, EPROTO, "read a route");
	if (rt->rtm_protocol != OURS || rt->rtm_table != RT_TABLE_MAIN || !tb[RTA_DST] || f->n == RT_ROUTES_MAX)
		return 0;
	f->v[f->n++] = (struct rt_cidr){ntohl(nla_get_u32(tb[RTA_DST])), rt->rtm_dst_len};
	return 0;
}

int rt_rtnl_routes(struct rt_rtnl *r, struct rt_cidr *out, struct qt_err *e)
{
	struct rtmsg rt = {.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = OURS};
	struct nl_msg *m = nlmsg_alloc_simple(RTM_GETROUTE, NLM_F_DUMP);
	struct found f = {out, 0};
	struct rt_nlb b = {0};
	int on = 1;

	/* So the kernel leaves out what is not ours, however much there is. */
	(void)setsockopt(nl_socket_get_fd(r->sk), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	if (m && nlmsg_append(m, &rt, sizeof(rt), NLMSG_ALIGNTO) < 0) {
		nlmsg_free(m);
		m = NULL;
	}
	if (rt_nlb_put(r, &b, m, "list routes", e) < 0 || rt_nlb_run(r, &b, on_route, &f, e) < 0)
		return -1;
	return f.n;
}
