# instance.sh - where a stack lives. Sourced by bash, after common.sh.
#
# Every value can be set in the environment, or in the file that QUILT_INSTANCE_FILE names (lines NAME=value, read by
# the shell); what is unset has the quick start's value. Tests run a second stack beside another one this way.
[ -z "${QUILT_INSTANCE_FILE:-}" ] || . "$QUILT_INSTANCE_FILE"

: "${QUILT_PREFIX:=/usr/local}"               # where `make install` put the programs
: "${QUILT_ETC:=/etc/quilt}"                  # configuration, secrets, certificate
: "${QUILT_STATE:=/var/lib/quilt}"            # journal, Redis's data, pool, logs: what stays after `down`
: "${QUILT_RUN:=/run/quilt}"                  # sockets and pid files: what goes
: "${QUILT_POOL:=$QUILT_STATE/pool}"          # where the storage pool is mounted
: "${QUILT_POOL_DRIVER:=btrfs}"               # btrfs: a loop file; copy: a plain directory
: "${QUILT_POOL_SIZE:=20G}"                   # of the loop file, which is sparse
: "${QUILT_IMAGES:=busybox}"                  # made at `up` if the pool lacks them
: "${QUILT_LISTEN:=127.0.0.1:8443}"           # nginx
: "${QUILT_RESTART_MAX_MS:=5000}"              # a program that dies again and again is started again after 200 ms to so long
: "${QUILT_CONF_LINES:=}"                     # further lines of a new quilt.conf
: "${QUILT_DAEMON_ENV:=}"                     # NAME=value ... for the daemons' environment (sanitizers)
QUILT_LOG=$QUILT_STATE/log
QUILT_URL=https://$QUILT_LISTEN
QUILT_CA=$QUILT_ETC/tls/ca.crt

program() { # path of an installed program
	local dir
	for dir in sbin bin libexec/quilt; do
		if [ -x "$QUILT_PREFIX/$dir/$1" ]; then
			echo "$QUILT_PREFIX/$dir/$1"
			return
		fi
	done
	die "$1 is not installed below $QUILT_PREFIX" "Build and install first: ./configure && make && sudo make install."
}

# Or it is told who has it: nginx would try for a while, and say less.
port_is_free() {
	local who
	who=$(ss -Hltnp "sport = :${QUILT_LISTEN##*:}" | awk -v a="$QUILT_LISTEN" -v p=":${QUILT_LISTEN##*:}" \
		'$4 == a || $4 == "*" p || $4 == "0.0.0.0" p {print $NF; exit}' | sed -E 's/^users:\(\("([^"]*)",pid=([0-9]+).*/\1 (pid \2)/')
	[ -z "$who" ] || die "$QUILT_LISTEN is taken by $who" \
		"Stop that program, or let this stack listen elsewhere: QUILT_LISTEN=127.0.0.1:9443 before the command (with sudo, after it)."
}
