# build.sh - autotools, with little to read when all is well. Sourced by bash, after common.sh; expects $top.

# build_only DIR LOG CONFIGURE-OPTION...: configured and built. Only what changed is built; options that changed make it configure anew.
build_only() {
	local dir=$1 log=$2
	shift 2
	mkdir -p "$dir"
	if [ ! -x "$top/configure" ] || [ ! -e "$top/Makefile.in" ]; then
		(cd "$top" && quietly "$log" ./autogen.sh) || die "autotools failed" "See $log."
	fi
	if [ ! -e "$dir/Makefile" ] || [ "$(cat "$dir/.options" 2>/dev/null)" != "$*" ]; then
		(cd "$dir" && quietly "$log" "$top/configure" --quiet "$@") || die "configure failed" "See $log and $dir/config.log."
		printf '%s\n' "$*" >"$dir/.options"
	fi
	quietly "$log" make -C "$dir" --no-print-directory -s -j"$(nproc)" all || die "make failed" "See $log."
}

# build_into, of the same arguments: installed as well, in DIR/inst or where --prefix says.
build_into() {
	build_only "$@"
	local dir=$1 log=$2
	quietly "$log" make -C "$dir" --no-print-directory -s install || die "make install failed" "See $log."
}
