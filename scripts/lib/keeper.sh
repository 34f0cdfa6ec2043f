# keeper.sh - one program's keeper: starts it, and starts it again when it ends unasked. Sourced by scripts/stack.
#
# pids/NAME.pid is the program's pid, pids/NAME.keeper the keeper's. `kill -9` of the program is mended by its keeper; of a
# keeper, by the next `stack up`.

pid_of() { cat "$QUILT_RUN/pids/$1" 2>/dev/null || true; }

# start_time PID: when it began; false if there is no such process, or a zombie alone. Sets start_time_is, and forks nothing: it is asked many times a
# second.
start_time() {
	local stat
	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
	stat=(${stat##*) })
	start_time_is=${stat[19]}
	case ${stat[0]} in Z | X) return 1 ;; esac
}

# Alive, not a zombie, and the program we started rather than a later owner of the number.
alive() {
	local pid noted
	{ read -r pid <"$QUILT_RUN/pids/$1" && read -r noted <"$QUILT_RUN/pids/$1.start"; } 2>/dev/null &&
		start_time "$pid" && [ "$start_time_is" = "$noted" ]
}

note_pid() { # NAME PID
	start_time "$2" || start_time_is=
	echo "$start_time_is" >"$QUILT_RUN/pids/$1.start"
	echo "$2" >"$QUILT_RUN/pids/$1.new"
	mv "$QUILT_RUN/pids/$1.new" "$QUILT_RUN/pids/$1"
}

# What a program makes when it is ready; taken away before it starts, so that its being there means something.
ready_files() {
	case $1 in
	redis) echo "$QUILT_RUN/redis.sock" ;;
	runtime) echo "$QUILT_RUN/runtime.sock" ;;
	agent) echo "$QUILT_RUN/agent.ready" ;;
	dns) echo "$QUILT_RUN/dns.ready" ;;
	api) echo "$QUILT_RUN/api.sock" "$QUILT_RUN/api-slow.sock" ;;
	stream) echo "$QUILT_RUN/stream.sock" ;;
	nginx) echo "$QUILT_RUN/nginx/nginx.pid" ;;
	esac
}

# Becomes the program.
run_program() {
	local clean=(env -i "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" LANG=C.UTF-8 $QUILT_DAEMON_ENV)
	local conf=$QUILT_ETC/quilt.conf
	umask 027
	ulimit -c 0
	# As much as the machine grants, up to what the systemd units ask for.
	[ "$(ulimit -Hn)" = unlimited ] || [ "$(ulimit -Hn)" -gt 65536 ] && ulimit -n 65536 || ulimit -n "$(ulimit -Hn)"
	cd /
	case $1 in
	redis) exec "${clean[@]}" setpriv --reuid redis --regid quilt --clear-groups --no-new-privs \
		redis-server "$QUILT_ETC/redis.conf" ;;
	runtime) exec "${clean[@]}" "$(program quilt-runtime)" -c "$conf" ;;
	agent) exec "${clean[@]}" setpriv --reuid quilt-agent --regid quilt-agent --init-groups --no-new-privs --bounding-set -all \
		"$(program quilt-agent)" -c "$conf" --redis-secret "$QUILT_ETC/redis-agent.secret" ;;
	dns) exec "${clean[@]}" setpriv --reuid quilt-dns --regid quilt-dns --init-groups --no-new-privs --bounding-set -all \
		"$(program quilt-dns)" -c "$conf" --redis-secret "$QUILT_ETC/redis-dns.secret" ;;
	api) exec "${clean[@]}" setpriv --reuid quilt --regid quilt --init-groups --no-new-privs --bounding-set -all \
		"$(program quilt-api)" -c "$conf" ;;
	stream) exec "${clean[@]}" setpriv --reuid quilt-stream --regid quilt --init-groups --no-new-privs --bounding-set -all \
		"$(program quilt-stream)" -c "$conf" --redis-secret "$QUILT_ETC/redis-stream.secret" ;;
	nginx) exec setsid "${clean[@]}" nginx -c "$QUILT_ETC/nginx.conf" -e "$QUILT_LOG/nginx.log" -g 'daemon off;' ;;
	esac
}

keep() {
	local name=$1 child= stopping= born pause=200 rc=0
	trap 'stopping=1; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM INT
	note_pid "$name.keeper" "$BASHPID"
	while [ -z "$stopping" ]; do
		born=$(now_ms)
		rm -f $(ready_files "$name")
		run_program "$name" </dev/null >>"$QUILT_LOG/$name.log" 2>&1 &
		child=$!
		note_pid "$name.pid" "$child"
		[ -z "$stopping" ] || kill -TERM "$child" 2>/dev/null
		# A signal for the keeper ends `wait`, not the child.
		while kill -0 "$child" 2>/dev/null; do wait "$child" && rc=0 || rc=$?; done
		# nginx's workers outlive a master that was killed, and keep its port. (What the runtime started is to live on.)
		[ "$name" != nginx ] || pkill -TERM -s "$child" || [ $? = 1 ]
		child=
		rm -f "$QUILT_RUN/pids/$name.pid"
		[ -z "$stopping" ] || break
		# Back off from 200 ms to QUILT_RESTART_MAX_MS while it dies young.
		[ $(($(now_ms) - born)) -lt 5000 ] || pause=200
		echo >>"$QUILT_RUN/pids/$name.deaths"
		echo "$(date -Is) $name ended with $rc; it is started again in $pause ms"
		sleep "${pause%???}.$(printf '%03d' $((pause % 1000)))"
		pause=$((pause * 2 > QUILT_RESTART_MAX_MS ? QUILT_RESTART_MAX_MS : pause * 2))
	done
	rm -f $(ready_files "$name") "$QUILT_RUN/pids/$name.keeper"
}
