check_PROGRAMS += tests/unit/test_stream
tests_unit_test_stream_SOURCES = tests/unit/test_stream.c
tests_unit_test_stream_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/stream -DQT_SRCDIR='"$(abs_top_srcdir)"'
tests_unit_test_stream_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_stream_LDADD = libqstream.a libqjson.a $(QT_STORE_LIBS) $(CMOCKA_LIBS) $(CRYPTO_LIBS)
