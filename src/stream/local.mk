sbin_PROGRAMS += quilt-stream
noinst_LIBRARIES += libqstream.a
# What can be tested without a daemon.
libqstream_a_SOURCES = src/stream/frames.c src/stream/frames.h src/stream/sse.c src/stream/sse.h src/stream/termmsg.c src/stream/termmsg.h
quilt_stream_SOURCES = \
	src/stream/blob.h \
	src/stream/events.c src/stream/events.h \
	src/stream/exec.c src/stream/exec.h \
	src/stream/follow.c src/stream/follow.h \
	src/stream/http.c src/stream/http.h \
	src/stream/gui.c src/stream/gui.h \
	src/stream/hub.c src/stream/hub.h \
	src/stream/jobs.c \
	src/stream/main.c \
	src/stream/quota.c src/stream/quota.h \
	src/stream/sample.c \
	src/stream/scroll.c src/stream/scroll.h \
	src/stream/stream.h \
	src/stream/termclient.c \
	src/stream/terminal.c src/stream/terminal.h src/stream/terminal_in.h \
	src/stream/termkeep.c \
	src/stream/ticket.c src/stream/ticket.h \
	src/stream/watch.c \
	src/stream/ws.c
libqstream_a_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
quilt_stream_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/api
quilt_stream_CFLAGS = $(AM_CFLAGS) $(LWS_CFLAGS) $(JANSSON_CFLAGS) -pthread
quilt_stream_LDFLAGS = $(AM_LDFLAGS) -pthread
quilt_stream_LDADD = libqstream.a libqapi.a libqlife.a libqminit.a libqfiles.a libqwire.a $(QT_STORE_LIBS) libqjson.a libqbase.a $(FCGI_LIBS) $(LWS_LIBS) -lm
