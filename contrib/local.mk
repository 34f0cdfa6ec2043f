# units for hosts with systemd, and what scripts/stack makes its configuration from
systemd_units = \
	contrib/systemd/quilt-agent.service \
	contrib/systemd/quilt-api.service \
	contrib/systemd/quilt-dns.service \
	contrib/systemd/quilt-redis.service \
	contrib/systemd/quilt-runtime.service \
	contrib/systemd/quilt-stream.service

systemddir = $(quiltdatadir)/systemd
systemd_DATA = $(systemd_units)
dist_systemd_DATA = \
	contrib/systemd/quilt-api.socket \
	contrib/systemd/quilt.slice \
	contrib/systemd/sysctl.conf \
	contrib/systemd/sysusers.conf \
	contrib/systemd/tmpfiles.conf \
	contrib/systemd/var-lib-quilt-pool.mount

$(systemd_units): %: %.in Makefile
	$(AM_V_GEN)mkdir -p $(@D) && sed -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@bindir[@]|$(bindir)|g' -e 's|@quiltlibexecdir[@]|$(quiltlibexecdir)|g' \
		-e 's|@sysconfdir[@]|$(sysconfdir)|g' $< >$@.tmp && mv $@.tmp $@

CLEANFILES += $(systemd_units)
EXTRA_DIST += \
	$(systemd_units:=.in) \
	contrib/nginx/nginx.conf.in \
	contrib/redis/redis.conf.in \
	contrib/redis/users.acl.in \
	scripts
