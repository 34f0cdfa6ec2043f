/* volumes.h - which volumes a container has: texts of the wire ("vol_…:/target" or "vol_…:/target:ro"), checked once, kept in the journal. */
#ifndef RT_VOLUMES_H
#define RT_VOLUMES_H

#include "runtime.h"

#define RT_VOLUMES_MAX 32

/* Is each of LIST of the right form, there, and TENANT's? VALIDATION_ERROR or VOLUME_NOT_FOUND. */
int rt_volumes_check(const struct rt *rt, const struct qt_id *tenant, const struct rt_strv *list, struct qt_err *e);

/* The mounts of LIST for rt_spawn(). */
struct rt_volumes {
	struct rt_mount mounts[RT_VOLUMES_MAX];
	unsigned n;
	char targets[4096];
};
int rt_volumes_open(struct rt *rt, const struct rt_strv *list, struct rt_volumes *ret, struct qt_err *e);
void rt_volumes_close(struct rt_volumes *v);

/* Is the volume ID on the list of C? */
bool rt_volumes_has(const struct rt_ctr *c, const struct qt_id *id);
/* Does a container that runs, or is being started, have it? */
bool rt_volumes_in_use(const struct rt *rt, const struct qt_id *id);

#endif
