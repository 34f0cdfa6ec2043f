/* check.h - calls that end in a struct qt_err, written with E as their last argument. After cmocka.h. */
#ifndef QT_TEST_CHECK_H
#define QT_TEST_CHECK_H

#include "err.h"

/* What the call answered, which is not -1. */
#define must(call)                                      \
	({                                              \
		struct qt_err e_ = {0}, *e = &e_;       \
		int r_ = (call);                        \
		if (r_ < 0)                             \
			fail_msg(#call ": %s", e_.msg); \
		r_;                                     \
	})

#define must_not(call, want)                                             \
	do {                                                             \
		struct qt_err e_ = {0}, *e = &e_;                        \
		assert_int_equal((call), -1);                            \
		if (e_.code != (want))                                   \
			fail_msg(#call ": %d %s", (int)e_.code, e_.msg); \
	} while (0)

#endif
