/* str.h - the few string helpers worth having. */
#ifndef QT_STR_H
#define QT_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static inline bool qt_streq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static inline bool qt_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* Copy SRC into the SIZE bytes at DST. False, and DST empty, if it does not fit: nothing is ever cut in silence. */
bool qt_copy(char *dst, size_t size, const char *src);

/* printf into the SIZE bytes at DST; false, and DST empty, if it does not fit. */
bool qt_fmt(char *dst, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The number of bytes of the longest prefix of the LEN bytes at S that is valid UTF-8 (no surrogates, no overlong forms). */
size_t qt_utf8_span(const char *s, size_t len);

/* Write the LEN bytes at IN to OUT as valid UTF-8, each bad byte as U+FFFD; OUT has 3 * LEN + 1 bytes. NUL is kept.
 * Returns the length. */
size_t qt_utf8_mend(char *out, const char *in, size_t len);

/* Do the LEN bytes at A and B agree? Takes the same time wherever they differ. */
bool qt_same_secret(const void *a, const void *b, size_t len);

#endif
