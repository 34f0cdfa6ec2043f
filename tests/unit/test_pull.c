/* quilt-pull's own judgement: addresses, registries, challenges, manifests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "pull/pull.h"
#include "str.h"

#define D "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"

static bool public(const char *text)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};
	struct sockaddr_in four = {.sin_family = AF_INET};

	if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
		return pl_addr_public((struct sockaddr *)(void *)&four);
	assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
	return pl_addr_public((struct sockaddr *)(void *)&six);
}

static void test_addresses(void **state)
{
	static const char *const open[] = {"1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.167.255.255", "198.17.0.1",
					   "223.255.255.255", "2606:4700::1111", "2a00:1450::1"};
	static const char *const closed[] = {"0.0.0.0", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.255", "169.254.169.254",
					     "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.19.255.255",
					     "203.0.113.7", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:1.1.1.1",
					     "64:ff9b::7f00:1", "fc00::1", "fd12::1", "fe80::1", "fec0::1", "ff02::1", "2001::1", "2001:db8::1", "2002:7f00:1::1"};
	const struct sockaddr other = {.sa_family = AF_UNIX};

	(void)state;
	for (size_t i = 0; i < sizeof(open) / sizeof(*open); i++)
		if (!public(open[i]))
			fail_msg("%s is taken for an address inside", open[i]);
	for (size_t i = 0; i < sizeof(closed) / sizeof(*closed); i++)
		if (public(closed[i]))
			fail_msg("%s is taken for a public address", closed[i]);
	assert_false(pl_addr_public(&other));
}

static void test_allow(void **state)
{
	static const char list[] = "http://localhost, registry.lan:5000 http://127.0.0.1:5001";
	static const struct {
		const char *host;
		unsigned port;
		bool http, inside, plain;
	} rows[] = {
		{"localhost", 5000, true, true, true},	     {"localhost", 80, true, true, true},	{"localhost", 443, false, false, true},
		{"registry.lan", 5000, false, true, false},  {"registry.lan", 5000, true, false, false}, {"registry.lan", 443, false, false, false},
		{"127.0.0.1", 5001, true, true, true},	     {"127.0.0.1", 5002, true, false, false},	{"localhost.evil", 80, true, false, false},
		{"xregistry.lan", 5000, false, false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct pl_allow a = pl_allow_find(list, rows[i].host, rows[i].port, rows[i].http);

		if (a.inside != rows[i].inside || a.plain != rows[i].plain)
			fail_msg("%s:%u", rows[i].host, rows[i].port);
		a = pl_allow_find("", rows[i].host, rows[i].port, rows[i].http);
		assert_false(a.inside || a.plain);
	}
}

static void test_challenges(void **state)
{
	static const char *const bad[] = {"", "Negotiate", "Bearer", "Bearer service=\"x\"", "Bearer realm=x", "Bearer realm=\"", "Bearer xrealm=\"a\"", "Basically"};
	struct pl_challenge c;
	char text[2000];

	(void)state;
	assert_true(pl_challenge_parse(&c, "Bearer realm=\"https://auth.example/token\",service=\"registry.example\",scope=\"repository:a:pull\""));
	assert_true(c.bearer && qt_streq(c.realm, "https://auth.example/token") && qt_streq(c.service, "registry.example"));
	assert_true(pl_challenge_parse(&c, "bearer service=\"s\", Realm=\"r\""));
	assert_string_equal(c.realm, "r");
	assert_true(pl_challenge_parse(&c, "Basic realm=\"x\"") && !c.bearer);
	assert_true(pl_challenge_parse(&c, "basic"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (pl_challenge_parse(&c, bad[i]))
			fail_msg("taken: %s", bad[i]);
	memset(text, 'a', sizeof(text));
	memcpy(text, "Bearer realm=\"", 14);
	memcpy(text + sizeof(text) - 2, "\"", 2);
	assert_false(pl_challenge_parse(&c, text));
}

static json_t *doc(const char *text)
{
	json_t *j = json_loads(text, 0, NULL);

	assert_non_null(j);
	return j;
}

static void test_kinds(void **state)
{
	static const struct {
		const char *text, *type;
		int r;
		bool index;
	} rows[] = {
		{"{\"schemaVersion\":2,\"manifests\":[]}", "application/vnd.oci.image.index.v1+json", 0, true},
		{"{\"schemaVersion\":2,\"manifests\":[]}", "text/plain", 0, true},
		{"{\"schemaVersion\":2,\"layers\":[],\"config\":{}}", "application/vnd.docker.distribution.manifest.v2+json", 0, false},
		/* CVE-2021-41190: one document, two meanings. */
		{"{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}", "", -1, false},
		{"{\"schemaVersion\":2,\"manifests\":[]}", "application/vnd.oci.image.manifest.v1+json", -1, false},
		{"{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"manifests\":[]}", "", -1, false},
		{"{\"schemaVersion\":2,\"layers\":[]}", "application/vnd.docker.distribution.manifest.list.v2+json", -1, false},
		{"{\"schemaVersion\":1,\"fsLayers\":[]}", "", -1, false},
		{"{\"schemaVersion\":2}", "", -1, false},
		{"[]", "", -1, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		json_t *j = doc(rows[i].text);
		struct qt_err e = {0};
		bool index = false;

		if (pl_is_index(j, rows[i].type, &index, &e) != rows[i].r || index != rows[i].index)
			fail_msg("%s as %s", rows[i].text, rows[i].type);
		if (rows[i].r < 0)
			assert_int_equal(e.code, QT_E_IMAGE_REFUSED);
		json_decref(j);
	}
}

