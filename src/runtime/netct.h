/* netct.h - connections that the kernel remembers, of addresses whose container is gone. */
#ifndef RT_NETCT_H
#define RT_NETCT_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

struct rt_ct; /* one socket */

int rt_ct_open(struct rt_ct **ret, struct qt_err *e);
void rt_ct_close(struct rt_ct *c);

/* Forget each tracked IPv4 connection one of whose addresses GONE tells of. It is asked of every address of every one: tens of milliseconds, for
 * the walk over the kernel's table alone. */
int rt_ct_forget(struct rt_ct *c, bool (*gone)(uint32_t ip, void *arg), void *arg, struct qt_err *e);

#endif
