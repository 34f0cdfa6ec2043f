#include <arpa/inet.h>
#include <string.h>

#include "cleanup.h"
#include "netaddr.h"
#include "num.h"
#include "str.h"

void rt_net_text(char *out, size_t size, uint32_t ip)
{
	(void)qt_fmt(out, size, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
}

bool rt_net_parse(uint32_t *ret, const char *text)
{
	struct in_addr a;

	if (inet_pton(AF_INET, text, &a) != 1)
		return false;
	*ret = ntohl(a.s_addr);
	return true;
}

uint32_t rt_cidr_mask(const struct rt_cidr *c)
{
	return c->bits == 0 ? 0 : UINT32_MAX << (32 - c->bits);
}

bool rt_cidr_has(const struct rt_cidr *c, uint32_t ip)
{
	return (ip & rt_cidr_mask(c)) == c->base;
}

bool rt_cidr_parse(struct rt_cidr *ret, const char *text)
{
	const char *slash = strchr(text, '/');
	struct rt_cidr c;
	char ip[16];

	if (!slash || (size_t)(slash - text) >= sizeof(ip))
		return false;
	memcpy(ip, text, (size_t)(slash - text));
	ip[slash - text] = '\0';
	if (!rt_net_parse(&c.base, ip) || !qt_u32(&c.bits, slash + 1, 0, 32))
		return false;
	if (c.base & ~rt_cidr_mask(&c))
		return false;
	*ret = c;
	return true;
}

/* What has a meaning of its own on every host: the metadata services of clouds are among it. */
static const struct rt_cidr reserved[] = {
	{0x00000000, 8},
	{0x7f000000, 8},
	{0xa9fe0000, 16},
	{0xe0000000, 3},
};

static bool meet(const struct rt_cidr *a, const struct rt_cidr *b)
{
	return rt_cidr_has(a, b->base) || rt_cidr_has(b, a->base);
}

int rt_route_parse(struct rt_cidr *ret, const char *text, struct qt_err *e)
{
	static const char expected[] = "an IPv4 network: 10.0.0.0/24";

	if (!rt_cidr_parse(ret, text))
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/destination", expected,
				     "the destination is no IPv4 network in CIDR form, or has bits behind its prefix");
	if (ret->bits == 0)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/destination", expected, "the default route is there already");
	for (size_t i = 0; i < QT_LEN(reserved); i++)
		if (meet(ret, &reserved[i]))
			return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/destination", expected,
					     "a route to loopback, link-local, multicast or reserved addresses is not possible");
	return 0;
}
