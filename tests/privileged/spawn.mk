# What containers are, seen from inside and outside; scripts/check runs each *_test as root.
noinst_PROGRAMS += \
	tests/privileged/spawn_test \
	tests/privileged/spawn_fail_test \
	tests/privileged/cgroup_test

QT_RIG = tests/privileged/rig.c tests/privileged/rig.h tests/privileged/fds.h
QT_RIG_FLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) \
	-DQT_TEST_PROBE='"$(abs_top_builddir)/tests/privileged/probe"'
# The real init, save where an init is wanted that fails.
QT_REAL_INIT = -DQT_TEST_INIT='"$(abs_top_builddir)/src/minit/quilt-minit"'
QT_FAKE_INIT = -DQT_TEST_INIT='"$(abs_top_builddir)/tests/privileged/testinit"'
QT_RIG_LIBS = libqspawn.a libqbase.a $(SECCOMP_LIBS) $(CMOCKA_LIBS)

tests_privileged_spawn_test_SOURCES = tests/privileged/spawn_test.c $(QT_RIG)
tests_privileged_spawn_test_CPPFLAGS = $(QT_RIG_FLAGS) $(QT_REAL_INIT)
tests_privileged_spawn_test_LDADD = $(QT_RIG_LIBS)
tests_privileged_spawn_fail_test_SOURCES = tests/privileged/spawn_fail_test.c $(QT_RIG)
tests_privileged_spawn_fail_test_CPPFLAGS = $(QT_RIG_FLAGS) $(QT_FAKE_INIT)
tests_privileged_spawn_fail_test_LDADD = $(QT_RIG_LIBS)
tests_privileged_cgroup_test_SOURCES = tests/privileged/cgroup_test.c $(QT_RIG)
tests_privileged_cgroup_test_CPPFLAGS = $(QT_RIG_FLAGS) $(QT_REAL_INIT)
tests_privileged_cgroup_test_LDADD = $(QT_RIG_LIBS)

# Static programs for inside containers: made like minit, with musl, and without the host compiler's flags.
QT_MUSL = $(MUSL_CC) -std=gnu11 -static -O1 -Wall -Wextra -Werror \
	-I$(top_srcdir)/src
tests/privileged/probe: $(top_srcdir)/tests/privileged/probe.c
	$(AM_V_GEN)mkdir -p $(@D) && $(QT_MUSL) -o $@ $(top_srcdir)/tests/privileged/probe.c
tests/privileged/testinit: $(top_srcdir)/tests/privileged/testinit.c $(top_srcdir)/src/minit/proto.h
	$(AM_V_GEN)mkdir -p $(@D) && $(QT_MUSL) -o $@ $(top_srcdir)/tests/privileged/testinit.c
noinst_DATA += tests/privileged/probe tests/privileged/testinit
EXTRA_DIST += tests/privileged/probe.c tests/privileged/testinit.c
CLEANFILES += tests/privileged/probe tests/privileged/testinit
