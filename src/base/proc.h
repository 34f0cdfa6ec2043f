/* proc.h - which process it is. */
#ifndef QT_PROC_H
#define QT_PROC_H

#include <stdint.h>
#include <sys/types.h>

/* Start time of PID in clock ticks since boot, from /proc/PID/stat: with the pid it names a process for good. 0 if there is none. */
uint64_t qt_start_time(pid_t pid);

#endif
