#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

#include "cleanup.h"
#include "netrules.h"
#include "netsets.h"
#include "str.h"

/* The pieces that rules are made of. "ours" are links with our prefix: those of containers. */
enum piece {
	P_END,
	P_FROM_OURS, P_FROM_OTHERS, P_FROM_UPLINK, /* the link it came by */
	P_TO_OURS, P_TO_OTHERS, P_TO_UPLINK,	   /* the link it goes by */
	P_IPV6, P_NOT_SRC, P_POOL_SRC,
	P_GATEWAY_DST, P_PRIV_DST, P_DNS_DST,
	P_ECHO, P_UDP_53, P_TCP_53,
	P_MARK_TENANT, P_SAME_TENANT,
	P_KNOWN, P_NEW, P_INVALID, P_NO_DNAT,	   /* connection tracking */
	P_TOO_MANY, P_TOO_MUCH, P_SLOWLY,
	P_COUNT, P_ACCEPT, P_DROP, P_MASQUERADE
};

enum when { ALWAYS, WITH_UPLINK, WITH_DNS, WITH_UPLINK_AND_DNS, WITH_RESOLVER, WITH_TALK, NO_ROUTER, WITH_COUNT };

#define PREROUTING "prerouting"
#define INPUT	   "input"
#define FORWARD	   "forward"
#define POSTROUTING "postrouting"

/* clang-format off */
static const struct {
	const char *name, *type;
	uint32_t hook, prio;
} chains[] = {
	{PREROUTING,  "filter", NF_INET_PRE_ROUTING,  (uint32_t)-300}, /* before connection tracking: nothing forged gets that far */
	{INPUT,       "filter", NF_INET_LOCAL_IN,     0},
	{FORWARD,     "filter", NF_INET_FORWARD,      0},
	{POSTROUTING, "nat",    NF_INET_POST_ROUTING, 100},
};

/*
 * security.md 5.11. Policies are "accept", since the hooks see the whole host's packets: each chain ends by dropping what is left
 * of ours. An "accept" here only ends our own chain; other tables still have their say.
 */
#define COUNT_RULE "too many connections"
#define TALK_RULE  "too much talk"
static const struct {
	const char *chain, *name;
	enum when when;
	enum piece p[9];
} rules[] = {
	{PREROUTING, "ipv6",              ALWAYS,      {P_FROM_OURS, P_IPV6, P_COUNT, P_DROP}},
	{PREROUTING, "forged source",     ALWAYS,      {P_FROM_OURS, P_NOT_SRC, P_COUNT, P_DROP}},
	{PREROUTING, "forged container",  ALWAYS,      {P_FROM_OTHERS, P_POOL_SRC, P_COUNT, P_DROP}},

	{INPUT, TALK_RULE,                WITH_TALK,     {P_FROM_OURS, P_GATEWAY_DST, P_TOO_MUCH, P_COUNT, P_DROP}},
	{INPUT, "resolver by udp",        WITH_RESOLVER, {P_FROM_OURS, P_GATEWAY_DST, P_UDP_53, P_ACCEPT}},
	{INPUT, "resolver by tcp",        WITH_RESOLVER, {P_FROM_OURS, P_GATEWAY_DST, P_TCP_53, P_ACCEPT}},
	{INPUT, "ping of the gateway",    ALWAYS,      {P_FROM_OURS, P_GATEWAY_DST, P_ECHO, P_SLOWLY, P_ACCEPT}},
	/* A nameserver may be an address of this host. */
	{INPUT, "dns by udp",             WITH_DNS,    {P_FROM_OURS, P_DNS_DST, P_UDP_53, P_ACCEPT}},
	{INPUT, "dns by tcp",             WITH_DNS,    {P_FROM_OURS, P_DNS_DST, P_TCP_53, P_ACCEPT}},
	{INPUT, "the host",               ALWAYS,      {P_FROM_OURS, P_COUNT, P_DROP}},

	{FORWARD, "known connections",    ALWAYS,      {P_KNOWN, P_ACCEPT}},
	{FORWARD, "not a router",         NO_ROUTER,   {P_FROM_UPLINK, P_TO_OTHERS, P_NO_DNAT, P_COUNT, P_DROP}},
	{FORWARD, "not ours",             ALWAYS,      {P_FROM_OTHERS, P_TO_OTHERS, P_ACCEPT}},
	{FORWARD, "invalid",              ALWAYS,      {P_INVALID, P_COUNT, P_DROP}},
	{FORWARD, COUNT_RULE,             WITH_COUNT,  {P_FROM_OURS, P_NEW, P_TOO_MANY, P_COUNT, P_DROP}},
	{FORWARD, "which tenant",         ALWAYS,      {P_FROM_OURS, P_TO_OURS, P_MARK_TENANT}},
	{FORWARD, "same tenant",          ALWAYS,      {P_FROM_OURS, P_TO_OURS, P_SAME_TENANT, P_ACCEPT}},
	{FORWARD, "dns by udp",           WITH_UPLINK_AND_DNS, {P_FROM_OURS, P_TO_UPLINK, P_DNS_DST, P_UDP_53, P_ACCEPT}},
	{FORWARD, "dns by tcp",           WITH_UPLINK_AND_DNS, {P_FROM_OURS, P_TO_UPLINK, P_DNS_DST, P_TCP_53, P_ACCEPT}},
	{FORWARD, "private destination",  ALWAYS,      {P_FROM_OURS, P_PRIV_DST, P_COUNT, P_DROP}},
	{FORWARD, "egress",               WITH_UPLINK, {P_FROM_OURS, P_TO_UPLINK, P_ACCEPT}},
	{FORWARD, "all else",             ALWAYS,      {P_COUNT, P_DROP}},

	{POSTROUTING, "nat",              WITH_UPLINK, {P_TO_UPLINK, P_POOL_SRC, P_MASQUERADE}},
};
/* clang-format on */

