/* netns.h - work inside another network namespace, from a process with one thread, and sysctls. Descriptors are borrowed. */
#ifndef RT_NETNS_H
#define RT_NETNS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "err.h"

/* The network namespace of PID, or with pid 0 the caller's: a descriptor that the caller owns, or -1. */
int rt_netns_open(pid_t pid, struct qt_err *e);

bool rt_netns_same(int a, int b);

/* Run FN in the namespace NS_FD and come back to OWN_FD; FN's value, or -1. What FN opens (a socket) stays in that namespace. If
 * there is no way back, the process aborts: it would do to a tenant's namespace what is meant for the host. */
int rt_netns_do(int own_fd, int ns_fd, int (*fn)(void *arg, struct qt_err *e), void *arg, struct qt_err *e);

/* /proc/sys, checked to be procfs: a descriptor that the caller owns, or -1. Names below net/ mean the network namespace that the
 * process is in when they are opened. */
int rt_sysctl_open(struct qt_err *e);

/* "net/ipv4/ip_forward". The value of a switch: 0 or more, or -1. */
int rt_sysctl_get(int sys_fd, const char *name, struct qt_err *e);
int rt_sysctl_set(int sys_fd, const char *name, const char *value, struct qt_err *e);
bool rt_sysctl_has(int sys_fd, const char *name);

#endif
