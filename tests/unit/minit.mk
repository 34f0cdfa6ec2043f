# unit tests of minit
MINIT_TEST = -DQT_TEST_MINIT='"$(abs_top_builddir)/src/minit/quilt-minit"'
check_PROGRAMS += tests/unit/test_minit
tests_unit_test_minit_SOURCES = tests/unit/test_minit.c tests/unit/minit_rig.h
tests_unit_test_minit_CPPFLAGS = $(AM_CPPFLAGS) $(MINIT_TEST)
tests_unit_test_minit_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_minit_LDADD = libqminit.a libqbase.a $(CMOCKA_LIBS)
EXTRA_tests_unit_test_minit_DEPENDENCIES = src/minit/quilt-minit
check_PROGRAMS += tests/unit/test_minit_keep
tests_unit_test_minit_keep_SOURCES = tests/unit/test_minit_keep.c tests/unit/minit_rig.h
tests_unit_test_minit_keep_CPPFLAGS = $(AM_CPPFLAGS) $(MINIT_TEST)
tests_unit_test_minit_keep_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_minit_keep_LDADD = libqminit.a libqbase.a $(CMOCKA_LIBS)
EXTRA_tests_unit_test_minit_keep_DEPENDENCIES = src/minit/quilt-minit
check_PROGRAMS += tests/unit/test_minit_data
tests_unit_test_minit_data_SOURCES = tests/unit/test_minit_data.c src/minit/user.c src/minit/frame.c src/minit/logw.c
tests_unit_test_minit_data_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_minit_data_LDADD = libqminit.a libqbase.a $(CMOCKA_LIBS)
