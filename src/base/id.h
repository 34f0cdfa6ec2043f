/* id.h - identifiers are types: whoever holds one holds a valid one. */
#ifndef QT_ID_H
#define QT_ID_H

#include <stdbool.h>

/* PREFIX "_" and 1 to 32 characters of [0-9a-z]; the prefix is 2 to 5 letters: "ctr_0k3…". Made by qt_id_new() with 26
 * characters (128 random bits, base 32, Crockford's alphabet in lower case). Safe as a file name, a Redis key, a host name. */
#define QT_ID_MAX 39
struct qt_id {
	char s[QT_ID_MAX + 1];
};

/* A fresh one. PREFIX is a literal such as "ctr". Aborts when the kernel has no randomness to give. */
struct qt_id qt_id_new(const char *prefix);

/* True and *RET set, if TEXT is an id of that PREFIX (of any, if PREFIX is NULL). */
bool qt_id_parse(struct qt_id *ret, const char *prefix, const char *text);

#endif
