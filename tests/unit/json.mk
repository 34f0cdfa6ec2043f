check_PROGRAMS += tests/unit/test_dec
tests_unit_test_dec_SOURCES = tests/unit/test_dec.c
tests_unit_test_dec_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_dec_LDADD = libqjson.a libqbase.a $(CMOCKA_LIBS) $(JANSSON_LIBS) -lm