bool rt_rules_is_count(const char *what)
{
	return what && (qt_streq(what, COUNT_RULE) || qt_streq(what, RT_SET_CONNS) || qt_streq(what, TALK_RULE) ||
			qt_streq(what, RT_SET_TALK));
}

static bool applies(enum when w, const struct rt_rules *r)
{
	bool up = r->uplink[0] != '\0', dns = r->n_dns > 0;

	switch (w) {
	case ALWAYS:
		return true;
	case WITH_UPLINK:
		return up;
	case WITH_DNS:
		return dns;
	case WITH_UPLINK_AND_DNS:
		return up && dns;
	case WITH_RESOLVER:
		return r->resolver;
	case WITH_TALK:
		return r->resolver && !r->no_count;
	case NO_ROUTER:
		return up && r->not_a_router;
	case WITH_COUNT:
		return !r->no_count;
	}
	return false;
}

/* A rule under construction. An incomplete one must not reach the kernel, since it could accept more than it should: whatever runs
 * out of memory here spoils the whole transaction. */
struct build {
	struct rt_nft *n;
	struct nftnl_rule *rule;
	const struct rt_rules *r;
};

static struct nftnl_expr *expr(struct build *b, const char *name)
{
	struct nftnl_expr *x = nftnl_expr_alloc(name);

	if (x)
		nftnl_rule_add_expr(b->rule, x);
	else
		rt_nft_spoil(b->n);
	return x;
}

static void set_name(struct build *b, struct nftnl_expr *x, uint16_t attr, const char *set)
{
	if (nftnl_expr_set_str(x, attr, set) < 0)
		rt_nft_spoil(b->n);
}

static void meta(struct build *b, uint32_t key)
{
	struct nftnl_expr *x = expr(b, "meta");

	if (!x)
		return;
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_DREG, NFT_REG_1);
}

static void payload(struct build *b, uint32_t base, uint32_t offset, uint32_t len, uint32_t reg)
{
	struct nftnl_expr *x = expr(b, "payload");

	if (!x)
		return;
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_LEN, len);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_DREG, reg);
}

static void cmp(struct build *b, uint32_t op, const void *data, uint32_t len)
{
	struct nftnl_expr *x = expr(b, "cmp");

	if (!x)
		return;
	nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_OP, op);
	nftnl_expr_set(x, NFTNL_EXPR_CMP_DATA, data, len);
}

static void mask(struct build *b, uint32_t m)
{
	struct nftnl_expr *x = expr(b, "bitwise");
	uint32_t zero = 0;

	if (!x)
		return;
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_LEN, sizeof(m));
	nftnl_expr_set(x, NFTNL_EXPR_BITWISE_MASK, &m, sizeof(m));
	nftnl_expr_set(x, NFTNL_EXPR_BITWISE_XOR, &zero, sizeof(zero));
}