static json_t *descriptor(const char *type, const char *digest, json_int_t size)
{
	return json_pack("{s:s, s:s, s:I}", "mediaType", type, "digest", digest, "size", size);
}

#define CONFIG "application/vnd.oci.image.config.v1+json"
#define LAYER  "application/vnd.oci.image.layer.v1.tar+gzip"

/* N layers of 10 bytes, all different. */
static json_t *manifest(unsigned n)
{
	json_t *layers = json_array();

	for (unsigned i = 0; i < n; i++) {
		char digest[QT_DIGEST_MAX + 1];

		(void)qt_fmt(digest, sizeof(digest), "sha256:%064x", i + 1);
		json_array_append_new(layers, descriptor(LAYER, digest, 10));
	}
	return json_pack("{s:o, s:o}", "config", descriptor(CONFIG, D "f", 100), "layers", layers);
}

static int parse(json_t *j, uint64_t max, struct pl_manifest *m)
{
	struct qt_err e = {0};
	int r = pl_manifest_parse(j, max, m, &e);

	if (r < 0)
		assert_int_equal(e.code, QT_E_IMAGE_REFUSED);
	json_decref(j);
	return r;
}

static void test_manifests(void **state)
{
	struct pl_manifest m;
	json_t *j;

	(void)state;
	assert_int_equal(parse(manifest(3), 30, &m), 0);
	assert_true(m.n == 3 && m.n_layers == 3 && m.layers_size == 30 && m.config_size == 100 && m.layers[2].index == 2);
	assert_int_equal(parse(manifest(3), 29, &m), -1);
	assert_int_equal(parse(manifest(127), 2000, &m), 0);
	assert_int_equal(parse(manifest(128), 2000, &m), -1);
	assert_int_equal(parse(manifest(0), 1000, &m), -1);
	/* The same again on top: only that counts. */
	j = manifest(3);
	json_array_append(json_object_get(j, "layers"), json_array_get(json_object_get(j, "layers"), 0));
	assert_int_equal(parse(j, 30, &m), 0);
	assert_true(m.n == 3 && m.n_layers == 4 && m.layers[0].index == 1 && m.layers[2].index == 3);
	j = manifest(1);
	for (int i = 0; i < 127; i++)
		json_array_append(json_object_get(j, "layers"), json_array_get(json_object_get(j, "layers"), 0));
	assert_int_equal(parse(j, 1000, &m), -1);

	static const struct {
		const char *type, *digest;
		json_int_t size;
	} bad[] = {
		{"application/vnd.cncf.helm.chart.content.v1.tar+gzip", D "f", 1}, {LAYER, "sha256:0123", 1}, {LAYER, "sha512:" D, 1},
		{LAYER, D "F", 1}, {LAYER, D "f/..", 1}, {LAYER, D "f", -1}, {LAYER, D "f", INT64_MAX},
		{"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", D "f", 1},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		j = manifest(1);
		json_array_append_new(json_object_get(j, "layers"), descriptor(bad[i].type, bad[i].digest, bad[i].size));
		if (parse(j, 1000, &m) != -1)
			fail_msg("layer %zu", i);
		j = manifest(1);
		json_object_set_new(j, "config", descriptor(i == 0 ? "application/vnd.cncf.helm.config.v1+json" : CONFIG, bad[i].digest, bad[i].size));
		if (i < 7 && parse(j, 1000, &m) != -1)
			fail_msg("config %zu", i);
		else if (i == 7)
			json_decref(j);
	}
}

