sbin_PROGRAMS += quilt-agent
quilt_agent_SOURCES = \
	src/agent/agent.h \
	src/agent/beat.c \
	src/agent/expire.c \
	src/agent/main.c \
	src/agent/mend.c \
	src/agent/slots.c \
	src/agent/take.c \
	src/agent/watch.c
quilt_agent_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
quilt_agent_CFLAGS = $(AM_CFLAGS) -pthread
quilt_agent_LDFLAGS = $(AM_LDFLAGS) -pthread
quilt_agent_LDADD = libqlife.a libqminit.a libqfiles.a libqwire.a $(QT_STORE_LIBS)
