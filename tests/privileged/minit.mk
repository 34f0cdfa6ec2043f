# minit as PID 1
noinst_PROGRAMS += tests/privileged/minit_test
tests_privileged_minit_test_SOURCES = tests/privileged/minit_test.c tests/unit/minit_rig.h
tests_privileged_minit_test_CPPFLAGS = $(AM_CPPFLAGS) $(MINIT_TEST) -I$(top_srcdir)/tests/unit
tests_privileged_minit_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_privileged_minit_test_LDADD = libqminit.a libqbase.a $(CMOCKA_LIBS)
EXTRA_tests_privileged_minit_test_DEPENDENCIES = src/minit/quilt-minit
