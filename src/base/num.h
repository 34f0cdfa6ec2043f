/* num.h - numbers from text: whole token, in the widest type, range checked before narrowing. */
#ifndef QT_NUM_H
#define QT_NUM_H

#include <stdbool.h>
#include <stdint.h>

/* Decimal digits only (no sign, no space, no leading '+'), MIN <= value <= MAX. */
bool qt_u64(uint64_t *ret, const char *text, uint64_t min, uint64_t max);
bool qt_u32(uint32_t *ret, const char *text, uint32_t min, uint32_t max);

/* The same with an optional '-'. */
bool qt_i64(int64_t *ret, const char *text, int64_t min, int64_t max);

#endif
