# setup.sh - what a stack stands on: users, directories, secrets, certificate, configuration. Sourced by scripts/stack.
# Every function leaves alone what is there already.

users_up() {
	getent group quilt >/dev/null || groupadd -r quilt
	getent passwd quilt >/dev/null || useradd -r -g quilt -d /nonexistent -s /usr/sbin/nologin -c "quiltd workers" quilt
	getent group quilt-agent >/dev/null || groupadd -r quilt-agent
	getent passwd quilt-agent >/dev/null ||
		useradd -r -g quilt-agent -G quilt -d /nonexistent -s /usr/sbin/nologin -c "quiltd agent" quilt-agent
	getent group quilt-stream >/dev/null || groupadd -r quilt-stream
	getent passwd quilt-stream >/dev/null ||
		useradd -r -g quilt-stream -G quilt -d /nonexistent -s /usr/sbin/nologin -c "quiltd streams" quilt-stream
	getent group quilt-dns >/dev/null || groupadd -r quilt-dns
	getent passwd quilt-dns >/dev/null ||
		useradd -r -g quilt-dns -G quilt -d /nonexistent -s /usr/sbin/nologin -c "quiltd resolver" quilt-dns
	getent passwd redis >/dev/null || die "there is no user redis" "Run scripts/deps first: Debian's redis-server brings it."
}

dir() { install -d -m "$1" -o "$2" -g "$3" "$4"; }

dirs_up() {
	dir 755 root root "$QUILT_ETC"
	dir 711 root root "$QUILT_STATE"
	dir 750 root root "$QUILT_LOG"
	dir 700 redis redis "$QUILT_STATE/redis"
	dir 700 quilt-agent quilt-agent "$QUILT_STATE/agent"
	dir 2770 quilt quilt-agent "$QUILT_STATE/spool" # uploaded archives, from the workers to the agent
	# Sticky: each program makes its socket here and cannot take another's away.
	dir 1770 root quilt "$QUILT_RUN"
	dir 770 quilt quilt "$QUILT_RUN/secrets" # credentials of pulls, from the workers to the agent; gone with the machine
	dir 700 root root "$QUILT_RUN/pids"
	dir 711 root root "$QUILT_RUN/nginx"
}

# secret FILE USER OWNER: FILE holds USER:PASSWORD, for OWNER to read, and nobody of its group: the group quilt is that of the sockets.
secret() {
	[ -s "$1" ] || (umask 077 && printf '%s:%s\n' "$2" "$(openssl rand -hex 32)" >"$1.new" && mv "$1.new" "$1")
	chown "$3:root" "$1"
	[ "$3" = root ] && chmod 600 "$1" || chmod 400 "$1"
}

sha_of() { cut -d: -f2 "$1" | tr -d '\n' | sha256sum | cut -d' ' -f1; }

redis_conf_up() {
	local acl=$QUILT_ETC/redis-users.acl
	secret "$QUILT_ETC/redis.secret" quilt-worker quilt
	secret "$QUILT_ETC/redis-agent.secret" quilt-agent quilt-agent
	secret "$QUILT_ETC/redis-dns.secret" quilt-dns quilt-dns
	secret "$QUILT_ETC/redis-stream.secret" quilt-stream quilt-stream
	secret "$QUILT_ETC/redis-admin.secret" quilt-admin root
	secret "$QUILT_ETC/gui.secret" gui quilt # links to desktops are signed with it
	[ -e "$QUILT_ETC/redis.conf" ] || fill "$top/contrib/redis/redis.conf.in" "$QUILT_ETC/redis.conf"
	sed -e "s|@ADMIN@|$(sha_of "$QUILT_ETC/redis-admin.secret")|" -e "s|@WORKER@|$(sha_of "$QUILT_ETC/redis.secret")|" \
		-e "s|@AGENT@|$(sha_of "$QUILT_ETC/redis-agent.secret")|" -e "s|@DNS@|$(sha_of "$QUILT_ETC/redis-dns.secret")|" \
		-e "s|@STREAM@|$(sha_of "$QUILT_ETC/redis-stream.secret")|" "$top/contrib/redis/users.acl.in" >"$acl.new"
	chown root:quilt "$acl.new"
	chmod 640 "$acl.new"
	mv "$acl.new" "$acl"
}

# fill TEMPLATE FILE: the instance's values for @NAMES@.
fill() {
	sed -e "s|@RUN@|$QUILT_RUN|g" -e "s|@ETC@|$QUILT_ETC|g" -e "s|@STATE@|$QUILT_STATE|g" -e "s|@LOG@|$QUILT_LOG|g" \
		-e "s|@LISTEN@|$QUILT_LISTEN|g" -e "s|@DATA@|$QUILT_PREFIX/share/quilt|g" "$1" >"$2.new"
	mv "$2.new" "$2"
}

