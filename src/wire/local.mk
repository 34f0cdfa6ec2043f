noinst_LIBRARIES += libqwire.a
libqwire_a_SOURCES = \
	src/wire/client.c src/wire/client.h \
	src/wire/msg.c src/wire/msg.h \
	src/wire/netaddr.c src/wire/netaddr.h \
	src/wire/ops.def src/wire/rt.h
