#include <arpa/inet.h>
#include <string.h>

#include "net.h"
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
