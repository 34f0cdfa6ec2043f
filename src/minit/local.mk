# The init of containers: static, by the musl compiler, linking nothing of ours. Not *_PROGRAMS, which the host's compiler makes.
MINIT_C = src/minit/minit.c src/minit/conn.c src/minit/keep.c src/minit/output.c src/minit/launch.c src/minit/logw.c src/minit/frame.c src/minit/msgio.c src/minit/user.c
MINIT_H = src/minit/minit.h src/minit/launch.h src/minit/logw.h src/minit/frame.h src/minit/msgio.h src/minit/user.h src/minit/proto.h src/minit/logfmt.h
quiltlibexec_SCRIPTS += src/minit/quilt-minit
CLEANFILES += src/minit/quilt-minit
EXTRA_DIST += $(MINIT_C) $(MINIT_H)
src/minit/quilt-minit: $(MINIT_C) $(MINIT_H)
	@$(MKDIR_P) src/minit
	$(AM_V_CCLD)cd $(abs_top_srcdir) && $(MUSL_CC) -static -Os -D_GNU_SOURCE $(QT_CFLAGS) $(QT_MINIT_CFLAGS) -fstack-protector-strong \
		-ffunction-sections -fdata-sections -Wl,--gc-sections,-z,noexecstack,-z,relro,-z,now,-s \
		-o $(abs_top_builddir)/$@ $(MINIT_C)

noinst_LIBRARIES += libqminit.a
libqminit_a_SOURCES = \
	src/minit/minit_client.c src/minit/minit_client.h \
	src/minit/logread.c src/minit/logread.h src/minit/logfmt.h src/minit/proto.h
