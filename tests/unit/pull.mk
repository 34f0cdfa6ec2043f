check_PROGRAMS += tests/unit/test_pull
tests_unit_test_pull_SOURCES = tests/unit/test_pull.c
tests_unit_test_pull_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_pull_LDADD = libqpull.a libqmodel.a libqbase.a $(CURL_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS) $(CMOCKA_LIBS) -lpthread
