# layout.sh - OCI layouts (image-spec, image-layout.md) of managed images: the cache's, one for each image, and the pool's. Sourced by scripts/image-build.
#
#   POOL/oci/{oci-layout,index.json}     all images, for other programs to read: skopeo inspect oci:POOL/oci:prod
#   POOL/oci/blobs/sha256/HEX            manifest, configuration and packed layer. The contract is a label of the configuration
#   POOL/layers/HEX/{fs,diff_id,list}    a layer, unpacked, by the digest of its blob; list: tree_list of fs. Those of pulled images lie here as well
#   POOL/images/NAME@HEX/image.conf      a version: its contract, and what it stands on; HEX is its manifest's digest
#   POOL/images/NAME                     the tag: a link to a version
#
# What no tag means any more and no container or snapshot stands on, the runtime takes away, versions first.

OCI=application/vnd.oci.image
CONTRACT=io.quilt.image

# sum_of FILE, sum_is FILE SUM: as sha256:HEX.
sum_of() { printf 'sha256:%s' "$(sha256sum <"$1" | cut -d' ' -f1)"; }
sum_is() { [ -e "$1" ] && [ "$(sum_of "$1")" = "$2" ]; }

# conf_of DIR NAME: a value of the version's image.conf.
conf_of() { sed -n "s/^$2 = //p" "$1/image.conf"; }

# --- of a LAYOUT whose blobs were compared with their names; digests without "sha256:" -------------------------------------------

tagged() { jq -r '.manifests[0].digest | ltrimstr("sha256:")' "$1/index.json"; }
config_of() { jq -r '.config.digest | ltrimstr("sha256:")' "$1/blobs/sha256/$2"; }
layer_of() { jq -r '.layers[0].digest | ltrimstr("sha256:")' "$1/blobs/sha256/$2"; }
diff_id_of() { jq -r '.rootfs.diff_ids[0] | ltrimstr("sha256:")' "$1/blobs/sha256/$2"; }

# image_conf LAYOUT MANIFEST: what the runtime reads of it.
image_conf() {
	local config
	config=$(config_of "$1" "$2")
	printf '# made by image-build; the runtime reads it\n'
	jq -j --arg key $CONTRACT '.config.Labels[$key]' "$1/blobs/sha256/$config"
	printf 'digest = sha256:%s\nconfig = %s\nlayer = %s\n' "$2" "$config" "$(layer_of "$1" "$2")"
}

blob_whole() { sum_is "$1/blobs/sha256/$2" "sha256:$2"; }

# copy_blob FROM TO HEX: verified before anybody reads it under its name.
copy_blob() {
	local to=$2/blobs/sha256/$3
	! blob_whole "$2" "$3" || return 0
	cp --reflink=auto "$1/blobs/sha256/$3" "$to.new" || die "cannot copy $1" "Is the disk full?"
	sum_is "$to.new" "sha256:$3" || die "$1 is not what it says" "Remove it and try again."
	mv "$to.new" "$to"
}

# --- making ---------------------------------------------------------------------------------------------------------------------

# add_blob LAYOUT FILE: moved into it; prints "digest" and "size" of its descriptor.
add_blob() {
	local sum
	sum=$(sum_of "$2")
	jq -cn --arg digest "$sum" --argjson size "$(stat -c %s "$2")" '{$digest, $size}'
	mv "$2" "$1/blobs/sha256/${sum#sha256:}"
}

# make_layout DIR NAME: DIR/oci, of DIR/rootfs and DIR/contract. The layer is without extended attributes: none of them would hold in a container, and what has none
# can hide none. Packed by one thread, since the result depends on their number.
make_layout() {
	local dir=$1 oci=$1/oci diff_id layer config created arch
	created=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
	arch=$(dpkg --print-architecture)
	mkdir -p "$oci/blobs/sha256"
	printf '{"imageLayoutVersion":"1.0.0"}' >"$oci/oci-layout"
	tar -C "$dir/rootfs" --format=gnu --numeric-owner --sort=name -cf "$dir/layer.tar" .
	diff_id=$(sum_of "$dir/layer.tar")
	zstd -q -T1 --rm "$dir/layer.tar" -o "$dir/layer"
	layer=$(add_blob "$oci" "$dir/layer")
	jq -cn --rawfile contract "$dir/contract" --arg key $CONTRACT --arg diff_id "$diff_id" --arg created "$created" --arg arch "$arch" --arg by "quiltctl image build $2" '{
		$created, architecture: $arch, os: "linux",
		config: {Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], Cmd: ["/bin/sh"], Labels: {($key): $contract}},
		rootfs: {type: "layers", diff_ids: [$diff_id]}, history: [{$created, created_by: $by}]}' >"$dir/config"
	config=$(add_blob "$oci" "$dir/config")
	jq -cn --argjson config "$config" --argjson layer "$layer" --arg oci "$OCI" '{schemaVersion: 2, mediaType: "\($oci).manifest.v1+json",
		config: ({mediaType: "\($oci).config.v1+json"} + $config), layers: [{mediaType: "\($oci).layer.v1.tar+zstd"} + $layer]}' >"$dir/manifest"
	entry "$2" "$(add_blob "$oci" "$dir/manifest")" | index_of >"$oci/index.json"
}

# entry NAME DESCRIPTOR: of an index.
entry() {
	jq -cn --arg name "$1" --argjson manifest "$2" --arg oci "$OCI" '{mediaType: "\($oci).manifest.v1+json"} + $manifest +
		{annotations: {"org.opencontainers.image.ref.name": $name}}'
}

index_of() { jq -cs --arg oci "$OCI" '{schemaVersion: 2, mediaType: "\($oci).index.v1+json", manifests: .}'; }

# write_index LAYOUT TAGS: index.json, in which the tags (links of the directory TAGS) are as they are now. Other images are the runtime's (src/runtime/blobs.c).
write_index() {
	local tag hex
	printf '{"imageLayoutVersion":"1.0.0"}' >"$1/oci-layout"
	{
		for tag in "$2"/*; do
			[ -L "$tag" ] || continue
			hex=$(readlink "$tag")
			hex=${hex##*@}
			entry "${tag##*/}" "$(jq -cn --arg digest "sha256:$hex" --argjson size "$(stat -c %s "$1/blobs/sha256/$hex")" '{$digest, $size}')"
		done
		[ ! -e "$1/index.json" ] || jq -c '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] | startswith("img_"))' "$1/index.json"
	} | index_of >"$1/index.json.new"
	mv "$1/index.json.new" "$1/index.json"
}
