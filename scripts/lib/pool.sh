# pool.sh - the storage pool: a mount of its own with nosuid,nodev,noexec. Sourced by scripts/stack.

pool_mounted() { findmnt -rn --mountpoint "$QUILT_POOL" >/dev/null; }

pool_up() {
	local image=$QUILT_STATE/pool.img flags=nosuid,nodev,noexec,noatime driver=$QUILT_POOL_DRIVER
	pool_mounted && return
	mkdir -p "$QUILT_POOL"
	# A pool keeps the driver that it was made with.
	[ -d "$QUILT_STATE/pool.dir" ] && driver=copy
	if [ "$driver" = btrfs ] && ! grep -qw btrfs /proc/filesystems && ! modprobe -q btrfs 2>/dev/null; then
		[ ! -e "$image" ] || die "this kernel has no btrfs, and the pool $image is one"
		warn "this kernel has no btrfs: the pool is a plain directory, and snapshots will be copies"
		driver=copy
	fi
	case $driver in
	btrfs)
		if [ ! -e "$image" ]; then
			rm -f "$image.new"
			truncate -s "$QUILT_POOL_SIZE" "$image.new"
			quietly "$QUILT_LOG/stack.log" mkfs.btrfs -q -L quilt-pool "$image.new" || die "mkfs.btrfs failed"
			mv "$image.new" "$image"
		fi
		quietly "$QUILT_LOG/stack.log" mount -t btrfs -o "loop,$flags" "$image" "$QUILT_POOL" ||
			die "cannot mount the pool $image" "Are loop devices there (/dev/loop-control)?"
		;;
	copy)
		mkdir -p "$QUILT_STATE/pool.dir"
		mount --bind "$QUILT_STATE/pool.dir" "$QUILT_POOL"
		mount -o "remount,bind,$flags" "$QUILT_POOL" || { umount "$QUILT_POOL"; die "cannot mount the pool with $flags"; }
		;;
	*) die "there is no pool driver \"$driver\"" "Take btrfs or copy." ;;
	esac
	mount --make-private "$QUILT_POOL"
	chmod 700 "$QUILT_POOL"
}

# Killed containers give their file systems back when the kernel has taken the last process apart: a moment later.
pool_down() {
	pool_mounted || return 0
	wait_until 20 umount "$QUILT_POOL" 2>>"$QUILT_LOG/stack.log" || die "the pool $QUILT_POOL is busy" "Who uses it: fuser -vm $QUILT_POOL"
	rmdir "$QUILT_POOL"
}
