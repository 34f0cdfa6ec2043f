# vm.sh - a machine of Debian's kernel in qemu, without KVM. Sourced by bash, after common.sh; expects $cache, $out (logs, and the machine's /out), $work.

# The kernel, unpacked in the cache.
kernel_up() {
	local deb
	version=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: linux-image-//p' | head -n 1)
	[ -n "$version" ] || die "apt knows no linux-image-amd64" "Run apt-get update."
	kernel=$cache/vm/$version
	[ ! -e "$kernel/lib/modules/$version/modules.dep" ] || return 0
	step "fetching the kernel $version"
	rm -rf "$kernel"
	mkdir -p "$kernel"
	(cd "$kernel" && quietly "$out/kernel.log" apt-get -q -o APT::Sandbox::User=root download "linux-image-$version") ||
		die "the kernel's package could not be fetched"
	deb=$(echo "$kernel"/*.deb)
	dpkg -x "$deb" "$kernel"
	rm "$deb"
	depmod -b "$kernel" "$version"
}

# initramfs ROOT COMMAND...: what it takes to reach the root, which is ROOT of this machine, read-only, with a throw-away layer over it: the modules
# in order, and busybox to load them. COMMAND is its first program. /tmp and the layer are on a btrfs disk.
initramfs() {
	local dir=$work/initramfs root=$1 module
	shift
	mkdir -p "$dir"/{bin,dev,proc,lower,disk,root}
	cp /bin/busybox "$dir/bin/"
	{
		echo '#!/bin/busybox sh'
		echo 'fail() { echo "no root: $*"; poweroff -f; }'
		for module in virtio_pci virtio_net virtio_blk 9pnet_virtio 9p overlay btrfs; do
			modprobe -d "$kernel" -S "$version" --show-depends "$module" | sed -n 's/^insmod //p'
		done | awk '!seen[$1]++' | while read -r module _; do
			cp "$module" "$dir/"
			echo "insmod /${module##*/} || fail ${module##*/}"
		done
		cat <<-END
			/bin/busybox --install -s /bin
			mount -t devtmpfs dev /dev
			mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro root /lower || fail root
			mount -t btrfs /dev/vda /disk || fail disk
			mkdir -p /disk/upper /disk/work /disk/tmp
			chmod 1777 /disk/tmp
			mount -t overlay -o lowerdir=/lower,upperdir=/disk/upper,workdir=/disk/work overlay /root || fail overlay
			mkdir -p /root/out /root/lib/modules
			mkdir -p /root/lib/modules/$version
			mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro modules /root/lib/modules/$version || fail modules
			mount -o bind /disk/tmp /root/tmp
			mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 out /root/out || fail out
			mount -o move /dev /root/dev
			exec switch_root /root $*
		END
	} >"$dir/init"
	sed -i '1a /bin/busybox mkdir -p /bin; export PATH=/bin' "$dir/init"
	sed -i 's/^insmod/busybox &/' "$dir/init"
	chmod 755 "$dir/init"
	vm_root=$root
	(cd "$dir" && find . | busybox cpio -o -H newc 2>/dev/null) >"$work/initramfs.cpio"
}

# machine SECONDS: boots it; it ends by itself, or after so long. A second time it finds its disk as it was.
machine() {
	if [ ! -e "$work/disk" ]; then
		truncate -s 8G "$work/disk"
		quietly "$out/kernel.log" mkfs.btrfs -q "$work/disk"
	fi
	timeout -k 10 "$1" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp "$(nproc)" -m "${VM_MEMORY:-3G}" \
		-nodefaults -no-user-config -no-reboot -display none -serial stdio \
		-kernel "$kernel/boot/vmlinuz-$version" -initrd "$work/initramfs.cpio" -append "console=ttyS0 quiet panic=-1 sysrq_always_enabled" \
		-virtfs local,path="$vm_root",mount_tag=root,security_model=none,readonly=on,multidevs=remap \
		-virtfs local,path="$kernel/lib/modules/$version",mount_tag=modules,security_model=none,readonly=on \
		-virtfs local,path="$out",mount_tag=out,security_model=none \
		-drive file="$work/disk",format=raw,if=virtio,cache=unsafe \
		-nic user,model=virtio-net-pci </dev/null | tee -a "$out/console.log"
}

