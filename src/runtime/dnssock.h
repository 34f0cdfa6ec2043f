/* dnssock.h - the resolver's sockets. */
#ifndef RT_DNSSOCK_H
#define RT_DNSSOCK_H

#include "err.h"

/* RET[0]: UDP, RET[1]: TCP, listening; both bound to IP (host byte order) port 53, which no link needs to have yet, and non-blocking. The
 * caller's. CONFLICT if somebody else is there. */
int rt_dns_open(int ret[2], unsigned ip, struct qt_err *e);

#endif