static void lookup(struct build *b, const char *set, bool not_in)
{
	struct nftnl_expr *x = expr(b, "lookup");

	if (!x)
		return;
	nftnl_expr_set_u32(x, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
	set_name(b, x, NFTNL_EXPR_LOOKUP_SET, set);
	if (not_in)
		nftnl_expr_set_u32(x, NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
}

static void link_begins(struct build *b, uint32_t key, uint32_t op, const char *prefix)
{
	meta(b, key);
	cmp(b, op, prefix, (uint32_t)strlen(prefix));
}

static void link_is(struct build *b, uint32_t key, const char *name)
{
	char full[16] = {0};

	(void)qt_copy(full, sizeof(full), name);
	meta(b, key);
	cmp(b, NFT_CMP_EQ, full, sizeof(full));
}

static void family(struct build *b, uint8_t nfproto)
{
	meta(b, NFT_META_NFPROTO);
	cmp(b, NFT_CMP_EQ, &nfproto, sizeof(nfproto));
}

#define IP_SRC 12
#define IP_DST 16
static void ip_addr(struct build *b, uint32_t offset)
{
	family(b, NFPROTO_IPV4);
	payload(b, NFT_PAYLOAD_NETWORK_HEADER, offset, 4, NFT_REG_1);
}

static void l4_field(struct build *b, uint8_t proto, uint32_t offset, const void *value, uint32_t len)
{
	meta(b, NFT_META_L4PROTO);
	cmp(b, NFT_CMP_EQ, &proto, sizeof(proto));
	payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, offset, len, NFT_REG_1);
	cmp(b, NFT_CMP_EQ, value, len);
}

static void ct(struct build *b, uint32_t key, uint32_t bits, bool some)
{
	struct nftnl_expr *x = expr(b, "ct");
	uint32_t zero = 0;

	if (!x)
		return;
	nftnl_expr_set_u32(x, NFTNL_EXPR_CT_KEY, key);
	nftnl_expr_set_u32(x, NFTNL_EXPR_CT_DREG, NFT_REG_1);
	mask(b, bits);
	cmp(b, some ? NFT_CMP_NEQ : NFT_CMP_EQ, &zero, sizeof(zero));
}

/* The packet's mark becomes the number of its source's tenant ... */
static void mark_tenant(struct build *b)
{
	struct nftnl_expr *x;

	ip_addr(b, IP_SRC);
	x = expr(b, "lookup");
	if (!x)
		return;
	nftnl_expr_set_u32(x, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(x, NFTNL_EXPR_LOOKUP_DREG, NFT_REG_1);
	set_name(b, x, NFTNL_EXPR_LOOKUP_SET, RT_SET_TENANT);
	x = expr(b, "meta");
	if (!x)
		return;
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_KEY, NFT_META_MARK);
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_SREG, NFT_REG_1);
}

/* ... and mark and destination are looked up as one key. As fast as a set of all pairs of addresses, which would grow with the square
 * of a tenant's containers. (Without the detour by the mark, nft 1.0.6 dies when it lists the rule.) */
static void same_tenant(struct build *b)
{
	family(b, NFPROTO_IPV4);
	meta(b, NFT_META_MARK);
	payload(b, NFT_PAYLOAD_NETWORK_HEADER, IP_DST, 4, NFT_REG32_01);
	lookup(b, RT_SET_MEMBER, false);
}

/* An element of SET for the packet's source, which holds a LIMIT of its own; the caller fills the limit. NULL: spoilt. */
static struct nftnl_expr *limit_by_source(struct build *b, const char *set, const char *limit)
{
	struct nftnl_expr *el, *l;

	ip_addr(b, IP_SRC);
	el = expr(b, "dynset");
	l = nftnl_expr_alloc(limit);
	if (!el || !l) {
		if (l)
			nftnl_expr_free(l);
		rt_nft_spoil(b->n);
		return NULL;
	}
	nftnl_expr_set_u32(el, NFTNL_EXPR_DYNSET_SREG_KEY, NFT_REG_1);
	nftnl_expr_set_u32(el, NFTNL_EXPR_DYNSET_OP, NFT_DYNSET_OP_ADD);
	set_name(b, el, NFTNL_EXPR_DYNSET_SET_NAME, set);
	nftnl_expr_add_expr(el, NFTNL_EXPR_DYNSET_EXPR, l); /* takes it */
	return l;
}

