# unit tests of runtime
check_PROGRAMS += tests/unit/test_netpool
tests_unit_test_netpool_SOURCES = tests/unit/test_netpool.c
tests_unit_test_netpool_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/runtime
tests_unit_test_netpool_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_netpool_LDADD = libqnet.a libqbase.a $(CMOCKA_LIBS)
