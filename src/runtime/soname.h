/* soname.h - the name by which programs ask for a shared library. */
#ifndef RT_SONAME_H
#define RT_SONAME_H

#include <stdbool.h>
#include <stddef.h>

/* The DT_SONAME of the 64-bit ELF file behind FD into the SIZE bytes at RET: a plain file name. False if there is none. Reads a few KiB, whatever
 * the file says of itself. */
bool rt_soname(char *ret, size_t size, int fd);

#endif