static void too_many(struct build *b)
{
	struct nftnl_expr *limit = limit_by_source(b, RT_SET_CONNS, "connlimit");

	if (!limit)
		return;
	nftnl_expr_set_u32(limit, NFTNL_EXPR_CONNLIMIT_COUNT, RT_CONNS_MAX);
	nftnl_expr_set_u32(limit, NFTNL_EXPR_CONNLIMIT_FLAGS, NFT_CONNLIMIT_F_INV);
}

/* Before the one queue of the resolver's socket, in which a container that floods would leave no room for others. */
static void too_much(struct build *b)
{
	struct nftnl_expr *limit = limit_by_source(b, RT_SET_TALK, "limit");

	if (!limit)
		return;
	nftnl_expr_set_u64(limit, NFTNL_EXPR_LIMIT_RATE, RT_TALK_MAX);
	nftnl_expr_set_u64(limit, NFTNL_EXPR_LIMIT_UNIT, 1);
	nftnl_expr_set_u32(limit, NFTNL_EXPR_LIMIT_BURST, RT_TALK_MAX / 4);
	nftnl_expr_set_u32(limit, NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS);
	nftnl_expr_set_u32(limit, NFTNL_EXPR_LIMIT_FLAGS, NFT_LIMIT_F_INV);
}

static void slowly(struct build *b)
{
	struct nftnl_expr *x = expr(b, "limit");

	if (!x)
		return;
	nftnl_expr_set_u64(x, NFTNL_EXPR_LIMIT_RATE, 10);
	nftnl_expr_set_u64(x, NFTNL_EXPR_LIMIT_UNIT, 1);
	nftnl_expr_set_u32(x, NFTNL_EXPR_LIMIT_BURST, 5);
	nftnl_expr_set_u32(x, NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS);
}

static void verdict(struct build *b, uint32_t v)
{
	struct nftnl_expr *x = expr(b, "immediate");

	if (!x)
		return;
	nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_VERDICT, v);
}

static void put_piece(struct build *b, enum piece p)
{
	const struct rt_rules *r = b->r;
	const uint16_t dns_port = htons(53);
	const uint8_t echo = 8;
	uint32_t ip;

	switch (p) {
	case P_FROM_OURS:
		return link_begins(b, NFT_META_IIFNAME, NFT_CMP_EQ, r->prefix);
	case P_FROM_OTHERS:
		return link_begins(b, NFT_META_IIFNAME, NFT_CMP_NEQ, r->prefix);
	case P_TO_OURS:
		return link_begins(b, NFT_META_OIFNAME, NFT_CMP_EQ, r->prefix);
	case P_TO_OTHERS:
		return link_begins(b, NFT_META_OIFNAME, NFT_CMP_NEQ, r->prefix);
	case P_FROM_UPLINK:
		return link_is(b, NFT_META_IIFNAME, r->uplink);
	case P_TO_UPLINK:
		return link_is(b, NFT_META_OIFNAME, r->uplink);
	case P_IPV6:
		return family(b, NFPROTO_IPV6);
	case P_NOT_SRC:
		family(b, NFPROTO_IPV4);
		meta(b, NFT_META_IIFNAME);
		payload(b, NFT_PAYLOAD_NETWORK_HEADER, IP_SRC, 4, NFT_REG_2);
		return lookup(b, RT_SET_SRC, true);
	case P_POOL_SRC:
		ip = htonl(r->pool.base);
		ip_addr(b, IP_SRC);
		mask(b, htonl(rt_cidr_mask(&r->pool)));
		return cmp(b, NFT_CMP_EQ, &ip, sizeof(ip));
	case P_GATEWAY_DST:
		ip = htonl(r->gateway);
		ip_addr(b, IP_DST);
		return cmp(b, NFT_CMP_EQ, &ip, sizeof(ip));
	case P_PRIV_DST:
		ip_addr(b, IP_DST);
		return lookup(b, RT_SET_PRIV, false);
	case P_DNS_DST:
		ip_addr(b, IP_DST);
		return lookup(b, RT_SET_DNS, false);
	case P_ECHO:
		return l4_field(b, IPPROTO_ICMP, 0, &echo, sizeof(echo));
	case P_UDP_53:
		return l4_field(b, IPPROTO_UDP, 2, &dns_port, sizeof(dns_port));
	case P_TCP_53:
		return l4_field(b, IPPROTO_TCP, 2, &dns_port, sizeof(dns_port));
	case P_MARK_TENANT:
		return mark_tenant(b);
	case P_SAME_TENANT:
		return same_tenant(b);
	case P_KNOWN:
		return ct(b, NFT_CT_STATE, NF_CT_STATE_BIT(IP_CT_ESTABLISHED) | NF_CT_STATE_BIT(IP_CT_RELATED), true);
	case P_NEW:
		return ct(b, NFT_CT_STATE, NF_CT_STATE_BIT(IP_CT_NEW), true);
	case P_INVALID:
		return ct(b, NFT_CT_STATE, NF_CT_STATE_INVALID_BIT, true);
	case P_NO_DNAT:
		return ct(b, NFT_CT_STATUS, IPS_DST_NAT, false);
	case P_TOO_MANY:
		return too_many(b);
	case P_TOO_MUCH:
		return too_much(b);
	case P_SLOWLY:
		return slowly(b);
	case P_COUNT:
		(void)expr(b, "counter");
		return;
	case P_ACCEPT:
		return verdict(b, NF_ACCEPT);
	case P_DROP:
		return verdict(b, NF_DROP);
	case P_MASQUERADE:
		(void)expr(b, "masq");
		return;
	case P_END:
		break;
	}
	rt_nft_spoil(b->n);
}

