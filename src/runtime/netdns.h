/* netdns.h - the nameservers that containers are told of, and let through to. */
#ifndef RT_NETDNS_H
#define RT_NETDNS_H

#include <stddef.h>
#include <stdint.h>

#include "conf.h"
#include "err.h"

#define RT_DNS_MAX 3 /* what a resolver reads of resolv.conf */

/* The IPv4 addresses, in order, into OUT, which has RT_DNS_MAX places; their number, or -1 if the setting is no list of
 * addresses. A host without a usable one gives 0. */
int rt_dns_servers(const struct qt_conf *conf, uint32_t *out, struct qt_err *e);

/* The same of the resolv.conf TEXT: loopback addresses, which mean something else in a container, and IPv6 are left out. */
unsigned rt_dns_scan(const char *text, uint32_t *out);

#endif
