# What works on files in trees of tenants: the program, and the conversation with it.
noinst_LIBRARIES += libqfiles.a libqfilesw.a
libqfiles_a_SOURCES = src/files/files_client.c src/files/files_client.h src/files/files.def src/files/proto.c src/files/proto.h
libqfilesw_a_SOURCES = src/files/extract.c src/files/extract.h src/files/layer.c src/files/layer.h src/files/blob.c src/files/blob.h src/files/hash.c src/files/hash.h src/files/unpack.c src/files/unpack.h src/files/list.c src/files/pack.c src/files/pack.h src/files/ignore.c src/files/meta.c src/files/meta.h src/files/member.c src/files/member.h src/files/tree.c src/files/tree.h
libqfilesw_a_CFLAGS = $(AM_CFLAGS) $(ARCHIVE_CFLAGS) $(CRYPTO_CFLAGS)

quiltlibexec_PROGRAMS += src/files/quilt-files
src_files_quilt_files_SOURCES = src/files/main.c src/files/enter.c src/files/enter.h
src_files_quilt_files_CPPFLAGS = $(AM_CPPFLAGS) $(SECCOMP_CFLAGS)
src_files_quilt_files_LDADD = libqfilesw.a libqfiles.a libqspawn.a libqwire.a libqbase.a $(ARCHIVE_LIBS) $(CRYPTO_LIBS) $(SECCOMP_LIBS)
