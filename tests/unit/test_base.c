/* The leaf library: every table walked, every bound met from both sides. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "b64.h"
#include "buf.h"
#include "cleanup.h"
#include "clock.h"
#include "conf.h"
#include "fdio.h"
#include "fdpass.h"
#include "id.h"
#include "num.h"
#include "rnd.h"
#include "rootpath.h"
#include "str.h"

static char dir[64];
static int dir_fd = -1;

static int make_dir(void **state)
{
	(void)state;
	(void)qt_copy(dir, sizeof(dir), "/tmp/qt-base-XXXXXX");
	assert_non_null(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir_fd < 0;
}

static int drop_dir(void **state)
{
	static const char *const names[] = {"f", "real/inner", "out", "in", "loop", "abs", "conf"};

	(void)state;
	for (size_t i = 0; i < QT_LEN(names); i++)
		(void)unlinkat(dir_fd, names[i], 0);
	(void)unlinkat(dir_fd, "real", AT_REMOVEDIR);
	qt_close(dir_fd);
	return rmdir(dir);
}

static void errors_have_rows(void **state)
{
	(void)state;
	for (int c = 1; c < QT_CODE_COUNT; c++) {
		const struct qt_err_row *r = qt_err_row((enum qt_code)c);

		assert_non_null(r->name);
		assert_true(r->status >= 400 && r->status < 600);
		assert_true(r->status == 429 || r->status >= 500 || r->retry_after == 0 || c == QT_E_IDEMPOTENCY_IN_PROGRESS || c == QT_E_SNAPSHOT_IN_USE ||
			    c == QT_E_GUI_NOT_READY);
		assert_non_null(r->hint);
		for (int d = 1; d < c; d++)
			assert_string_not_equal(r->name, qt_err_row((enum qt_code)d)->name);
	}
	assert_string_equal(qt_err_row((enum qt_code)9999)->name, "INTERNAL_ERROR");
}

static void first_error_wins(void **state)
{
	struct qt_err e = {0};

	(void)state;
	assert_int_equal(qt_fail_sys(&e, ENOSPC, "write %d", 1), -1);
	assert_int_equal(e.code, QT_E_INSUFFICIENT_STORAGE);
	assert_int_equal(e.sys, ENOSPC);
	assert_int_equal(qt_fail(&e, QT_E_CONFLICT, "second"), -1);
	assert_int_equal(e.code, QT_E_INSUFFICIENT_STORAGE);
	assert_int_equal(qt_context(&e, "outer %s", "half"), -1);
	assert_true(qt_starts(e.msg, "outer half: write 1: "));
	qt_err_reset(&e);
	memset(e.msg, 'x', sizeof(e.msg) - 1);
	e.code = QT_E_CONFLICT;
	assert_int_equal(qt_context(&e, "a"), -1);
	assert_true(strlen(e.msg) < sizeof(e.msg));
}

static void numbers(void **state)
{
	static const struct { const char *in; bool ok; uint64_t want; } cases[] = {
		{"0", true, 0}, {"10", true, 10}, {"11", false, 0}, {"", false, 0}, {"+1", false, 0}, {" 1", false, 0},
		{"1 ", false, 0}, {"0x1", false, 0}, {"18446744073709551616", false, 0}, {"-0", false, 0}, {"007", true, 7},
	};
	uint64_t u;
	int64_t i;

	(void)state;
	for (size_t k = 0; k < QT_LEN(cases); k++) {
		u = 99;
		assert_int_equal(qt_u64(&u, cases[k].in, 0, 10), cases[k].ok);
		assert_int_equal(u, cases[k].ok ? cases[k].want : 99);
	}
	assert_true(qt_u64(&u, "18446744073709551615", 0, UINT64_MAX));
	assert_true(qt_i64(&i, "-5", -5, 5) && i == -5);
	assert_false(qt_i64(&i, "-6", -5, 5));
	assert_false(qt_i64(&i, "--1", -5, 5));
}

static void ids(void **state)
{
	static const char *const bad[] = {"", "ctr", "ctr_", "_x", "c_x", "ctr_X", "ctr_a-b", "Ctr_a", "toolong_a", "ctr_a/",
					  "ctr_abcdefghijklmnopqrstuvwxyz0123456"};
	struct qt_id a = qt_id_new("ctr"), b = qt_id_new("ctr"), c;

	(void)state;
	assert_string_not_equal(a.s, b.s);
	assert_int_equal(strlen(a.s), 30);
	assert_true(qt_id_parse(&c, "ctr", a.s));
	assert_true(qt_id_parse(&c, NULL, a.s));
	assert_false(qt_id_parse(&c, "op", a.s));
	for (size_t k = 0; k < QT_LEN(bad); k++)
		assert_false(qt_id_parse(&c, NULL, bad[k]));
}

static void utf8(void **state)
{
	static const struct { const char *in; size_t len, span; const char *want; } cases[] = {
		{"abc", 3, 3, "abc"},
		{"\xc3\xa9", 2, 2, "\xc3\xa9"},
		{"\xc0\x80", 2, 0, "\xef\xbf\xbd\xef\xbf\xbd"},		  /* overlong */
		{"\xed\xa0\x80", 3, 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* surrogate */
		{"a\xf0\x9f\x98\x80", 5, 5, "a\xf0\x9f\x98\x80"},
		{"\xf4\x90\x80\x80", 4, 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* past U+10FFFF */
		{"x\xe2\x82", 3, 1, "x\xef\xbf\xbd\xef\xbf\xbd"},	  /* cut */
	};
	char out[64];

	(void)state;
	for (size_t k = 0; k < QT_LEN(cases); k++) {
		assert_int_equal(qt_utf8_span(cases[k].in, cases[k].len), cases[k].span);
		assert_int_equal(qt_utf8_mend(out, cases[k].in, cases[k].len), strlen(cases[k].want));
		assert_string_equal(out, cases[k].want);
	}
}

