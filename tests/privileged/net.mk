# the network, with real namespaces and packets
noinst_PROGRAMS += tests/privileged/net_test
tests_privileged_net_test_SOURCES = \
	tests/privileged/net_test.c tests/privileged/net_life.c tests/privileged/fds.h \
	tests/privileged/net_rig.c tests/privileged/net_rig.h \
	tests/privileged/net_peer.c tests/privileged/net_peer.h \
	tests/privileged/net_look.c tests/privileged/net_look.h
tests_privileged_net_test_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/runtime
tests_privileged_net_test_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(NFT_CFLAGS)
tests_privileged_net_test_LDADD = libqnet.a libqwire.a libqbase.a $(NL_LIBS) $(NFT_LIBS) $(CMOCKA_LIBS)
