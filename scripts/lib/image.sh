# image.sh - what the recipes of managed images (scripts/images/NAME) share, and how a tree is described. Sourced by scripts/image-build.

# Dates in generated files, and the latest that any file has: one for all builds, so that equal packages give equal images.
export SOURCE_DATE_EPOCH=1735689600

# The configured Debian mirrors, as apt itself understands its sources.
debian_sources() {
	local form='$(ORIGIN) $(SITE) $(RELEASE) $(COMPONENT)'
	apt-get indextargets --format "$form" "Created-By: Packages" |
		awk '$1 == "Debian" && $3 ~ /^bookworm/ {
			print "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] " $2, $3, $4 }' | sort -u
}

# debian_root ROOT WORK PACKAGE...: a small Debian with these packages, without documentation, in ROOT. Prints its version.
debian_root() {
	local root=$1 sources=$2/debian.list log=$2/log packages
	shift 2
	packages=$(IFS=,; echo "$*")
	debian_sources >"$sources"
	if [ ! -s "$sources" ]; then
		# A machine whose lists were cleaned away.
		quietly "$log" apt-get -q update || die "apt-get update failed" "Is the network there?"
		debian_sources >"$sources"
		[ -s "$sources" ] || die "apt knows no Debian bookworm mirror" "Look at /etc/apt/sources.list*."
	fi
	quietly "$log" mmdebstrap --mode=root --variant=minbase --format=directory --include="$packages" \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/lintian/*' \
		--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "3"' \
		bookworm "$root" "$sources" ||
		die "mmdebstrap could not make the image" "Is the Debian mirror reachable: $(awk 'NR == 1 {print $3}' "$sources")?"
	rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/cache/ldconfig/* "$root"/var/cache/debconf/*-old
	find "$root/var/log" -type f -delete
	# Byte code is not the same twice: python makes it where and when it is wanted.
	find "$root/usr" -name __pycache__ -type d -prune -exec rm -rf {} +
	# Mirrors of its own, not those of the machine that made it.
	rm -f "$root"/etc/apt/sources.list.d/*
	printf 'deb http://deb.debian.org/debian %s main\n' bookworm bookworm-updates >"$root/etc/apt/sources.list"
	printf 'deb http://deb.debian.org/debian-security bookworm-security main\n' >>"$root/etc/apt/sources.list"
	cat "$root/etc/debian_version"
}

# Every image: mount points there, and nothing in it that came from the machine which made it, nor from the hour.
common_root() {
	local root=$1
	rm -rf "$root"/dev/* "$root"/run/* "$root"/tmp/* "$root"/var/tmp/*
	(cd "$root" && mkdir -p dev etc proc sys run tmp root home var/log var/tmp mnt srv opt)
	chmod 1777 "$root/tmp" "$root/var/tmp"
	chmod 700 "$root/root"
	rm -f "$root"/etc/{resolv.conf,hostname,machine-id,.pwd.lock,passwd-,group-,shadow-,gshadow-} "$root"/var/lib/dbus/machine-id
	: >"$root/etc/resolv.conf"
	printf 'quilt\n' >"$root/etc/hostname"
	printf '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts"
	chmod 644 "$root"/etc/{resolv.conf,hostname,hosts}
	chown -h 0:0 "$root"
	chmod 755 "$root"
	find "$root" -newermt "@$SOURCE_DATE_EPOCH" -print0 | xargs -0 -r touch -h -d "@$SOURCE_DATE_EPOCH" --
}

# tree_list ROOT: NUL-ended lines, two for a file and one for anything else: its path, then type, mode, owner, date, and how many names it has or where it
# leads; its path, then the SHA-256 of what it holds. Equal trees have equal lists, and the list's SHA-256 is the image's digest.
tree_list() {
	(
		cd "$1" || exit 1
		find . \( -type f -printf '%p\t%y %m %U:%G %T@ %n\0' \) -o -printf '%p\t%y %m %U:%G %T@ %l\0' | sort -z
		find . -type f -print0 | sort -z | xargs -0 -r sha256sum -bz | sed -z 's/^\([0-9a-f]*\) \*\(.*\)$/\2\t\1/'
	)
}
