/* steps.h - the runtime's records of what steps of builds made: the builds' cache (build_cache.c). */
#ifndef QT_LIFE_STEPS_H
#define QT_LIFE_STEPS_H

#include <jansson.h>

#include "conf.h"

/* The record; NULL: it is none, but an image's. A new reference. */
json_t *qt_step_load(const char *text, size_t len);
/* Nobody has used it for so long that it goes. */
bool qt_step_old(const struct qt_conf *conf, const json_t *step);

#endif
