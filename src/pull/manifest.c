#include <string.h>

#include "pull.h"
#include "str.h"

#define OCI    "application/vnd.oci.image."
#define DOCKER "application/vnd.docker.distribution."

const char pl_accept[] = OCI "index.v1+json, " OCI "manifest.v1+json, " DOCKER "manifest.list.v2+json, " DOCKER "manifest.v2+json";

static int bad(const char *why, struct qt_err *e)
{
	return qt_fail(e, QT_E_IMAGE_REFUSED, "the registry's manifest is not acceptable: %s", why);
}

static bool one_of(const char *s, const char *const *v)
{
	for (; *v; v++)
		if (qt_streq(s, *v))
			return true;
	return false;
}

static const char *text(const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);
	const char *s = json_string_value(v);

	return s && strlen(s) == json_string_length(v) ? s : "";
}

/* A document that is read as one thing by us and as another by others would have one digest for two images. */
int pl_is_index(const json_t *doc, const char *type, bool *ret, struct qt_err *e)
{
	static const char *const indexes[] = {OCI "index.v1+json", DOCKER "manifest.list.v2+json", NULL};
	static const char *const images[] = {OCI "manifest.v1+json", DOCKER "manifest.v2+json", NULL};
	const char *inner = text(doc, "mediaType");
	bool index = json_object_get(doc, "manifests") != NULL, image = json_object_get(doc, "layers") || json_object_get(doc, "config");
	json_int_t version = json_integer_value(json_object_get(doc, "schemaVersion"));

	if (!json_is_object(doc) || version != 2)
		return bad(version == 1 ? "schema 1, which is obsolete" : "it is none", e);
	if (index == image)
		return bad("it is an index and an image at once, or neither", e);
	if (*inner && !one_of(inner, index ? indexes : images))
		return bad("it is not what its mediaType says", e);
	if (one_of(type, index ? images : indexes))
		return bad("it is not what the registry says", e);
	*ret = index;
	return 0;
}

/* Reads "digest" and "size" of a descriptor. */
static int descriptor(const json_t *d, char *digest, uint64_t *size, struct qt_err *e)
{
	const json_t *n = json_object_get(d, "size");

	if (!qt_digest_ok(text(d, "digest")) || !json_is_integer(n) || json_integer_value(n) < 0)
		return bad("a descriptor without a sha256 digest and a size", e);
	(void)qt_copy(digest, QT_DIGEST_MAX + 1, text(d, "digest"));
	*size = (uint64_t)json_integer_value(n);
	return 0;
}

static bool fits(const json_t *entry, const char *platform)
{
	const json_t *p = json_object_get(entry, "platform");
	char has[128];
	const char *variant = text(p, "variant");

	if (!qt_fmt(has, sizeof(has), "%s/%s", text(p, "os"), text(p, "architecture")))
		return false;
	if (qt_streq(has, platform))
		return true;
	return *variant && qt_starts(platform, has) && platform[strlen(has)] == '/' && qt_streq(platform + strlen(has) + 1, variant);
}

int pl_index_pick(const json_t *doc, const char *platform, char *digest, struct qt_err *e)
{
	const json_t *list = json_object_get(doc, "manifests");
	uint64_t size;
	json_t *entry;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > PL_INDEX_MAX)
		return bad("an index with more than 64 manifests", e);
	json_array_foreach(list, i, entry)
		if (fits(entry, platform))
			return descriptor(entry, digest, &size, e);
	return qt_fail_field(e, QT_E_IMAGE_NOT_FOUND, "/platform", "a platform that the image has", "the image has nothing for %s", platform);
}

static bool seen_above(const json_t *layers, size_t i)
{
	for (size_t k = i + 1; k < json_array_size(layers); k++)
		if (qt_streq(text(json_array_get(layers, k), "digest"), text(json_array_get(layers, i), "digest")))
			return true;
	return false;
}

int pl_manifest_parse(const json_t *doc, uint64_t max_bytes, struct pl_manifest *ret, struct qt_err *e)
{
	static const char *const configs[] = {OCI "config.v1+json", "application/vnd.docker.container.image.v1+json", NULL};
	static const char *const types[] = {OCI "layer.v1.tar", OCI "layer.v1.tar+gzip", OCI "layer.v1.tar+zstd",
					    "application/vnd.docker.image.rootfs.diff.tar", "application/vnd.docker.image.rootfs.diff.tar.gzip",
					    "application/vnd.docker.image.rootfs.diff.tar.zstd", NULL};
	const json_t *config = json_object_get(doc, "config"), *layers = json_object_get(doc, "layers");
	struct pl_manifest m = {.n = 0};
	json_t *l;
	size_t i;

	if (descriptor(config, m.config, &m.config_size, e) < 0)
		return -1;
	if (!one_of(text(config, "mediaType"), configs) || m.config_size > PL_CONFIG_MAX)
		return bad("its configuration is not that of an image of containers, or larger than 8 MiB", e);
	if (!json_is_array(layers) || json_array_size(layers) == 0 || json_array_size(layers) > QT_IMG_LAYERS_MAX)
		return bad("it has no layers, or more than 127", e);
	m.n_layers = (unsigned)json_array_size(layers);
	m.docker = qt_starts(text(doc, "mediaType"), DOCKER);
	json_array_foreach(layers, i, l) {
		struct pl_layer x = {.index = (unsigned)i};

		if (descriptor(l, x.digest, &x.size, e) < 0)
			return -1;
		if (!one_of(text(l, "mediaType"), types))
			return bad("a layer of an unknown kind", e);
		/* What a layer has is decided where it is topmost. */
		if (seen_above(layers, i))
			continue;
		if (x.size > max_bytes || m.layers_size + x.size > max_bytes)
			return qt_fail(e, QT_E_IMAGE_REFUSED, "the image has more than %llu bytes, which is the most that this server pulls",
				       (unsigned long long)max_bytes);
		m.layers_size += x.size;
		m.layers[m.n++] = x;
	}
	*ret = m;
	return 0;
}
