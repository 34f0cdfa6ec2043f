# common.sh - what the scripts share: how they speak, and how they give up. Sourced by bash.

say() { printf '%s\n' "$*"; }
step() { printf '==> %s\n' "$*"; }
warn() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# die WHAT [WHAT TO DO]: the first says what failed, the second what helps.
die() {
	printf '%s: %s\n' "${0##*/}" "$1" >&2
	[ $# -lt 2 ] || printf '%s: %s\n' "${0##*/}" "$2" >&2
	exit 1
}

need_root() { [ "$(id -u)" = 0 ] || die "this needs root" "Run it again with sudo."; }

# quietly LOG CMD...: the command's output goes to LOG, and to the terminal only if it fails.
quietly() {
	local log=$1 rc=0
	shift
	"$@" >>"$log" 2>&1 </dev/null || rc=$?
	[ $rc = 0 ] && return 0
	warn "failed ($rc): $*"
	tail -n 40 "$log" | sed 's/^/    /' >&2
	return $rc
}

# Milliseconds on a clock that nobody sets.
now_ms() { local up; read -r up _ </proc/uptime; echo "${up/./}0"; }

# wait_until SECONDS CMD...: true as soon as CMD is, false when the time is over.
wait_until() {
	local end=$(($(now_ms) + $1 * 1000))
	shift
	until "$@"; do
		[ "$(now_ms)" -lt "$end" ] || return 1
		sleep 0.02
	done
}
