/* caps.h - the capabilities that a container's processes may ever have, within their user namespace. */
#ifndef RT_CAPS_H
#define RT_CAPS_H

#include <stdbool.h>
#include <stdint.h>

/* security.md 5.4 as a bit mask. */
uint64_t rt_caps_mask(bool strict);

/* Cut this process down to MASK: bounding set, permitted, effective; nothing inheritable or ambient; and no_new_privs. 0, or -1
 * with errno. */
int rt_caps_drop(uint64_t mask);

#endif
