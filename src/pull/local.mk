# What fetches images: the program, started by the agent.
noinst_LIBRARIES += libqpull.a
libqpull_a_SOURCES = src/pull/addr.c src/pull/blob.c src/pull/cage.c src/pull/cage.h src/pull/http.c src/pull/manifest.c src/pull/pull.h
libqpull_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
libqpull_a_CFLAGS = $(AM_CFLAGS) $(CURL_CFLAGS) $(CRYPTO_CFLAGS) -pthread

quiltlibexec_PROGRAMS += src/pull/quilt-pull
src_pull_quilt_pull_SOURCES = src/pull/main.c
src_pull_quilt_pull_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
src_pull_quilt_pull_CFLAGS = $(AM_CFLAGS) $(CURL_CFLAGS) -pthread
src_pull_quilt_pull_LDFLAGS = $(AM_LDFLAGS) -pthread
src_pull_quilt_pull_LDADD = libqpull.a libqmodel.a libqbase.a $(CURL_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS)
