#include <stddef.h>

#include "num.h"

bool qt_u64(uint64_t *ret, const char *text, uint64_t min, uint64_t max)
{
	uint64_t v = 0;

	if (*text == '\0')
		return false;
	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9')
			return false;
		if (__builtin_mul_overflow(v, 10U, &v) || __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return false;
	}
	if (v < min || v > max)
		return false;
	*ret = v;
	return true;
}

bool qt_u32(uint32_t *ret, const char *text, uint32_t min, uint32_t max)
{
	uint64_t v;

	if (!qt_u64(&v, text, min, max))
		return false;
	*ret = (uint32_t)v;
	return true;
}

bool qt_i64(int64_t *ret, const char *text, int64_t min, int64_t max)
{
	bool neg = *text == '-';
	uint64_t u;
	int64_t v;

	if (!qt_u64(&u, text + neg, 0, (uint64_t)INT64_MAX))
		return false;
	v = neg ? -(int64_t)u : (int64_t)u;
	if (v < min || v > max)
		return false;
	*ret = v;
	return true;
}
