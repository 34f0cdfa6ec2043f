/* clock.h - time, in the three forms that we use. */
#ifndef QT_CLOCK_H
#define QT_CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t qt_now_ms(void);  /* wall clock, milliseconds since 1970: for records */
int64_t qt_mono_ms(void); /* monotonic milliseconds: for deadlines */

/* "2026-04-17T10:00:00Z" of wall-clock MS (the contract's form has whole seconds). OUT has at least 21 bytes. */
void qt_iso8601(char *out, size_t size, int64_t ms);

/* Milliseconds left until DEADLINE (monotonic), 0 if it has passed: what poll() takes. */
int qt_left_ms(int64_t deadline);

#endif
