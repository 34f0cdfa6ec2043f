# The real quilt-runtime with real containers; scripts/check runs each *_test as root.
noinst_PROGRAMS += tests/privileged/gpu_test tests/privileged/rt_test tests/privileged/pool_test
tests_privileged_rt_test_SOURCES = tests/privileged/rt_test.c tests/privileged/rt_peers.c tests/privileged/rt_spares.c tests/privileged/rt_deaths.c tests/privileged/rt_parts.h \
	tests/privileged/rt_rig.c tests/privileged/rt_rig.h
tests_privileged_rt_test_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) \
	-DQT_TEST_RUNTIME='"$(abs_top_builddir)/src/runtime/quilt-runtime"' \
	-DQT_TEST_FILES='"$(abs_top_builddir)/src/files/quilt-files"' \
	-DQT_TEST_MINIT='"$(abs_top_builddir)/src/minit/quilt-minit"'
tests_privileged_rt_test_LDADD = libqminit.a libqwire.a libqbase.a $(CMOCKA_LIBS)
tests_privileged_pool_test_SOURCES = tests/privileged/pool_test.c tests/privileged/pool_copier.c tests/privileged/pool_deaths.c tests/privileged/pool_rig.c \
	tests/privileged/pool_rig.h tests/privileged/rt_rig.c tests/privileged/rt_rig.h
tests_privileged_pool_test_CPPFLAGS = $(tests_privileged_rt_test_CPPFLAGS) -I$(top_srcdir)/src/runtime
tests_privileged_pool_test_LDADD = libqminit.a $(RT_LIBS) $(CMOCKA_LIBS)
tests_privileged_gpu_test_SOURCES = tests/privileged/gpu_test.c tests/privileged/rt_rig.c tests/privileged/rt_rig.h
tests_privileged_gpu_test_CPPFLAGS = $(tests_privileged_rt_test_CPPFLAGS)
tests_privileged_gpu_test_LDADD = $(tests_privileged_rt_test_LDADD)
