#include <fcntl.h>
#include <string.h>

#include "cleanup.h"
#include "fdio.h"
#include "net.h"
#include "netdns.h"
#include "str.h"

/* Where hosts keep theirs. The second is the one that counts where the first names only the stub of systemd-resolved. */
static const char *const host_files[] = {"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"};

static bool is_loopback(uint32_t ip)
{
	return ip >> 24 == 127 || ip == 0;
}

unsigned rt_dns_scan(const char *text, uint32_t *out)
{
	unsigned n = 0;

	while (*text && n < RT_DNS_MAX) {
		size_t len = strcspn(text, "\n");
		char line[128], *save = NULL;
		const char *word, *ip;

		if (len < sizeof(line)) {
			memcpy(line, text, len);
			line[len] = '\0';
			word = strtok_r(line, " \t\r", &save);
			ip = strtok_r(NULL, " \t\r", &save);
			if (word && ip && qt_streq(word, "nameserver") && rt_net_parse(&out[n], ip) && !is_loopback(out[n]))
				n++;
		}
		text += len + (text[len] == '\n');
	}
	return n;
}

static unsigned of_host(uint32_t *out)
{
	for (size_t i = 0; i < QT_LEN(host_files); i++) {
		struct qt_err ignored = {0};
		auto_close int fd = open(host_files[i], O_RDONLY | O_CLOEXEC);
		char text[4096];
		ssize_t len;
		unsigned n;

		if (fd < 0)
			continue;
		len = qt_read_all(fd, text, sizeof(text) - 1, &ignored);
		if (len < 0)
			continue;
		text[len] = '\0';
		n = rt_dns_scan(text, out);
		if (n > 0)
			return n;
	}
	return 0;
}

int rt_dns_servers(const struct qt_conf *conf, uint32_t *out, struct qt_err *e)
{
	char list[sizeof(conf->nameservers)], *save = NULL;
	int n = 0;

	if (qt_streq(conf->nameservers, "auto"))
		return (int)of_host(out);
	(void)qt_copy(list, sizeof(list), conf->nameservers);
	for (char *ip = strtok_r(list, ", ", &save); ip; ip = strtok_r(NULL, ", ", &save)) {
		if (n == RT_DNS_MAX)
			return qt_fail(e, QT_E_VALIDATION_ERROR, "nameservers: at most %d addresses", RT_DNS_MAX);
		if (!rt_net_parse(&out[n], ip) || is_loopback(out[n]))
			return qt_fail(e, QT_E_VALIDATION_ERROR, "nameservers: '%s' is no IPv4 address that a container could reach", ip);
		n++;
	}
	return n;
}

static bool domain_ok(const char *d)
{
	return d[0] != '\0' && d[0] != '.' && d[strlen(d) - 1] != '.' && !strstr(d, "..") &&
	       strspn(d, "abcdefghijklmnopqrstuvwxyz0123456789-.") == strlen(d);
}

int rt_net_resolv_conf(const struct qt_conf *conf, char *out, size_t size)
{
	struct qt_err ignored = {0};
	uint32_t ips[RT_DNS_MAX];
	int n = rt_dns_servers(conf, ips, &ignored);
	size_t at = 0;

	if (n < 0 || size == 0)
		return -1;
	if (conf->dns)
		return domain_ok(conf->dns_domain) &&
				       qt_fmt(out, size, "nameserver %s\nsearch %s\n", conf->gateway, conf->dns_domain)
			       ? 0
			       : -1;
	out[0] = '\0';
	for (int i = 0; i < n; i++) {
		char ip[16];

		rt_net_text(ip, sizeof(ip), ips[i]);
		if (!qt_fmt(out + at, size - at, "nameserver %s\n", ip))
			return -1;
		at += strlen(out + at);
	}
	return 0;
}
