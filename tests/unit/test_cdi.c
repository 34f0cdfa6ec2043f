/* CDI specifications: what is understood, what is refused, and that nothing in tests/unit/cdi, cut or bent anywhere, does harm. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "fdio.h"
#include "runtime/cdispec.h"
#include "runtime/soname.h"
#include "str.h"

#define DIR_ QT_TEST_SRCDIR "/tests/unit/cdi"
#define SIZE 65536

static size_t read_spec(const char *name, char *buf)
{
	struct qt_err e = {0};
	char path[512];
	ssize_t n;

	assert_true(qt_fmt(path, sizeof(path), DIR_ "/%s", name));
	n = qt_read_file(AT_FDCWD, path, buf, SIZE, &e);
	if (n < 0)
		fail_msg("%s: %s", path, e.msg);
	return (size_t)n;
}

static void parse(struct rt_cdi_spec *s, const char *name)
{
	struct qt_err e = {0};
	char *buf = malloc(SIZE);

	assert_non_null(buf);
	if (rt_cdi_parse(s, buf, read_spec(name, buf), &e) < 0)
		fail_msg("%s: %s", name, e.msg);
	free(buf);
}

static void nvidias_is_understood(void **state)
{
	const struct rt_cdi_edits *ed;
	struct rt_cdi_spec s;

	(void)state;
	parse(&s, "good-nvidia.yaml");
	assert_string_equal(s.kind, "nvidia.com/gpu");
	assert_int_equal(s.n_devices, 3);
	assert_string_equal(s.devices[0].name, "nvidia.com/gpu=0");
	assert_string_equal(s.devices[1].name, "nvidia.com/gpu=GPU-11111111-2222-3333-4444-555555555555");
	assert_ptr_equal(s.devices[2].spec, &s);
	assert_string_equal(s.left_out, "enable-cuda-compat, update-ldcache");
	ed = &s.devices[0].own;
	assert_int_equal(ed->n_nodes, 3);
	assert_string_equal(ed->nodes[1].path, "/dev/dri/card1");
	assert_string_equal(ed->nodes[1].host, "/dev/dri/card1");
	assert_string_equal(ed->nodes[1].access, "rw");
	assert_false(ed->nodes[1].numbered);
	assert_int_equal(ed->n_links, 1);
	assert_string_equal(ed->links[0].to, "../card1");
	assert_string_equal(ed->links[0].path, "/usr/share/by-path/pci-0000:01:00.0-card");
	ed = &s.common;
	assert_int_equal(ed->n_nodes, 3);
	assert_true(ed->nodes[1].numbered && ed->nodes[1].major == 508 && ed->nodes[1].minor == 0);
	assert_int_equal(ed->n_mounts, 3);
	assert_string_equal(ed->mounts[0].path, "/usr/bin/nvidia-smi");
	assert_false(ed->mounts[0].noexec);
	assert_true(ed->mounts[1].noexec);
	assert_int_equal(ed->n_env, 2);
	assert_string_equal(ed->env[1], "NVIDIA_VISIBLE_DEVICES=void");
	assert_int_equal(ed->n_links, 2);
	assert_string_equal(ed->links[1].to, "libnvidia-opticalflow.so.1");
	assert_string_equal(ed->links[1].path, "/usr/lib/x86_64-linux-gnu/libnvidia-opticalflow.so");
	rt_cdi_spec_done(&s);
}

static void json_is_understood(void **state)
{
	const struct rt_cdi_edits *ed;
	struct rt_cdi_spec s;

	(void)state;
	parse(&s, "good-json.json");
	assert_string_equal(s.devices[0].name, "quilt.test/gpu=a.b:c-d");
	ed = &s.devices[0].own;
	assert_int_equal(ed->n_nodes, 2);
	assert_string_equal(ed->nodes[0].host, "/dev/fuse");
	assert_string_equal(ed->nodes[0].access, "r");
	assert_true(ed->nodes[1].numbered && ed->nodes[1].major == 10 && ed->nodes[1].minor == 229);
	assert_int_equal(ed->n_env, 3);
	assert_int_equal(ed->n_mounts, 0);
	rt_cdi_spec_done(&s);
}

static void for_each(void (*fn)(const char *name))
{
	DIR *d = opendir(DIR_);
	unsigned n = 0;

	assert_non_null(d);
	for (struct dirent *de; (de = readdir(d));)
		if (de->d_name[0] != '.') {
			fn(de->d_name);
			n++;
		}
	(void)closedir(d);
	assert_true(n > 20);
}

static void is_as_named(const char *name)
{
	struct rt_cdi_spec s;
	struct qt_err e = {0};
	char *buf = malloc(SIZE);
	int r;

	assert_non_null(buf);
	r = rt_cdi_parse(&s, buf, read_spec(name, buf), &e);
	if (qt_starts(name, "bad-") != (r < 0))
		fail_msg("%s: %s", name, r < 0 ? e.msg : "taken");
	if (r == 0)
		rt_cdi_spec_done(&s);
	else
		assert_int_equal(e.code, QT_E_VALIDATION_ERROR);
	free(buf);
}

static void bad_ones_are_refused(void **state)
{
	(void)state;
	for_each(is_as_named);
}

/* A block of exactly LEN bytes, so that a reader who goes past the end is caught. */
static void try_one(const char *text, size_t len)
{
	char *exact = malloc(len ? len : 1);
	struct rt_cdi_spec s;
	struct qt_err e = {0};

	assert_non_null(exact);
	memcpy(exact, text, len);
	if (rt_cdi_parse(&s, exact, len, &e) == 0)
		rt_cdi_spec_done(&s);
	else
		assert_true(e.code != QT_OK && e.msg[0]);
	free(exact);
}

