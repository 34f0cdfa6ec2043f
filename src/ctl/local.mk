bin_PROGRAMS += quiltctl
quiltctl_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
quiltctl_SOURCES = \
	src/ctl/accounts.c \
	src/ctl/commands.c \
	src/ctl/ctl.h \
	src/ctl/images.c \
	src/ctl/machine.c \
	src/ctl/main.c \
	src/ctl/usage.c
quiltctl_LDADD = libqwire.a $(QT_STORE_LIBS)

# What `quiltctl image` runs. The recipes are what lies in scripts/images, and listed nowhere.
dist_quiltlibexec_SCRIPTS = scripts/image-build
install-data-local:
	$(MKDIR_P) $(DESTDIR)$(quiltlibexecdir)/images $(DESTDIR)$(quiltlibexecdir)/lib
	$(INSTALL_DATA) $(srcdir)/scripts/images/* $(DESTDIR)$(quiltlibexecdir)/images
	$(INSTALL_DATA) $(srcdir)/scripts/lib/common.sh $(srcdir)/scripts/lib/image.sh $(srcdir)/scripts/lib/layout.sh $(DESTDIR)$(quiltlibexecdir)/lib
uninstall-local:
	rm -rf $(DESTDIR)$(quiltlibexecdir)/images $(DESTDIR)$(quiltlibexecdir)/lib
