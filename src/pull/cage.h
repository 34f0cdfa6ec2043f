/* cage.h - what a process that talks to strangers gives up first. */
#ifndef PL_CAGE_H
#define PL_CAGE_H

#include <stdint.h>

#include "err.h"

/* No new privileges, not to be looked into, to die with the agent, no file larger than MAX_BYTES; and, where the kernel has Landlock, no file but those that names
 * and certificates need, for reading, and the working directory: not the agent's passwords, nor its socket's directory. */
int pl_cage(uint64_t max_bytes, struct qt_err *e);

#endif
