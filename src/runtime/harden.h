/* harden.h - what this process gives up before it does anything. */
#ifndef RT_HARDEN_H
#define RT_HARDEN_H

#include "err.h"

/* Descriptors 0 to 2 open; umask 077; as many descriptors as the host lets us have; no core; no_new_privs; a mount namespace of its own; capabilities cut to caps.def. */
int rt_harden(struct qt_err *e);

/* Tell a service manager (NOTIFY_SOCKET), if there is one. */
void rt_notify(const char *state);

#endif
