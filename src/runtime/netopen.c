/* The network's beginning and end: the uplink, what the settings say, the packet filter. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "net_inner.h"
#include "netdns.h"
#include "netns.h"
#include "rnd.h"
#include "str.h"

#define NOTE_OFF "quiltd: forwarding was off on "
#define MTU_MIN	 576
#define MTU_MAX	 1500

static const struct rt_rules *rules(const struct rt_net *n)
{
	return rt_filter_rules(n->filter);
}

/* The uplink must forward, or answers to containers stop there. Global in effect, so what was is noted in the table
 * itself, where it outlives this process, and undone at the end. */
int rt_net_forward(struct rt_net *n, const char *link, const char *value, struct qt_err *e)
{
	char name[64];

	if (!qt_fmt(name, sizeof(name), "net/ipv4/conf/%s/forwarding", link))
		return qt_fail_sys(e, ENAMETOOLONG, "uplink");
	return rt_sysctl_set(n->sys_fd, name, value, e);
}

static int forwards(struct rt_net *n, const char *link, struct qt_err *e)
{
	char name[64];

	if (!qt_fmt(name, sizeof(name), "net/ipv4/conf/%s/forwarding", link))
		return qt_fail_sys(e, ENAMETOOLONG, "uplink");
	return rt_sysctl_get(n->sys_fd, name, e);
}

static void forward_no_more(struct rt_net *n, const char *note)
{
	struct qt_err gone = {0}; /* the link may be */

	if (qt_starts(note, NOTE_OFF))
		(void)rt_net_forward(n, note + strlen(NOTE_OFF), "0", &gone);
}

static int find_uplink(struct rt_net *n, const struct qt_conf *conf, struct rt_rules *r,
		       struct qt_err *e)
{
	struct rt_link l;
	int there;

	if (qt_streq(conf->uplink, "none"))
		return 0;
	if (qt_streq(conf->uplink, "auto")) {
		if (rt_rtnl_default(n->rt, r->uplink, e) < 0)
			return -1;
	} else if (!qt_copy(r->uplink, sizeof(r->uplink), conf->uplink)) {
		return qt_fail(e, QT_E_VALIDATION_ERROR, "uplink: the name is too long");
	}
	if (r->uplink[0] == '\0')
		return 0;
	if (qt_starts(r->uplink, r->prefix))
		return qt_fail(e, QT_E_VALIDATION_ERROR,
			       "link_prefix: '%s' begins the uplink's name (%s) too", r->prefix,
			       r->uplink);
	there = rt_rtnl_find(n->rt, r->uplink, &l, e);
	if (there <= 0)
		return there < 0 ? -1
				 : qt_fail(e, QT_E_VALIDATION_ERROR,
					   "uplink: there is no link '%s'", r->uplink);
	n->mtu = l.mtu >= MTU_MIN && l.mtu < MTU_MAX ? l.mtu : 0;
	return 0;
}

static int read_conf(struct rt_net *n, const struct qt_conf *conf, struct rt_rules *r,
		     struct qt_err *e)
{
	uint32_t start;
	int dns;

	if (!rt_cidr_parse(&r->pool, conf->subnet))
		return qt_fail(e, QT_E_VALIDATION_ERROR,
			       "subnet: '%s' is no IPv4 network in CIDR form", conf->subnet);
	if (!rt_net_parse(&r->gateway, conf->gateway))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "gateway: '%s' is no IPv4 address",
			       conf->gateway);
	if (!qt_copy(r->table, sizeof(r->table), conf->instance) || r->table[0] == '\0' ||
	    !qt_copy(r->prefix, sizeof(r->prefix), conf->link_prefix) ||
	    !qt_fmt(n->alias, sizeof(n->alias), "quiltd %s", conf->instance))
		return qt_fail(e, QT_E_VALIDATION_ERROR,
			       "instance, link_prefix: a name is needed, and not such a long one");
	dns = rt_dns_servers(conf, r->dns, e);
	if (dns < 0)
		return -1;
	r->n_dns = (unsigned)dns;
	r->resolver = conf->dns != 0;
	qt_rnd(&start, sizeof(start));
	return rt_pool_new(&n->pool, &r->pool, r->gateway, r->prefix, start, e);
}

static int open_filter(struct rt_net *n, struct rt_rules *r, struct qt_err *e)
{
	char old[RT_NOTE_SIZE], mine[RT_NOTE_SIZE];
	int on;

	if (rt_filter_old_note(r->table, old, e) < 0)
		return -1;
	(void)qt_fmt(mine, sizeof(mine), NOTE_OFF "%s", r->uplink);
	if (!qt_streq(old, mine)) {
		forward_no_more(n, old);
		(void)qt_copy(old, sizeof(old), "quiltd");
	}
	if (r->uplink[0] == '\0') {
		(void)qt_copy(r->note, sizeof(r->note), "quiltd");
		return rt_filter_open(&n->filter, r, e);
	}
	on = forwards(n, r->uplink, e);
	if (on < 0)
		return -1;
	(void)qt_copy(r->note, sizeof(r->note), on ? old : mine);
	r->not_a_router = qt_starts(r->note, NOTE_OFF);
	if (rt_filter_open(&n->filter, r, e) < 0)
		return -1;
	return rt_net_forward(n, r->uplink, "1", e);
}

int rt_net_open(struct rt_net **ret, const struct qt_conf *conf, struct qt_err *e)
{
	struct rt_net *n = calloc(1, sizeof(*n));
	struct qt_err no_ct = {0};
	struct rt_rules r = {0};

	if (!n)
		return qt_fail_sys(e, ENOMEM, "network");
	n->own_ns = -1;
	n->sys_fd = rt_sysctl_open(e);
	if (n->sys_fd < 0)
		goto fail;
	n->ipv6 = rt_sysctl_has(n->sys_fd, "net/ipv6/conf/all");
	(void)rt_ct_open(&n->ct, &no_ct);
	n->own_ns = rt_netns_open(0, e);
	if (n->own_ns < 0 || rt_rtnl_open(&n->rt, e) < 0 || read_conf(n, conf, &r, e) < 0 ||
	    find_uplink(n, conf, &r, e) < 0 || open_filter(n, &r, e) < 0)
		goto fail;
	*ret = n;
	return 0;
fail:
	rt_net_close(n);
	return qt_context(e, "network");
}

void rt_net_close(struct rt_net *n)
{
	if (!n)
		return;
	free(n->ghosts);
	rt_filter_close(n->filter);
	rt_pool_free(n->pool);
	rt_ct_close(n->ct);
	rt_rtnl_close(n->rt);
	qt_close(n->own_ns);
	qt_close(n->sys_fd);
	free(n);
}

const char *rt_net_uplink(const struct rt_net *n)
{
	return rules(n)->uplink[0] != '\0' ? rules(n)->uplink : NULL;
}

int rt_net_remove(struct rt_net *n, struct qt_err *e)
{
	if (rt_filter_count(n->filter) > 0)
		return qt_fail(e, QT_E_CONFLICT,
			       "containers are attached: without the packet filter they would be "
			       "open to all");
	if (rt_filter_remove(n->filter, e) < 0)
		return -1;
	forward_no_more(n, rules(n)->note);
	return 0;
}