static void strings(void **state)
{
	char small[4];

	(void)state;
	assert_true(qt_copy(small, sizeof(small), "abc"));
	assert_false(qt_copy(small, sizeof(small), "abcd"));
	assert_string_equal(small, "");
	assert_false(qt_fmt(small, sizeof(small), "%d", 1234));
	assert_true(qt_same_secret("abc", "abc", 3));
	assert_false(qt_same_secret("abc", "abd", 3));
	qt_hex((char[9]){0}, "\x00\xff\x10\x01", 4);
}

static void buffers(void **state)
{
	struct qt_err e = {0};
	auto_buf struct qt_buf b = QT_BUF(10);

	(void)state;
	assert_int_equal(qt_buf_str(&b, "12345", &e), 0);
	assert_int_equal(qt_buf_fmt(&b, &e, "%d", 67890), 0);
	assert_string_equal(b.data, "1234567890");
	assert_int_equal(qt_buf_add(&b, "x", 1, &e), -1);
	assert_int_equal(e.code, QT_E_PAYLOAD_TOO_LARGE);
	assert_string_equal(b.data, "1234567890");
}

static void files(void **state)
{
	struct qt_err e = {0};
	char buf[16];
	struct stat st;

	(void)state;
	assert_int_equal(qt_replace_file(dir_fd, "f", "hello", 5, 0640, true, &e), 0);
	assert_int_equal(qt_replace_file(dir_fd, "f", "world!", 6, 0600, false, &e), 0);
	assert_int_equal(qt_read_file(dir_fd, "f", buf, sizeof(buf), &e), 6);
	assert_string_equal(buf, "world!");
	assert_int_equal(fstatat(dir_fd, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(qt_read_file(dir_fd, "f", buf, 6, &e), -1);
	assert_int_equal(e.sys, EFBIG);
	qt_err_reset(&e);
	assert_int_equal(symlinkat("f", dir_fd, "loop"), 0);
	assert_int_equal(qt_read_file(dir_fd, "loop", buf, sizeof(buf), &e), -1);
	assert_int_equal(e.sys, ELOOP);
	assert_null(strstr(e.msg, dir));
}

static void paths_stay_inside(void **state)
{
	struct qt_err e = {0};
	int fd;

	(void)state;
	assert_int_equal(mkdirat(dir_fd, "real", 0755), 0);
	assert_int_equal(qt_replace_file(dir_fd, "real/inner", "x", 1, 0600, false, &(struct qt_err){0}), -1);
	fd = openat(dir_fd, "real/inner", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	qt_close(fd);
	assert_int_equal(symlinkat("/real", dir_fd, "abs"), 0);
	assert_int_equal(symlinkat("../../../../etc/passwd", dir_fd, "out"), 0);
	assert_int_equal(symlinkat("real/inner", dir_fd, "in"), 0);

	fd = qt_open_in_root(dir_fd, "/abs/inner", O_RDONLY, 0, &e);
	assert_true(fd >= 0);
	qt_close(fd);
	assert_int_equal(qt_open_in_root(dir_fd, "out", O_RDONLY, 0, &e), -1);
	assert_int_equal(e.sys, ENOENT);
	qt_err_reset(&e);
	assert_int_equal(qt_open_beneath(dir_fd, "in", O_RDONLY, 0, &e), -1);
	assert_int_equal(e.sys, ELOOP);
	qt_err_reset(&e);
	assert_int_equal(qt_open_beneath(dir_fd, "../x", O_RDONLY, 0, &e), -1);
	assert_int_equal(e.sys, EXDEV);
	qt_err_reset(&e);
	fd = qt_open_beneath(dir_fd, "real/inner", O_RDONLY, 0, &e);
	assert_true(fd >= 0);
	qt_close(fd);
}

static void descriptors_travel(void **state)
{
	struct qt_err e = {0};
	int sv[2], fds[QT_FDS_MAX], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	char buf[8];
	size_t n;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
	assert_int_equal(qt_send_fds(sv[0], "hi", 2, &null, 1, &e), 0);
	assert_int_equal(qt_recv_fds(sv[1], buf, sizeof(buf), fds, &n, &e), 2);
	assert_int_equal(n, 1);
	assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	qt_close(fds[0]);
	/* A message that does not fit is refused, and its descriptors do not stay. */
	assert_int_equal(qt_send_fds(sv[0], "too long a message", 18, &null, 1, &e), 0);
	assert_int_equal(qt_recv_fds(sv[1], buf, sizeof(buf), fds, &n, &e), -1);
	assert_int_equal(e.sys, EMSGSIZE);
	assert_int_equal(n, 0);
	qt_close(sv[0]);
	assert_int_equal(qt_recv_fds(sv[1], buf, sizeof(buf), fds, &n, &e), 0);
	qt_close(sv[1]);
	qt_close(null);
}

static void settings(void **state)
{
	static const struct { const char *text; const char *complaint; } bad[] = {
		{"nonsense = 1\n", "there is no setting"}, {"workers = 0\n", "whole number"}, {"workers = 1\nworkers = 2\n", "twice"},
		{"workers\n", "name = value"}, {"node = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", "at most"},
	};
	struct qt_conf c, d;
	struct qt_err e = {0};
	char path[96];
	FILE *f;

	(void)state;
	assert_true(qt_fmt(path, sizeof(path), "%s/conf", dir));
	for (size_t k = 0; k < QT_LEN(bad); k++) {
		qt_err_reset(&e);
		assert_int_equal(qt_replace_file(dir_fd, "conf", bad[k].text, strlen(bad[k].text), 0600, false, &e), 0);
		assert_int_equal(qt_conf_load(&c, path, &e), -1);
		assert_non_null(strstr(e.msg, bad[k].complaint));
	}
	/* What dump prints, load takes: with comments, and with every default. */
	qt_err_reset(&e);
	qt_conf_defaults(&c);
	c.workers = 7;
	f = fopen(path, "w");
	assert_non_null(f);
	qt_conf_dump(&c, f, true);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(qt_conf_load(&d, path, &e), 0);
	assert_memory_equal(&c, &d, sizeof(c));
}

static void times(void **state)
{
	char out[32];

	(void)state;
	qt_iso8601(out, sizeof(out), 1776420000123);
	assert_string_equal(out, "2026-04-17T10:00:00Z");
	assert_int_equal(qt_left_ms(qt_mono_ms() - 5), 0);
	assert_true(qt_left_ms(qt_mono_ms() + 60000) > 50000);
}

static void base64(void **state)
{
	static const struct {
		const char *text, *data;
	} rows[] = {{"", ""}, {"Zg==", "f"}, {"Zm8=", "fo"}, {"Zm9v", "foo"}, {"Zm9vYg==", "foob"}, {"Zm9vYmE=", "fooba"}, {"Zm9vYmFy", "foobar"},
		    {"+/+/", "\xfb\xff\xbf"}};
	static const char *const bad[] = {"Z", "Zg", "Zg=", "=", "Zg===", "Zh==", "Zm9=", "Zg==Zg==", "Zg=a", "Z g=", "Zg-_", "\xc3\xa4=="};
	char text[16];

	(void)state;
	for (size_t i = 0; i < QT_LEN(rows); i++)
		for (size_t step = 1; step < 5; step++) {
			unsigned char out[32] = {0};
			struct qt_b64 b = {0};
			size_t got = 0, len = strlen(rows[i].text);

			for (size_t at = 0; at < len; at += step) {
				ssize_t n = qt_b64_decode(&b, out + got, rows[i].text + at, len - at < step ? len - at : step);

				assert_true(n >= 0);
				got += (size_t)n;
			}
			assert_true(qt_b64_ended(&b));
			assert_int_equal(got, strlen(rows[i].data));
			assert_memory_equal(out, rows[i].data, got);
			qt_b64_encode(text, rows[i].data, got);
			assert_string_equal(text, rows[i].text);
		}
	for (size_t i = 0; i < QT_LEN(bad); i++) {
		unsigned char out[32];
		struct qt_b64 b = {0};

		if (qt_b64_decode(&b, out, bad[i], strlen(bad[i])) >= 0 && qt_b64_ended(&b))
			fail_msg("%s was taken", bad[i]);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64),
		cmocka_unit_test(errors_have_rows),  cmocka_unit_test(first_error_wins),   cmocka_unit_test(numbers),
		cmocka_unit_test(ids),		     cmocka_unit_test(utf8),		   cmocka_unit_test(strings),
		cmocka_unit_test(buffers),	     cmocka_unit_test(files),		   cmocka_unit_test(paths_stay_inside),
		cmocka_unit_test(descriptors_travel), cmocka_unit_test(settings),	   cmocka_unit_test(times),
	};

	return cmocka_run_group_tests_name("base", tests, make_dir, drop_dir);
}
