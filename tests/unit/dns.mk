# unit tests of the resolver: what decides, reads and writes
check_PROGRAMS += tests/unit/test_dns
tests_unit_test_dns_SOURCES = tests/unit/test_dns.c src/dns/ask.c
tests_unit_test_dns_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/dns -I$(top_srcdir)/src/runtime -DQT_SRCDIR='"$(abs_top_srcdir)"'
tests_unit_test_dns_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_dns_LDADD = libqdns.a libqrt.a libqwire.a libqbase.a $(CMOCKA_LIBS) $(LDNS_LIBS)
EXTRA_DIST += tests/unit/dns_corpus.txt
