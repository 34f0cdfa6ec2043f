/* cdi.h - the devices that this node offers: what the CDI specifications in the directories of the setting cdi_dirs say of the kinds in gpu_kinds. */
#ifndef RT_CDI_H
#define RT_CDI_H

#include "cdispec.h"

struct rt_cdi;

/* DIRS and KINDS are the settings. VALIDATION_ERROR if they cannot be understood; that a directory is not there is well. Nothing is read yet. */
int rt_cdi_open(struct rt_cdi **ret, const char *dirs, const char *kinds, struct qt_err *e);
void rt_cdi_close(struct rt_cdi *c);

/* Read again what changed since the last time; the devices of before are gone then. What cannot be used is logged, once, and left out. A
 * file counts if it, and its directory, belong to root and nobody else may write to them. */
void rt_cdi_look(struct rt_cdi *c);

/* By name ("vendor.com/class=name"); also one that is another name of a device. NULL: there is none. */
const struct rt_cdi_device *rt_cdi_find(const struct rt_cdi *c, const char *name);
/* The one of the first name behind AFTER ("": the first of all), NULL at the end. */
const struct rt_cdi_device *rt_cdi_after(const struct rt_cdi *c, const char *after);
/* How many devices there are, each counted once. Devices that are one GPU under several names (by index and by UUID) have the same nodes. */
unsigned rt_cdi_count(const struct rt_cdi *c);
/* The device that D is a name of: D itself, mostly. */
const struct rt_cdi_device *rt_cdi_real(const struct rt_cdi_device *d);

#endif
