check_PROGRAMS += tests/unit/test_model
tests_unit_test_model_SOURCES = tests/unit/test_model.c
tests_unit_test_model_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_model_LDADD = libqmodel.a libqbase.a $(JANSSON_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_snap
tests_unit_test_snap_SOURCES = tests/unit/test_snap.c
tests_unit_test_snap_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_snap_LDADD = libqmodel.a libqbase.a $(JANSSON_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/test_dockerfile
tests_unit_test_dockerfile_SOURCES = tests/unit/test_dockerfile.c
tests_unit_test_dockerfile_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_dockerfile_LDADD = libqmodel.a libqbase.a $(JANSSON_LIBS) $(CMOCKA_LIBS)
