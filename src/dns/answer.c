#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "str.h"

#define REVERSE ".in-addr.arpa"

/* NAME without the end that it has, into OUT; false if it does not end so. */
static bool below(const char *name, const char *dot_end, char *out, size_t size)
{
	size_t n = strlen(name), m = strlen(dot_end);

	if (n <= m || !qt_streq(name + n - m, dot_end) || n - m >= size)
		return false;
	memcpy(out, name, n - m);
	out[n - m] = '\0';
	return true;
}

/* "17.0.42.10" of a name below in-addr.arpa. */
static bool reversed(const char *name, uint32_t *ret)
{
	char turned[64];
	uint32_t ip;

	if (!below(name, REVERSE, turned, sizeof(turned)) || !rt_net_parse(&ip, turned))
		return false;
	*ret = ip << 24 | (ip << 8 & 0xff0000) | (ip >> 8 & 0xff00) | ip >> 24;
	return true;
}

static enum dns_way none(struct dns_answer *ret, int rcode, const char *zone, bool known)
{
	*ret = (struct dns_answer){.rcode = rcode, .zone = zone, .ttl = DNS_TTL_S, .authoritative = rcode != DNS_SERVFAIL};
	return known ? DNS_ANSWER : DNS_UNKNOWN;
}

static enum dns_way host(const struct dns_view *v, uint32_t source, const struct dns_query *q, const char *name, struct dns_answer *ret)
{
	const struct dns_host *who = dns_zone_at(v->zone, source), *found = who ? dns_zone_find(v->zone, &who->tenant, name) : NULL;

	if (!who) /* it was started just now */
		return none(ret, DNS_SERVFAIL, NULL, false);
	if (!found)
		return none(ret, DNS_NXDOMAIN, v->domain, false);
	if (q->type != DNS_A && q->type != DNS_ANY)
		return none(ret, DNS_NOERROR, v->domain, true);
	*ret = (struct dns_answer){.ip = found->ip, .ttl = DNS_TTL_S, .authoritative = true};
	return DNS_ANSWER;
}

static enum dns_way pointer(const struct dns_view *v, uint32_t source, const struct dns_query *q, uint32_t ip, char *text,
			    struct dns_answer *ret)
{
	const struct dns_host *who = dns_zone_at(v->zone, source), *found = dns_zone_at(v->zone, ip);

	if (!who)
		return none(ret, DNS_SERVFAIL, NULL, false);
	if (!found || !qt_streq(found->tenant.s, who->tenant.s))
		return none(ret, DNS_NXDOMAIN, v->domain, found != NULL);
	if (q->type != DNS_PTR && q->type != DNS_ANY)
		return none(ret, DNS_NOERROR, v->domain, true);
	(void)qt_fmt(text, DNS_TEXT_MAX, "%s.%s.", found->name, v->domain);
	*ret = (struct dns_answer){.ptr = text, .ttl = DNS_TTL_S, .authoritative = true};
	return DNS_ANSWER;
}

static enum dns_way localhost(const struct dns_query *q, struct dns_answer *ret)
{
	*ret = (struct dns_answer){.ttl = DNS_TTL_S, .authoritative = true};
	if (q->type == DNS_A)
		ret->ip = 0x7f000001;
	return DNS_ANSWER;
}

enum dns_way dns_decide(const struct dns_view *v, uint32_t source, const struct dns_query *q, char *text, struct dns_answer *ret)
{
	char end[80], name[DNS_TEXT_MAX];
	uint32_t ip;

	(void)qt_fmt(end, sizeof(end), ".%s", v->domain);
	if (qt_streq(q->name, v->domain))
		return none(ret, DNS_NOERROR, v->domain, true);
	if (below(q->name, end, name, sizeof(name)))
		return q->plain ? host(v, source, q, name, ret) : none(ret, DNS_NXDOMAIN, v->domain, true);
	if (reversed(q->name, &ip) && rt_cidr_has(&v->subnet, ip))
		return pointer(v, source, q, ip, text, ret);
	if (qt_streq(q->name, "localhost") || below(q->name, ".localhost", name, sizeof(name)))
		return localhost(q, ret);
	/* A bare name is one of ours: nobody outside is told which names containers look for. Other types of such a name are asked by those
	 * who check the signatures of top level domains. */
	if (q->labels == 1 && (q->type == DNS_A || q->type == DNS_AAAA))
		return q->plain ? host(v, source, q, q->name, ret) : none(ret, DNS_NXDOMAIN, v->domain, true);
	if (q->type == DNS_ANY)
		return none(ret, DNS_NOTIMP, NULL, true);
	return DNS_FORWARD;
}
