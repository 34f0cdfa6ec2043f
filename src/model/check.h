/* check.h - what the checks of containers and of volumes share. Private to src/model. */
#ifndef QT_CHECK_H
#define QT_CHECK_H

#include <stdbool.h>
#include <stddef.h>

/* All of S is a letter, a digit, or one of EXTRA. */
bool qt_made_of(const char *s, const char *extra);

/* PATH without empty and "." components into the SIZE bytes at OUT ("" for the root). False: not absolute, a "..", a control
 * character, a component or the whole too long. */
bool qt_normal_path(char *out, size_t size, const char *path);

/* PATH is DIR or below it; both normal. */
bool qt_path_below(const char *path, const char *dir);

#endif
