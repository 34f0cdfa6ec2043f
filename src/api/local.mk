sbin_PROGRAMS += quilt-api
noinst_LIBRARIES += libqapi.a
libqapi_a_SOURCES = \
	src/api/answer.c src/api/answer.h src/api/call.h src/api/dispatch.c src/api/dispatch.h src/api/fcgi.c src/api/fcgi.h \
	src/api/guides.c src/api/guides.h src/api/h_batch.c src/api/h_builds.c src/api/h_containers.c src/api/h_env.c src/api/h_exec.c src/api/h_jobs.c src/api/h_lifecycle.c \
	src/api/h_operations.c src/api/h_stream.c src/api/h_system.c src/api/handlers.h src/api/idem.c src/api/idem.h src/api/identity.c src/api/identity.h src/api/openapi.c \
	src/api/openapi.h src/api/origin.c src/api/origin.h src/api/path.c src/api/path.h src/api/query.c src/api/query.h src/api/route.c src/api/route.h \
	src/api/routes_containers.c src/api/routes_jobs.c src/api/routes_network.c src/api/h_network.c src/api/h_concerns.c \
	src/api/routes_operations.c src/api/h_terminal.c src/api/routes_stream.c src/api/routes_system.c src/api/routes_terminal.c
libqapi_a_SOURCES += src/api/gui_pass.c src/api/gui_pass.h src/api/lease.c src/api/lease.h src/api/share.c src/api/share.h src/api/h_gui.c src/api/routes_gui.c
libqapi_a_SOURCES += src/api/h_images.c src/api/routes_images.c
libqapi_a_SOURCES += src/api/h_volumes.c src/api/replies.c src/api/replies.h src/api/routes_volumes.c
libqapi_a_SOURCES += src/api/h_files.c src/api/routes_files.c src/api/upload.c src/api/upload.h
libqapi_a_SOURCES += src/api/h_copies.c src/api/h_snapshots.c src/api/routes_snapshots.c
libqapi_a_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
quilt_api_SOURCES = src/api/main.c src/api/pool.c src/api/pool.h
quilt_api_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
quilt_api_LDADD = libqapi.a libqlife.a libqminit.a libqfiles.a libqstore.a libqmodel.a libqjson.a libqwire.a libqbase.a \
	$(FCGI_LIBS) $(JANSSON_LIBS) $(HIREDIS_LIBS) $(CRYPTO_LIBS) -lpthread -lm
