/* b64.h - base64 in pieces, the standard alphabet with padding; line breaks in it are passed over. */
#ifndef QT_B64_H
#define QT_B64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct qt_b64 { /* zeroed at the begin */
	uint32_t bits;
	unsigned have, padding;
};

/* Decode the LEN characters at IN; OUT has at least LEN / 4 * 3 + 3 bytes. How many it got; -1: this is not base64. */
ssize_t qt_b64_decode(struct qt_b64 *b, unsigned char *out, const char *in, size_t len);
/* Was it whole? */
bool qt_b64_ended(const struct qt_b64 *b);

/* LEN bytes as text; OUT has (LEN + 2) / 3 * 4 + 1 bytes. */
void qt_b64_encode(char *out, const void *in, size_t len);

#endif
