#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "cleanup.h"
#include "num.h"
#include "pull.h"
#include "str.h"

/* What is not of the public internet (RFC 6890 and its successors). */
static const struct {
	uint32_t net;
	unsigned bits;
} closed[] = {
	{0x00000000, 8},  {0x0a000000, 8},  {0x64400000, 10}, {0x7f000000, 8},	{0xa9fe0000, 16}, {0xac100000, 12}, {0xc0000000, 24}, {0xc0000200, 24},
	{0xc0586300, 24}, {0xc0a80000, 16}, {0xc6120000, 15}, {0xc6336400, 24}, {0xcb007100, 24}, {0xe0000000, 4},  {0xf0000000, 4},
};

static bool v4_public(uint32_t a)
{
	for (size_t i = 0; i < QT_LEN(closed); i++)
		if ((a ^ closed[i].net) >> (32 - closed[i].bits) == 0)
			return false;
	return true;
}

/* Global unicast, and of that not what stands for an IPv4 address, or for nothing. */
static bool v6_public(const unsigned char a[16])
{
	static const unsigned char teredo[4] = {0x20, 0x01, 0, 0}, doc[4] = {0x20, 0x01, 0x0d, 0xb8}, six_to_four[2] = {0x20, 0x02};

	return (a[0] & 0xe0) == 0x20 && memcmp(a, teredo, 4) != 0 && memcmp(a, doc, 4) != 0 && memcmp(a, six_to_four, 2) != 0;
}

bool pl_addr_public(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return v4_public(ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr));
	if (sa->sa_family == AF_INET6)
		return v6_public(((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr.s6_addr);
	return false;
}

/* "[http://]host[:port]"; PORT 0: any. */
static bool entry_parse(const char *s, size_t len, char *host, size_t size, unsigned *port, bool *plain)
{
	const char *colon;
	char copy[300];
	uint32_t n = 0;

	if (!qt_fmt(copy, sizeof(copy), "%.*s", (int)len, s))
		return false;
	*plain = qt_starts(copy, "http://");
	s = copy + (*plain ? 7 : qt_starts(copy, "https://") ? 8 : 0);
	colon = strrchr(s, ':');
	if (colon && !qt_u32(&n, colon + 1, 1, 65535))
		return false;
	*port = n;
	return qt_fmt(host, size, "%.*s", colon ? (int)(colon - s) : (int)strlen(s), s) && host[0];
}

struct pl_allow pl_allow_find(const char *list, const char *host, unsigned port, bool http)
{
	struct pl_allow a = {0};

	for (const char *p = list; *p;) {
		size_t n;
		char name[256];
		unsigned at;
		bool plain;

		p += strspn(p, " ,\t");
		n = strcspn(p, " ,\t");
		if (n > 0 && entry_parse(p, n, name, sizeof(name), &at, &plain) && qt_streq(name, host) && (at == 0 || at == port)) {
			a.inside = a.inside || plain == http;
			a.plain = a.plain || plain;
		}
		p += n;
	}
	return a;
}
