check_PROGRAMS += tests/unit/test_api
tests_unit_test_api_SOURCES = tests/unit/test_api.c
tests_unit_test_api_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/api -DOPENAPI_JSON='"$(abs_top_srcdir)/docs/openapi.json"'
tests_unit_test_api_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_api_LDADD = libqapi.a libqlife.a libqminit.a libqfiles.a libqstore.a libqmodel.a libqjson.a libqwire.a libqbase.a \
	$(CMOCKA_LIBS) $(FCGI_LIBS) $(JANSSON_LIBS) $(HIREDIS_LIBS) $(CRYPTO_LIBS) -lpthread -lm
