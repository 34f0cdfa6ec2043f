# unit tests of runtime
check_PROGRAMS += tests/unit/test_netpool
tests_unit_test_netpool_SOURCES = tests/unit/test_netpool.c
tests_unit_test_netpool_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/runtime
tests_unit_test_netpool_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_netpool_LDADD = libqnet.a libqwire.a libqbase.a $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_runtime
tests_unit_test_runtime_SOURCES = tests/unit/test_runtime.c
tests_unit_test_runtime_CPPFLAGS = $(AM_CPPFLAGS) -DQT_TEST_SRCDIR='"$(abs_top_srcdir)"'
tests_unit_test_runtime_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_runtime_LDADD = $(RT_LIBS) $(CMOCKA_LIBS)
EXTRA_DIST += tests/unit/rt_policy.txt docs/privileges.md docs/protocol-runtime.md
check_PROGRAMS += tests/unit/test_cdi
tests_unit_test_cdi_SOURCES = tests/unit/test_cdi.c
tests_unit_test_cdi_CPPFLAGS = $(AM_CPPFLAGS) -DQT_TEST_SRCDIR='"$(abs_top_srcdir)"'
tests_unit_test_cdi_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_cdi_LDADD = $(RT_LIBS) $(CMOCKA_LIBS)
EXTRA_DIST += tests/unit/cdi
