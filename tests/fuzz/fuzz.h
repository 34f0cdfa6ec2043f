/* fuzz.h - a fuzz target is one function that takes any bytes, and what must hold whatever they are.
 *
 * Each target is a program twice over: with driver.c, which replays tests/fuzz/corpus/NAME and a fixed number of mutations of it (`make check`), and with
 * clang's libFuzzer (`make fuzz`). */
#ifndef QT_FUZZ_H
#define QT_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_MUST(what)                                                                    \
	do {                                                                               \
		if (!(what)) {                                                             \
			(void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);  \
			abort();                                                           \
		}                                                                          \
	} while (0)

/* The next of several parts of an input: a byte says how long it is, in steps of STEP; the rest, when there is no more than that. */
struct fuzz_part {
	const uint8_t *data;
	size_t len;
};
static inline struct fuzz_part fuzz_next(const uint8_t **data, size_t *size, size_t step)
{
	size_t len = *size > 0 ? (size_t)**data * step : 0;
	struct fuzz_part p;

	if (*size > 0) {
		(*data)++;
		(*size)--;
	}
	p = (struct fuzz_part){*data, len < *size ? len : *size};
	*data += p.len;
	*size -= p.len;
	return p;
}

/* A copy with a NUL behind it, of exactly that size, so that a step beyond is seen. free(). */
static inline char *fuzz_text(const uint8_t *data, size_t len)
{
	char *s = malloc(len + 1);

	FUZZ_MUST(s);
	if (len > 0)
		memcpy(s, data, len);
	s[len] = '\0';
	return s;
}

/* The same without the NUL. */
static inline void *fuzz_bytes(const uint8_t *data, size_t len)
{
	void *b = malloc(len > 0 ? len : 1);

	FUZZ_MUST(b);
	if (len > 0)
		memcpy(b, data, len);
	return b;
}

#endif