quilt_conf_up() {
	local conf=$QUILT_ETC/quilt.conf name have
	if [ ! -e "$conf" ]; then
		{
			echo "# quilt.conf(5); \`quiltctl config dump\` prints every setting."
			printf '%s = %s\n' state_dir "$QUILT_STATE" run_dir "$QUILT_RUN" pool_dir "$QUILT_POOL" \
				redis_socket "$QUILT_RUN/redis.sock" redis_secret_file "$QUILT_ETC/redis.secret" \
				gui_secret_file "$QUILT_ETC/gui.secret" public_url "$QUILT_URL"
			[ -z "$QUILT_CONF_LINES" ] || printf '%s\n' "$QUILT_CONF_LINES"
		} >"$conf.new"
		mv "$conf.new" "$conf"
	fi
	for name in state_dir:$QUILT_STATE run_dir:$QUILT_RUN pool_dir:$QUILT_POOL; do
		have=$(conf_value "${name%%:*}")
		[ "$have" = "${name#*:}" ] || die "$conf says ${name%%:*} = $have, and this stack's is ${name#*:}" \
			"Change one of them; the stack's come from QUILT_STATE, QUILT_RUN and QUILT_POOL."
	done
	# An older version made these of it. Nothing reads them any more.
	for name in agent dns stream; do
		! head -n 1 "$QUILT_ETC/$name.conf" 2>/dev/null | grep -q "^# made from quilt.conf" || rm "$QUILT_ETC/$name.conf"
	done
}

conf_value() { sed -n "s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*//p" "$QUILT_ETC/quilt.conf" | sed 's/[[:space:]]*$//'; }

# A certificate authority that signs one certificate and is thrown away: clients trust ca.crt, and nobody can sign more.
tls_up() {
	local dir=$QUILT_ETC/tls work log=$QUILT_LOG/stack.log host=${QUILT_LISTEN%:*}
	if [ -s "$dir/server.crt" ] && openssl x509 -in "$dir/server.crt" -noout -checkend 2592000 >/dev/null; then
		return
	fi
	dir 755 root root "$dir"
	work=$(umask 077 && mktemp -d)
	cat >"$work/ext" <<-EOF
		[ca]
		basicConstraints = critical, CA:TRUE, pathlen:0
		keyUsage = critical, keyCertSign, cRLSign
		subjectKeyIdentifier = hash
		[server]
		basicConstraints = critical, CA:FALSE
		keyUsage = critical, digitalSignature
		extendedKeyUsage = serverAuth
		subjectKeyIdentifier = hash
		authorityKeyIdentifier = keyid
		subjectAltName = DNS:localhost, DNS:$(hostname), IP:127.0.0.1, IP:::1$(grep -qE '^[0-9.]+$' <<<"$host" && echo ", IP:$host")
	EOF
	(
		cd "$work"
		openssl ecparam -name prime256v1 -genkey -noout -out ca.key
		openssl req -new -key ca.key -subj "/CN=quiltd on $(hostname)" -out ca.csr
		openssl x509 -req -in ca.csr -signkey ca.key -days 3650 -extfile ext -extensions ca -out ca.crt
		openssl ecparam -name prime256v1 -genkey -noout -out server.key
		openssl req -new -key server.key -subj "/CN=localhost" -out server.csr
		openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 825 -extfile ext -extensions server \
			-out server.crt
	) >>"$log" 2>&1 || { rm -rf "$work"; die "openssl could not make the certificate" "See $log."; }
	install -m 600 "$work/server.key" "$dir/server.key"
	install -m 644 "$work/server.crt" "$dir/server.crt"
	install -m 644 "$work/ca.crt" "$dir/ca.crt"
	rm -rf "$work"
}

# nginx's own configuration for a machine that has no nginx of its own; it includes the two files that an existing one would.
nginx_conf_up() {
	local which api
	api=$(program quilt-api)
	dir 755 root root "$QUILT_ETC/nginx"
	for which in http server; do
		"$api" -c "$QUILT_ETC/quilt.conf" --nginx $which >"$QUILT_ETC/nginx/quilt-$which.conf.new" ||
			die "quilt-api could not make nginx's configuration"
		mv "$QUILT_ETC/nginx/quilt-$which.conf.new" "$QUILT_ETC/nginx/quilt-$which.conf"
	done
	fill "$top/contrib/nginx/nginx.conf.in" "$QUILT_ETC/nginx.conf"
}