static json_t *entry(const char *os, const char *arch, const char *variant, unsigned n)
{
	char digest[QT_DIGEST_MAX + 1];
	json_t *d;

	(void)qt_fmt(digest, sizeof(digest), "sha256:%064x", n);
	d = descriptor("application/vnd.oci.image.manifest.v1+json", digest, 10);
	json_object_set_new(d, "platform", json_pack("{s:s, s:s, s:s}", "os", os, "architecture", arch, "variant", variant));
	return d;
}

static void test_indexes(void **state)
{
	json_t *list = json_array(), *j = json_pack("{s:o}", "manifests", list);
	char digest[QT_DIGEST_MAX + 1] = "";
	struct qt_err e = {0};

	(void)state;
	json_array_append_new(list, entry("unknown", "unknown", "", 1));
	json_array_append_new(list, entry("linux", "arm", "v6", 2));
	json_array_append_new(list, entry("linux", "arm", "v7", 3));
	json_array_append_new(list, entry("linux", "amd64", "", 4));
	assert_int_equal(pl_index_pick(j, "linux/amd64", digest, &e), 0);
	assert_int_equal(digest[QT_DIGEST_MAX - 1], '4');
	assert_int_equal(pl_index_pick(j, "linux/arm/v7", digest, &e), 0);
	assert_int_equal(digest[QT_DIGEST_MAX - 1], '3');
	assert_int_equal(pl_index_pick(j, "linux/arm/v", digest, &e), -1);
	assert_int_equal(e.code, QT_E_IMAGE_NOT_FOUND);
	while (json_array_size(list) <= PL_INDEX_MAX)
		json_array_append_new(list, entry("linux", "s390x", "", 5));
	qt_err_reset(&e);
	assert_int_equal(pl_index_pick(j, "linux/amd64", digest, &e), -1);
	assert_int_equal(e.code, QT_E_IMAGE_REFUSED);
	json_decref(j);
}

static void test_references(void **state)
{
	static const struct {
		const char *text, *whole, *registry, *repository, *tag;
	} rows[] = {
		{"nginx", "docker.io/library/nginx:latest", "docker.io", "library/nginx", "latest"},
		{"alpine:3.20", "docker.io/library/alpine:3.20", "docker.io", "library/alpine", "3.20"},
		{"docker.io/library/alpine:3.20", "docker.io/library/alpine:3.20", "docker.io", "library/alpine", "3.20"},
		{"index.docker.io/a/b", "docker.io/a/b:latest", "docker.io", "a/b", "latest"},
		{"a/b:c", "docker.io/a/b:c", "docker.io", "a/b", "c"},
		{"localhost/a", "localhost/a:latest", "localhost", "a", "latest"},
		{"Registry.LAN:5000/a/b__c/d-e", "registry.lan:5000/a/b__c/d-e:latest", "registry.lan:5000", "a/b__c/d-e", "latest"},
		{"ghcr.io/a@" D "f", "ghcr.io/a@" D "f", "ghcr.io", "a", ""},
		{"ghcr.io/a:t@" D "f", "ghcr.io/a:t@" D "f", "ghcr.io", "a", "t"},
	};
	static const char *const bad[] = {"", "/", "/a", "a/", "a//b", "A", "a:", ":a", "a:b:c", "a:.b", "a:-b", "a@", "a@sha256:0", "a@md5:0", "a@" D "F", "a_-b", ".a",
					  "a.", "a..b", "a b", "a\n", "http://a/b", "h..st.x/a", "-h.x/a", "h.x:0/a", "h.x:65536/a", "h.x:/a", "h.x:1x/a", "a/../b",
					  "ä", "a:ä", "a@" D "f@" D "f"};
	char text[400];
	struct qt_imgref r;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct qt_err e = {0};

		if (qt_imgref_parse("/f", rows[i].text, &r, &e) < 0)
			fail_msg("%s: %s", rows[i].text, e.msg);
		assert_string_equal(r.text, rows[i].whole);
		assert_string_equal(r.registry, rows[i].registry);
		assert_string_equal(r.repository, rows[i].repository);
		assert_string_equal(r.tag, rows[i].tag);
		/* What is whole stays as it is. */
		assert_int_equal(qt_imgref_parse("/f", rows[i].whole, &r, &e), 0);
		assert_string_equal(r.text, rows[i].whole);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct qt_err e = {0};

		if (qt_imgref_parse("/f", bad[i], &r, &e) == 0)
			fail_msg("%s is taken for %s", bad[i], r.text);
		assert_int_equal(e.code, QT_E_VALIDATION_ERROR);
		assert_string_equal(e.field, "/f");
	}
	for (size_t n = 200; n < sizeof(text); n++) {
		struct qt_err e = {0};

		memset(text, 'a', n);
		text[n] = '\0';
		assert_int_equal(qt_imgref_parse("/f", text, &r, &e), strlen("docker.io/library/:latest") + n <= QT_IMAGE_MAX ? 0 : -1);
	}
}

