noinst_LIBRARIES += libqjson.a
libqjson_a_SOURCES = src/json/dec.c src/json/dec.h src/json/parse.c src/json/schema.c
libqjson_a_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
