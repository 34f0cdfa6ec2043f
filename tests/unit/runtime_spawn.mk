# unit tests of the parts of spawning and control groups that need no root
check_PROGRAMS += tests/unit/test_cgroup tests/unit/test_filter

tests_unit_test_cgroup_SOURCES = tests/unit/test_cgroup.c
tests_unit_test_cgroup_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_cgroup_LDADD = libqspawn.a libqbase.a $(SECCOMP_LIBS) $(CMOCKA_LIBS)

tests_unit_test_filter_SOURCES = tests/unit/test_filter.c
tests_unit_test_filter_CPPFLAGS = $(AM_CPPFLAGS) $(SECCOMP_CFLAGS) \
	-DQT_GOLDEN='"$(abs_top_srcdir)/tests/unit/rt_filter.txt"'
tests_unit_test_filter_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_filter_LDADD = libqspawn.a libqbase.a $(SECCOMP_LIBS) $(CMOCKA_LIBS)
EXTRA_DIST += tests/unit/rt_filter.txt