static int configure(const char *run, struct qt_img *i)
{
	char text[2048];
	struct qt_err e = {0};
	json_t *j;
	int r;

	(void)qt_fmt(text, sizeof(text), "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"diff_ids\":[\"" D "f\"]},\"config\":%s}", run);
	j = doc(text);
	qt_img_init(i);
	r = qt_img_configure(i, j, 1, &e);
	if (r < 0)
		assert_int_equal(e.code, QT_E_IMAGE_REFUSED);
	json_decref(j);
	return r;
}

static void test_configurations(void **state)
{
	static const char *const bad[] = {
		"{\"Env\":[1]}", "{\"Env\":{}}", "{\"Env\":[\"=x\"]}", "{\"Env\":[\"x\"]}", "{\"Cmd\":\"sh\"}", "{\"WorkingDir\":\"srv\"}",
		"{\"WorkingDir\":\"/a\\nb\"}", "{\"User\":\"a b\"}", "{\"User\":\"a\\nroot\"}", "{\"User\":1}", "{\"StopSignal\":\"SIGNONE\"}", "{\"StopSignal\":\"65\"}",
	};
	struct qt_img i;
	struct qt_err e = {0};
	struct qt_ctr c;
	json_t *j;

	(void)state;
	assert_int_equal(configure("{\"Env\":[\"A=b=c\"],\"Entrypoint\":[\"e\"],\"Cmd\":[\"c\"],\"WorkingDir\":\"/srv\",\"User\":\"www:80\",\"StopSignal\":\"SIGQUIT\","
				   "\"Labels\":{\"x\":\"y\"},\"Volumes\":{\"/\":{}}}", &i), 0);
	assert_int_equal(i.stop_signal, 3);
	qt_ctr_init(&c);
	qt_ctr_take_image(&c, &i);
	assert_string_equal(json_string_value(json_object_get(c.image_env, "A")), "b=c");
	assert_int_equal(json_array_size(c.command), 2);
	assert_string_equal(c.workdir, "/srv");
	assert_string_equal(c.user, "www:80");
	qt_ctr_done(&c);
	/* What the request has stays. */
	qt_ctr_init(&c);
	json_array_append_new(c.command, json_string("mine"));
	(void)qt_copy(c.workdir, sizeof(c.workdir), "/mine");
	qt_ctr_take_image(&c, &i);
	assert_int_equal(json_array_size(c.command), 1);
	assert_string_equal(c.workdir, "/mine");
	qt_ctr_done(&c);
	qt_img_done(&i);
	assert_int_equal(configure("{\"Env\":null,\"Cmd\":null,\"User\":\"\",\"WorkingDir\":\"\"}", &i), 0);
	qt_img_done(&i);
	assert_int_equal(configure("null", &i), 0);
	j = doc("{\"rootfs\":{\"diff_ids\":[]}}");
	assert_int_equal(qt_img_configure(&i, j, 1, &e), -1);
	json_decref(j);
	qt_img_done(&i);
	for (size_t n = 0; n < sizeof(bad) / sizeof(*bad); n++) {
		if (configure(bad[n], &i) != -1)
			fail_msg("taken: %s", bad[n]);
		qt_img_done(&i);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses), cmocka_unit_test(test_allow),	    cmocka_unit_test(test_challenges),
		cmocka_unit_test(test_kinds),	  cmocka_unit_test(test_manifests), cmocka_unit_test(test_indexes),
		cmocka_unit_test(test_references), cmocka_unit_test(test_configurations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
