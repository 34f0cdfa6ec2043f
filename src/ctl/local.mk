bin_PROGRAMS += quiltctl
quiltctl_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
quiltctl_SOURCES = \
	src/ctl/accounts.c \
	src/ctl/commands.c \
	src/ctl/ctl.h \
	src/ctl/machine.c \
	src/ctl/main.c \
	src/ctl/usage.c
quiltctl_LDADD = libqwire.a $(QT_STORE_LIBS)
