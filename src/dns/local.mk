# quilt-dns, the resolver of containers; what decides and parses is a library of its own, for tests
noinst_LIBRARIES += libqdns.a
libqdns_a_SOURCES = src/dns/answer.c src/dns/answer.h src/dns/query.c src/dns/query.h src/dns/zone.c src/dns/zone.h
libqdns_a_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/dns $(LDNS_CFLAGS)

sbin_PROGRAMS += quilt-dns
quilt_dns_SOURCES = \
	src/dns/ask.c src/dns/conn.c src/dns/feed.c src/dns/feed.h src/dns/forward.c src/dns/main.c src/dns/server.c src/dns/server.h
quilt_dns_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/dns -I$(top_srcdir)/src/runtime $(JANSSON_CFLAGS)
quilt_dns_CFLAGS = $(AM_CFLAGS) -pthread
quilt_dns_LDFLAGS = $(AM_LDFLAGS) -pthread
# The event loop and the reading of resolv.conf are the runtime's.
quilt_dns_LDADD = libqdns.a libqrt.a libqnet.a libqwire.a $(QT_STORE_LIBS) $(LDNS_LIBS)
