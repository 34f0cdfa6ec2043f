/* builds.h - builds of images, by the worker who is asked; the agent does them (build.h). */
#ifndef QT_LIFE_BUILDS_H
#define QT_LIFE_BUILDS_H

#include "life.h"

struct qt_build_want {
	const char *context_id, *reference, *dockerfile, *target; /* the last two may be "" */
	const json_t *args; /* object of strings; NULL */
	uint32_t memory_mb, cpu_centi; /* of each step */
};
/* The operation, ready to be submitted, with the context under its name in the spool; *RET_HOLD, the caller's, keeps it there until
 * that is submitted. BUILD_CONTEXT_NOT_FOUND, VALIDATION_ERROR, QUOTA_EXCEEDED. RET is initialised on success. */
int qt_life_img_build(struct qt_life *l, const struct qt_id *tenant, const struct qt_build_want *w, struct qt_op *ret, int *ret_hold, struct qt_err *e);

#endif
