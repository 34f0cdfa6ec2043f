noinst_LIBRARIES += libqbase.a
libqbase_a_SOURCES = \
	src/base/b64.c src/base/b64.h \
	src/base/buf.c src/base/buf.h \
	src/base/cleanup.h \
	src/base/clock.c src/base/clock.h \
	src/base/conf.c src/base/conf.h src/base/settings.def \
	src/base/err.c src/base/err.h src/base/errors.def \
	src/base/fdio.c src/base/fdio.h \
	src/base/fdpass.c src/base/fdpass.h \
	src/base/id.c src/base/id.h \
	src/base/log.c src/base/log.h \
	src/base/num.c src/base/num.h \
	src/base/proc.c src/base/proc.h \
	src/base/rnd.c src/base/rnd.h \
	src/base/rootpath.c src/base/rootpath.h \
	src/base/str.c src/base/str.h
