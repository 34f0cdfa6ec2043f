/* conf.h - the settings, one table (settings.def). */
#ifndef QT_CONF_H
#define QT_CONF_H

#include <stdint.h>
#include <stdio.h>

#include "err.h"

struct qt_conf {
#define QT_SET_STR(name, cap, def, doc) char name[cap];
#define QT_SET_NUM(name, min, max, def, doc) uint64_t name;
#include "settings.def"
#undef QT_SET_STR
#undef QT_SET_NUM
};

/* Defaults, then the lines `name = value` of the file at PATH ('#' begins a comment). An unknown name, a name given twice and a
 * value out of bounds are errors that tell the line. PATH NULL: QT_CONF_PATH, which may be absent. */
int qt_conf_load(struct qt_conf *c, const char *path, struct qt_err *e);

/* The same for a program that logs in to Redis as itself, and not as the workers do: SECRET, unless it is NULL, is there instead of redis_secret_file. */
int qt_conf_load_as(struct qt_conf *c, const char *path, const char *secret, struct qt_err *e);

void qt_conf_defaults(struct qt_conf *c);

/* Print every setting as a line that qt_conf_load() takes; with DOC, its description as a comment above. */
void qt_conf_dump(const struct qt_conf *c, FILE *out, bool doc);

/* Set one, by name, as a line would; for tests and command lines. */
int qt_conf_set(struct qt_conf *c, const char *name, const char *value, struct qt_err *e);

#endif
