# Each starts a redis-server of its own, as whoever runs the tests.
check_PROGRAMS += tests/store/test_account tests/store/test_acl tests/store/test_away tests/store/test_ctl tests/store/test_ctr \
	tests/store/test_idem tests/store/test_img tests/store/test_lease tests/store/test_op tests/store/test_schema tests/store/test_snap tests/store/test_vol tests/store/test_gpu
qt_store_test_cppflags = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS) $(HIREDIS_CFLAGS) -DQT_SRCDIR='"$(abs_top_srcdir)"' \
	-DQT_BUILDDIR='"$(abs_top_builddir)"'
qt_store_test_harness = tests/store/redis.c tests/store/redis.h tests/store/check.h
qt_store_test_scene = $(qt_store_test_harness) tests/store/scene.c tests/store/scene.h
qt_store_test_libs = $(QT_STORE_LIBS) $(CMOCKA_LIBS)

tests_store_test_account_SOURCES = tests/store/test_account.c $(qt_store_test_harness)
tests_store_test_account_CPPFLAGS = $(qt_store_test_cppflags)
tests_store_test_account_LDADD = $(qt_store_test_libs)

tests_store_test_acl_SOURCES = tests/store/test_acl.c $(qt_store_test_harness)
tests_store_test_acl_CPPFLAGS = $(qt_store_test_cppflags)
tests_store_test_acl_LDADD = $(qt_store_test_libs)

tests_store_test_away_SOURCES = tests/store/test_away.c $(qt_store_test_harness)
tests_store_test_away_CPPFLAGS = $(qt_store_test_cppflags)
tests_store_test_away_LDADD = $(qt_store_test_libs)

tests_store_test_ctl_SOURCES = tests/store/test_ctl.c $(qt_store_test_harness)
tests_store_test_ctl_CPPFLAGS = $(qt_store_test_cppflags)
tests_store_test_ctl_LDADD = $(qt_store_test_libs)

tests_store_test_ctr_SOURCES = tests/store/test_ctr.c $(qt_store_test_scene)
tests_store_test_ctr_CPPFLAGS = $(qt_store_test_cppflags)
tests_store_test_ctr_LDADD = $(qt_store_test_libs)

tests_store_test_lease_SOURCES = tests/store/test_lease.c src/api/lease.c $(qt_store_test_harness)
tests_store_test_lease_CPPFLAGS = $(qt_store_test_cppflags) -pthread
tests_store_test_lease_LDADD = $(qt_store_test_libs) -lpthread

tests_store_test_idem_SOURCES = tests/store/test_idem.c $(qt_store_test_harness)
tests_store_test_idem_CPPFLAGS = $(qt_store_test_cppflags)
tests_store_test_idem_LDADD = $(qt_store_test_libs)

tests_store_test_op_SOURCES = tests/store/test_op.c $(qt_store_test_harness)
tests_store_test_op_CPPFLAGS = $(qt_store_test_cppflags)
tests_store_test_op_LDADD = $(qt_store_test_libs)

tests_store_test_schema_SOURCES = tests/store/test_schema.c $(qt_store_test_harness)
tests_store_test_schema_CPPFLAGS = $(qt_store_test_cppflags)
tests_store_test_schema_LDADD = $(qt_store_test_libs)

tests_store_test_snap_SOURCES = tests/store/test_snap.c $(qt_store_test_scene)
tests_store_test_snap_CPPFLAGS = $(qt_store_test_cppflags)
tests_store_test_snap_LDADD = $(qt_store_test_libs)

tests_store_test_vol_SOURCES = tests/store/test_vol.c $(qt_store_test_scene)
tests_store_test_vol_CPPFLAGS = $(qt_store_test_cppflags)
tests_store_test_vol_LDADD = $(qt_store_test_libs)
tests_store_test_gpu_SOURCES = tests/store/test_gpu.c $(qt_store_test_scene)
tests_store_test_gpu_CPPFLAGS = $(qt_store_test_cppflags)
tests_store_test_gpu_LDADD = $(qt_store_test_libs)
tests_store_test_img_SOURCES = tests/store/test_img.c $(qt_store_test_scene)
tests_store_test_img_CPPFLAGS = $(qt_store_test_cppflags)
tests_store_test_img_LDADD = $(qt_store_test_libs)
