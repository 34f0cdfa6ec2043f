# Each starts a redis-server of its own, as whoever runs the tests.
qt_store_tests = tests/store/test_ctr
check_PROGRAMS += $(qt_store_tests)
qt_store_test_cppflags = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS) $(HIREDIS_CFLAGS) -DQT_SRCDIR='"$(abs_top_srcdir)"'
qt_store_test_harness = tests/store/redis.c tests/store/redis.h

tests_store_test_ctr_SOURCES = tests/store/test_ctr.c $(qt_store_test_harness)
tests_store_test_ctr_CPPFLAGS = $(qt_store_test_cppflags)
tests_store_test_ctr_LDADD = $(QT_STORE_LIBS) $(CMOCKA_LIBS)
