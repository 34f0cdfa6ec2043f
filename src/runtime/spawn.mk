# the part of quilt-runtime that makes containers: processes and control groups
noinst_LIBRARIES += libqspawn.a
libqspawn_a_CPPFLAGS = $(AM_CPPFLAGS) $(SECCOMP_CFLAGS)
libqspawn_a_SOURCES = \
	src/runtime/caps.c src/runtime/caps.h \
	src/runtime/cgroup.c src/runtime/cgroup.h src/runtime/cgroup_parts.h \
	src/runtime/cgroup_v1.c \
	src/runtime/cgroup_v2.c \
	src/runtime/child.c \
	src/runtime/devices.c \
	src/runtime/extras.c \
	src/runtime/filter.c src/runtime/filter.h src/runtime/syscalls.def \
	src/runtime/idmap.c \
	src/runtime/limits.c \
	src/runtime/masks.c \
	src/runtime/mounts.c \
	src/runtime/overlay.c \
	src/runtime/parts.h \
	src/runtime/rootfile.c \
	src/runtime/spare.c \
	src/runtime/spawn.c src/runtime/spawn.h \
	src/runtime/verify.c