static void put_rule(struct rt_nft *n, const struct rt_rules *r, size_t i)
{
	struct nlmsghdr *h = rt_nft_msg(n, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, rules[i].name);
	struct nftnl_udata_buf *comment = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
	struct build b = {n, nftnl_rule_alloc(), r};

	if (!b.rule || !comment) {
		rt_nft_spoil(n);
		goto out;
	}
	if (nftnl_rule_set_str(b.rule, NFTNL_RULE_TABLE, r->table) < 0 ||
	    nftnl_rule_set_str(b.rule, NFTNL_RULE_CHAIN, rules[i].chain) < 0)
		rt_nft_spoil(n);
	nftnl_rule_set_u32(b.rule, NFTNL_RULE_FAMILY, NFPROTO_INET);
	nftnl_udata_put_strz(comment, NFTNL_UDATA_RULE_COMMENT, rules[i].name);
	if (nftnl_rule_set_data(b.rule, NFTNL_RULE_USERDATA, nftnl_udata_buf_data(comment), nftnl_udata_buf_len(comment)) < 0)
		rt_nft_spoil(n);
	for (const enum piece *p = rules[i].p; *p != P_END; p++)
		put_piece(&b, *p);
	nftnl_rule_nlmsg_build_payload(h, b.rule);
out:
	rt_nft_msg_done(n, h);
	if (comment)
		nftnl_udata_buf_free(comment);
	if (b.rule)
		nftnl_rule_free(b.rule);
}

static void put_chain(struct rt_nft *n, const struct rt_rules *r, size_t i)
{
	struct nlmsghdr *h = rt_nft_msg(n, NFT_MSG_NEWCHAIN, NLM_F_CREATE, chains[i].name);
	struct nftnl_chain *c = nftnl_chain_alloc();

	if (c && nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, r->table) == 0 &&
	    nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, chains[i].name) == 0 &&
	    nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, chains[i].type) == 0) {
		nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, chains[i].hook);
		nftnl_chain_set_u32(c, NFTNL_CHAIN_PRIO, chains[i].prio);
		nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, NF_ACCEPT);
		nftnl_chain_nlmsg_build_payload(h, c);
	} else {
		rt_nft_spoil(n);
	}
	rt_nft_msg_done(n, h);
	if (c)
		nftnl_chain_free(c);
}

void rt_rules_put(struct rt_nft *n, const struct rt_rules *r)
{
	rt_rules_put_removal(n, r);
	rt_sets_put_table(n, r);
	rt_sets_put_all(n, r);
	for (size_t i = 0; i < QT_LEN(chains); i++)
		if (r->uplink[0] != '\0' || !qt_streq(chains[i].type, "nat"))
			put_chain(n, r, i);
	for (size_t i = 0; i < QT_LEN(rules); i++)
		if (applies(rules[i].when, r))
			put_rule(n, r, i);
}