static void bend(const char *name)
{
	static const char with[] = "\0\"{[:-&*\n\t\xff\xc0/=~9";
	char *buf = malloc(SIZE);
	size_t len;

	assert_non_null(buf);
	len = read_spec(name, buf);
	for (size_t i = 0; i < len; i += 1 + len / 400) {
		char was = buf[i];

		try_one(buf, i);
		buf[i] = with[i % (sizeof(with) - 1)];
		try_one(buf, len);
		buf[i] = (char)(was ^ (1 << i % 8));
		try_one(buf, len);
		buf[i] = was;
	}
	free(buf);
}

static void bent_ones_do_no_harm(void **state)
{
	(void)state;
	for_each(bend);
}

/* Little text, much tree: bounded by number and by depth. */
static void great_ones_are_refused(void **state)
{
	static const char *const parts[][3] = {{"[", "[", ""}, {"[", "a,", "]"}, {"{a: ", "{a: ", ""}, {"", "- ", "a"}, {"{", "? ", ""}};
	size_t size = RT_CDI_BYTES_MAX;
	char *buf = malloc(size + 1);

	(void)state;
	assert_non_null(buf);
	for (size_t i = 0; i < QT_LEN(parts); i++) {
		struct rt_cdi_spec s;
		struct qt_err e = {0};
		size_t len = strlen(parts[i][0]), n = strlen(parts[i][1]);

		memcpy(buf, parts[i][0], len);
		for (; len + n < size - 2; len += n)
			memcpy(buf + len, parts[i][1], n);
		memcpy(buf + len, parts[i][2], strlen(parts[i][2]));
		assert_int_equal(rt_cdi_parse(&s, buf, len + strlen(parts[i][2]), &e), -1);
		assert_int_equal(e.code, QT_E_VALIDATION_ERROR);
		qt_err_reset(&e);
		assert_int_equal(rt_cdi_parse(&s, buf, size + 1, &e), -1);
	}
	free(buf);
}

static void names(void **state)
{
	static const char *const good[] = {"nvidia.com/gpu=0", "a/b=c", "nvidia.com/gpu=GPU-1", "nvidia.com/mig=0:1", "v-1.x/c_d=e.f"};
	static const char *const bad[] = {"",	    "a",    "a=b",     "a/b",	  "a/b=",   "/b=c",	"a/=c",	    "1/b=c", "a/1=c", "a/b=c/d",
					  "a/b=-c", "a/b=c-", "a/b=c d", "a/b=..", "a-/b=c", "a/b/c=d", "a/b=c=d", "\xc3\xa4/b=c"};

	(void)state;
	for (size_t i = 0; i < QT_LEN(good); i++)
		assert_true(rt_cdi_name_ok(good[i]));
	for (size_t i = 0; i < QT_LEN(bad); i++)
		if (rt_cdi_name_ok(bad[i]))
			fail_msg("\"%s\" is taken", bad[i]);
}

/* A library of this very machine; then the same file, cut and bent. */
static void sonames(void **state)
{
	static const char *const places[] = {"/lib/x86_64-linux-gnu/libc.so.6", "/lib/aarch64-linux-gnu/libc.so.6", "/usr/lib64/libc.so.6"};
	char name[64] = "", path[] = "/tmp/qt-soname-XXXXXX", *text;
	int fd = -1, tmp = mkstemp(path);
	ssize_t len;

	(void)state;
	for (size_t i = 0; i < QT_LEN(places) && fd < 0; i++)
		fd = open(places[i], O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && tmp >= 0);
	assert_int_equal(unlink(path), 0);
	assert_true(rt_soname(name, sizeof(name), fd));
	assert_string_equal(name, "libc.so.6");
	assert_false(rt_soname(name, 4, fd));
	assert_false(rt_soname(name, sizeof(name), tmp));
	text = malloc(4 << 20);
	assert_non_null(text);
	len = pread(fd, text, 4 << 20, 0);
	assert_true(len > 4096);
	assert_int_equal(write(tmp, text, (size_t)len), len);
	assert_true(rt_soname(name, sizeof(name), tmp));
	for (size_t i = 0; i < 1024; i++) {
		assert_int_equal(pwrite(tmp, "\xff", 1, (off_t)i), 1);
		(void)rt_soname(name, sizeof(name), tmp);
		assert_int_equal(pwrite(tmp, &text[i], 1, (off_t)i), 1);
	}
	for (off_t n = 4096; n >= 0; n -= 64) {
		assert_int_equal(ftruncate(tmp, n), 0);
		assert_false(rt_soname(name, sizeof(name), tmp));
	}
	free(text);
	close(fd);
	close(tmp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nvidias_is_understood), cmocka_unit_test(json_is_understood),	 cmocka_unit_test(bad_ones_are_refused),
		cmocka_unit_test(bent_ones_do_no_harm),	 cmocka_unit_test(great_ones_are_refused), cmocka_unit_test(names),
		cmocka_unit_test(sonames),
	};

	return cmocka_run_group_tests_name("cdi", tests, NULL, NULL);
}
