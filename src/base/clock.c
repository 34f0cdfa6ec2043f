#include <limits.h>
#include <time.h>

#include "clock.h"

static int64_t read_ms(clockid_t which)
{
	struct timespec ts;

	(void)clock_gettime(which, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t qt_now_ms(void)
{
	return read_ms(CLOCK_REALTIME);
}

int64_t qt_mono_ms(void)
{
	return read_ms(CLOCK_MONOTONIC);
}

void qt_iso8601(char *out, size_t size, int64_t ms)
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;

	(void)gmtime_r(&t, &tm);
	if (strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0 && size > 0)
		out[0] = '\0';
}

int qt_left_ms(int64_t deadline)
{
	int64_t left = deadline - qt_mono_ms();

	return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}
