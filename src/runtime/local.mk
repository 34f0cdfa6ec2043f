# quilt-runtime, without the parts that make processes (spawn.mk) and network (net.mk)
noinst_LIBRARIES += libqrt.a
libqrt_a_SOURCES = \
	src/runtime/blobs.c src/runtime/blobs.h \
	src/runtime/caps.def \
	src/runtime/cdi.c src/runtime/cdi.h \
	src/runtime/cdispec.c src/runtime/cdispec.h \
	src/runtime/ctr.c src/runtime/ctr.h \
	src/runtime/check.c src/runtime/check.h \
	src/runtime/copy.c src/runtime/copy.h \
	src/runtime/copytree.c \
	src/runtime/dirs.c src/runtime/dirs.h \
	src/runtime/failpoint.c src/runtime/failpoint.h src/runtime/failpoints.def \
	src/runtime/files.c src/runtime/files.h \
	src/runtime/gpus.c src/runtime/gpus.h \
	src/runtime/harden.c src/runtime/harden.h \
	src/runtime/image.c src/runtime/image.h \
	src/runtime/job.c src/runtime/job.h \
	src/runtime/journal.c src/runtime/journal.h \
	src/runtime/keep.c src/runtime/keep.h \
	src/runtime/layers.c src/runtime/layers.h \
	src/runtime/life.c src/runtime/life.h \
	src/runtime/loop.c src/runtime/loop.h \
	src/runtime/managed.c src/runtime/managed.h \
	src/runtime/obj.c src/runtime/obj.h \
	src/runtime/op_end.c \
	src/runtime/op_files.c \
	src/runtime/op_image.c \
	src/runtime/op_life.c \
	src/runtime/op_obj.c \
	src/runtime/op_procs.c src/runtime/procs.c src/runtime/procs.h src/runtime/op_net.c \
	src/runtime/op_read.c \
	src/runtime/op_take.c \
	src/runtime/open.c src/runtime/runtime.h \
	src/runtime/ops.c src/runtime/ops.h \
	src/runtime/peer.c src/runtime/peer.h src/runtime/peer_in.h src/runtime/peer_out.c \
	src/runtime/ranges.c src/runtime/ranges.h \
	src/runtime/begin.c src/runtime/begin.h \
	src/runtime/spares.c src/runtime/spares.h \
	src/runtime/soname.c src/runtime/soname.h \
	src/runtime/sessions.c src/runtime/sessions.h \
	src/runtime/store.c src/runtime/store.h src/runtime/store_parts.h \
	src/runtime/store_btrfs.c \
	src/runtime/store_copy.c \
	src/runtime/store_moment.c \
	src/runtime/store_project.c \
	src/runtime/sweep.c \
	src/runtime/tree.c src/runtime/tree.h \
	src/runtime/undo.c src/runtime/undo.h \
	src/runtime/volumes.c src/runtime/volumes.h

RT_LIBS = libqrt.a libqspawn.a libqnet.a libqwire.a libqbase.a $(NL_LIBS) $(NFT_LIBS) $(SECCOMP_LIBS) $(CAPNG_LIBS) $(YAML_LIBS)

quiltlibexec_PROGRAMS += src/runtime/quilt-runtime
src_runtime_quilt_runtime_SOURCES = src/runtime/main.c
src_runtime_quilt_runtime_LDADD = $(RT_LIBS)
