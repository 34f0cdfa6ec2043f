# With a Redis and a runtime of its own making: it links neither libqstore nor the runtime's client.
check_PROGRAMS += tests/unit/test_life
tests_unit_test_life_SOURCES = tests/unit/test_life.c tests/unit/life_world.c tests/unit/life_world.h tests/unit/life_redis.c tests/unit/life_ops.c tests/unit/life_volumes.c \
	tests/unit/life_snaps.c tests/unit/life_images.c
tests_unit_test_life_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_life_LDADD = libqlife.a libqminit.a libqfiles.a libqwire.a libqmodel.a libqbase.a $(JANSSON_LIBS) $(CRYPTO_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_gpus
tests_unit_test_gpus_SOURCES = tests/unit/test_gpus.c
tests_unit_test_gpus_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_gpus_LDADD = libqlife.a libqwire.a libqmodel.a libqbase.a $(JANSSON_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_conns
tests_unit_test_conns_SOURCES = tests/unit/test_conns.c
tests_unit_test_conns_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_conns_LDADD = libqlife.a libqbase.a $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_spool
tests_unit_test_spool_SOURCES = tests/unit/test_spool.c
tests_unit_test_spool_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_spool_LDADD = libqlife.a libqwire.a libqmodel.a libqbase.a $(JANSSON_LIBS) $(CMOCKA_LIBS)
