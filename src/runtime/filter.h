/* filter.h - the system call filters of containers: compiled once by libseccomp, installed in each child as plain BPF. */
#ifndef RT_FILTER_H
#define RT_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>

#include "err.h"

struct rt_filter {
	struct sock_filter *code;
	unsigned short len; /* instructions */
};

/* The allow list of syscalls.def: what is not in it is absent (ENOSYS), what is known and denied says EPERM, another ABI than the
 * native one is death. */
int rt_filter_make(struct rt_filter *ret, bool strict, struct qt_err *e);

/* The second filter: allows all but some requests of ioctl (TIOCSTI, and those that make subvolumes). An allow list cannot leave one request out without a
 * not-equal compare, and those look at 64 bits where the kernel looks at 32. */
int rt_filter_make_ioctl(struct rt_filter *ret, struct qt_err *e);

void rt_filter_done(struct rt_filter *f);

/* For this process and its children, for good. Needs no_new_privs. 0, or -1 with errno. */
int rt_filter_install(const struct rt_filter *f);

#endif
