/* rnd.h - randomness for ids, keys and tokens. */
#ifndef QT_RND_H
#define QT_RND_H

#include <stddef.h>

/* LEN random bytes from the kernel. Aborts if it has none: nothing of ours may go on with a guessable secret. */
void qt_rnd(void *buf, size_t len);

/* Lower-case hexadecimal of LEN bytes, NUL-terminated: OUT has 2 * LEN + 1 bytes. */
void qt_hex(char *out, const void *in, size_t len);

#endif
