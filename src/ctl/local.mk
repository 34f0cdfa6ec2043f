bin_PROGRAMS += quiltctl
quiltctl_SOURCES = src/ctl/main.c
quiltctl_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
quiltctl_LDADD = libqwire.a $(QT_STORE_LIBS)
