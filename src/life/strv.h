/* strv.h - lists of texts for the runtime and for minit, from JSON. */
#ifndef QT_LIFE_STRV_H
#define QT_LIFE_STRV_H

#include <jansson.h>

#include "model.h"
#include "rt.h"

#define QT_STRV_BYTES 20480 /* of the protocol's fields */

/* The strings of COMMAND into BUF (QT_STRV_BYTES). VALIDATION_ERROR if they do not fit. */
int qt_strv_argv(struct rt_strv *ret, char *buf, const json_t *command, struct qt_err *e);

/* What C's init is to start: its command, else that of its image if this has one; an empty list: it idles. */
int qt_strv_command(struct rt_strv *ret, char *buf, const struct qt_ctr *c, struct qt_err *e);

/* The same for minit, whose messages are longer: SIZE bytes of BUF. */
int qt_strv_words(struct rt_strv *ret, char *buf, size_t size, const json_t *command, struct qt_err *e);

/* NAME=value of what the platform gives (PATH, HOME, HOSTNAME), then of C's image, then of its environment, then of OVER (may be NULL), a later one
 * replacing an earlier. */
int qt_strv_env(struct rt_strv *ret, char *buf, const struct qt_ctr *c, const json_t *over, struct qt_err *e);

#endif
