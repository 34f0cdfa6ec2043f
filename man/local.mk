dist_man_MANS += man/quiltctl.1 man/quilt-agent.8 man/quilt-api.8 man/quilt-dns.8 man/quilt-files.8 man/quilt-minit.8 man/quilt-pull.8 man/quilt-runtime.8 man/quilt-stream.8
man_MANS += man/quilt.conf.5

# The settings' table is what the program itself prints, so that the manual has each of them.
man/quilt.conf.5: $(srcdir)/man/quilt.conf.5.in $(srcdir)/man/settings.awk quiltctl$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) man && ./quiltctl -c /dev/null config dump --doc >$@.dump && \
	awk -f $(srcdir)/man/settings.awk $@.dump >$@.table && \
	sed -e '/@SETTINGS@/{' -e 'r $@.table' -e 'd' -e '}' -e 's|@sysconfdir[@]|$(sysconfdir)|g' $(srcdir)/man/quilt.conf.5.in >$@.tmp && \
	rm $@.dump $@.table && mv $@.tmp $@

CLEANFILES += man/quilt.conf.5
EXTRA_DIST += man/quilt.conf.5.in man/settings.awk
