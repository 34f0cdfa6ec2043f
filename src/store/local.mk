# In this order: a local of one file is seen by those after it.
qt_lua = \
	src/store/lua/common.lua \
	src/store/lua/keys.lua \
	src/store/lua/events.lua \
	src/store/lua/page.lua \
	src/store/lua/quota.lua \
	src/store/lua/vol.lua \
	src/store/lua/img.lua \
	src/store/lua/job.lua \
	src/store/lua/gpu.lua \
	src/store/lua/session.lua \
	src/store/lua/ctr.lua \
	src/store/lua/list.lua \
	src/store/lua/usage.lua \
	src/store/lua/snap.lua \
	src/store/lua/op.lua \
	src/store/lua/idem.lua \
	src/store/lua/snap_list.lua \
	src/store/lua/account.lua \
	src/store/lua/auth.lua \
	src/store/lua/node.lua

noinst_LIBRARIES += libqstore.a
libqstore_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(HIREDIS_CFLAGS) $(CRYPTO_CFLAGS)
libqstore_a_SOURCES = \
	src/store/account.h \
	src/store/apikey.c \
	src/store/backup.c \
	src/store/conn.c src/store/conn.h \
	src/store/ctr.c \
	src/store/errors.c \
	src/store/event.c \
	src/store/heard.c \
	src/store/functions.c src/store/functions.h \
	src/store/idem.c \
	src/store/img.c src/store/imgs.h \
	src/store/job.c \
	src/store/keys.c src/store/keys.h \
	src/store/node.c \
	src/store/op.c \
	src/store/op_agent.c src/store/oplog.c \
	src/store/plans.def src/store/quotas.def \
	src/store/session.c src/store/session_store.h \
	src/store/snap.c src/store/snap_store.h \
	src/store/store.h \
	src/store/tenant.c \
	src/store/usage.c \
	src/store/vol.c
nodist_libqstore_a_SOURCES = src/store/functions_text.c

# What a program that uses the store links, after it.
QT_STORE_LIBS = libqstore.a libqmodel.a libqbase.a $(HIREDIS_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS)

src/store/quilt.lua: $(qt_lua)
	$(AM_V_GEN)$(MKDIR_P) src/store && \
	{ for f in $(qt_lua); do cat "$(srcdir)/$$f" || exit 1; done; } >$@.body && \
	{ echo '#!lua name=quilt' && echo "local VERSION = '`sha256sum <$@.body | cut -c1-16`'" && cat $@.body; } >$@.tmp && \
	rm $@.body && mv $@.tmp $@

src/store/functions_text.c: src/store/quilt.lua
	$(AM_V_GEN){ echo '#include "functions.h"' && \
	sed -n "s/^local VERSION = '\(.*\)'/const char qt_functions_version[] = \"\1\";/p" src/store/quilt.lua && \
	echo 'const char qt_functions_text[] =' && sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$$/\\n"/' src/store/quilt.lua && echo ';'; } >$@.tmp && mv $@.tmp $@

quiltdata_DATA += src/store/quilt.lua
CLEANFILES += src/store/quilt.lua src/store/functions_text.c
EXTRA_DIST += $(qt_lua) docs/redis-schema.md
