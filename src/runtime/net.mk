# the network of containers
noinst_LIBRARIES += libqnet.a
libqnet_a_SOURCES = \
	src/runtime/dnssock.c src/runtime/dnssock.h \
	src/runtime/net.c src/runtime/net.h src/runtime/net_inner.h \
	src/runtime/netct.c src/runtime/netct.h \
	src/runtime/netdns.c src/runtime/netdns.h \
	src/runtime/netfilter.c src/runtime/netfilter.h \
	src/runtime/netns.c src/runtime/netns.h \
	src/runtime/netpool.c src/runtime/netpool.h \
	src/runtime/netrules.c src/runtime/netrules.h \
	src/runtime/netsets.c src/runtime/netsets.h \
	src/runtime/nft.c src/runtime/nft.h \
	src/runtime/netmend.c src/runtime/netopen.c src/runtime/netcheck.c \
	src/runtime/rtnl.c src/runtime/rtnl.h \
	src/runtime/rtnl_route.c \
	src/runtime/rtnl_batch.c src/runtime/rtnl_batch.h
libqnet_a_CFLAGS = $(AM_CFLAGS) $(NL_CFLAGS) $(NFT_CFLAGS)
