noinst_LIBRARIES += libqmodel.a
libqmodel_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
libqmodel_a_SOURCES = \
	src/model/check.c src/model/check.h \
	src/model/ctr.c \
	src/model/eventkind.c src/model/eventkind.h src/model/events.def \
	src/model/fields.c src/model/fields.h \
	src/model/dockerfile.c src/model/dockerfile.h src/model/dockerfile.def src/model/dfwords.c \
	src/model/img.c src/model/img.h src/model/imgref.c \
	src/model/model.h \
	src/model/op.c src/model/optypes.def \
	src/model/record.c \
	src/model/session.c src/model/session.h \
	src/model/snap.c src/model/snap.h \
	src/model/state.c \
	src/model/vol.c
