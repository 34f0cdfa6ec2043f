noinst_LIBRARIES += libqlife.a
libqlife_a_SOURCES = \
	src/life/conns.c src/life/conns.h src/life/create.c src/life/exec.c src/life/gpus.c src/life/inner.h src/life/jobs.c src/life/life.c src/life/life.h src/life/logs.c src/life/metrics.c \
	src/life/network.c src/life/routes.c \
	src/life/op_batch.c src/life/op_container.c src/life/ops.c src/life/procs.c src/life/ready.c src/life/settle.c src/life/settle.h src/life/strv.c src/life/strv.h src/life/verbs.c
libqlife_a_SOURCES += src/life/ids.c src/life/op_volume.c src/life/settle_in.h src/life/settle_part.c src/life/settle_vol.c src/life/volumes.c
libqlife_a_SOURCES += src/life/sessions.c src/life/sessions.h
libqlife_a_SOURCES += src/life/gui.c src/life/gui.h
libqlife_a_SOURCES += src/life/fetch.c src/life/images.c src/life/images.h src/life/op_image.c src/life/secret.c src/life/settle_img.c
libqlife_a_SOURCES += src/life/build.c src/life/build.h src/life/build_cache.c src/life/build_context.c src/life/build_copy.c src/life/build_ctr.c \
	src/life/build_end.c src/life/build_from.c src/life/build_log.c src/life/build_meta.c src/life/build_run.c src/life/builds.h src/life/contexts.c \
	src/life/contexts.h src/life/op_build.c src/life/steps.h
libqlife_a_SOURCES += src/life/files.c src/life/files.h src/life/op_archive.c src/life/spool.c src/life/spool.h
libqlife_a_SOURCES += src/life/copy.c src/life/copy_volumes.c src/life/op_copy.c src/life/op_snapshot.c src/life/settle_snap.c src/life/snap.c \
	src/life/snap_in.h src/life/snaps.h
libqlife_a_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/minit
libqlife_a_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
