/* The worker's pure parts: the URL, the route table, the errors' body; and that docs/openapi.json is what the table says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "answer.h"
#include "cleanup.h"
#include "dispatch.h"
#include "identity.h"
#include "openapi.h"
#include "origin.h"
#include "path.h"
#include "query.h"
#include "route.h"
#include "share.h"
#include "life/files.h"
#include "str.h"
#include "upload.h"

static void urls(void **state)
{
	static const struct {
		const char *raw;
		enum qt_code code;
		const char *segments; /* joined with '|' */
	} cases[] = {
		{"/api/containers", QT_OK, "api|containers"},
		{"/api/containers/a%2Fb", QT_OK, "api|containers|a/b"},
		{"/api/x?limit=3&state=a+b", QT_OK, "api|x"},
		{"/api/%63ontainers", QT_OK, "api|containers"},
		{"/gui/ctr_1/?gui_token=x", QT_OK, "gui|ctr_1|index.html"},
		{"/gui/ctr_1/app/", QT_E_BAD_REQUEST, NULL},
		{"/gui/", QT_E_BAD_REQUEST, NULL},
		{"/gui//", QT_E_BAD_REQUEST, NULL},
		{"/api/ctr_1/", QT_E_BAD_REQUEST, NULL},
		{"/api//x", QT_E_BAD_REQUEST, NULL},
		{"/api/", QT_E_BAD_REQUEST, NULL},
		{"/api/..", QT_E_BAD_REQUEST, NULL},
		{"/api/%2e%2e/x", QT_E_BAD_REQUEST, NULL},
		{"/api/./x", QT_E_BAD_REQUEST, NULL},
		{"/api/%", QT_E_BAD_REQUEST, NULL},
		{"/api/%g0", QT_E_BAD_REQUEST, NULL},
		{"/api/%00", QT_E_BAD_REQUEST, NULL},
		{"/api/%0a", QT_E_BAD_REQUEST, NULL},
		{"/api/%ff", QT_E_BAD_REQUEST, NULL},
		{"/api/x#y", QT_E_BAD_REQUEST, NULL},
		{"http://host/api", QT_E_BAD_REQUEST, NULL},
		{"", QT_E_BAD_REQUEST, NULL},
		{"/x?a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p&q", QT_E_BAD_REQUEST, NULL},
	};
	static struct qt_uri u;

	(void)state;
	for (size_t i = 0; i < QT_LEN(cases); i++) {
		struct qt_err e = {0};
		char joined[128] = "";

		assert_int_equal(qt_uri_parse(&u, cases[i].raw, &e), cases[i].code == QT_OK ? 0 : -1);
		assert_int_equal(e.code, cases[i].code);
		if (cases[i].code != QT_OK)
			continue;
		for (size_t k = 0; u.segments[k]; k++) {
			strcat(joined, k ? "|" : "");
			strcat(joined, u.segments[k]);
		}
		assert_string_equal(joined, cases[i].segments);
	}
	for (unsigned n = QT_SEGMENTS_MAX; n <= QT_SEGMENTS_MAX + 1; n++) {
		struct qt_err e = {0};
		char deep[2 * QT_SEGMENTS_MAX + 3] = "";

		for (unsigned k = 0; k < n; k++)
			strcat(deep, "/d");
		assert_int_equal(qt_uri_parse(&u, deep, &e), n <= QT_SEGMENTS_MAX ? 0 : -1);
	}
	assert_int_equal(qt_uri_parse(&u, "/api/x?limit=3&state=a+b%2B", &(struct qt_err){0}), 0);
	assert_int_equal(u.n_query, 2);
	assert_string_equal(u.query[1].value, "a b+");
}

static void long_urls(void **state)
{
	static struct qt_uri u;
	static char raw[QT_URI_MAX + 10];
	struct qt_err e = {0};

	(void)state;
	memset(raw, 'a', sizeof(raw) - 1);
	raw[0] = '/';
	assert_int_equal(qt_uri_parse(&u, raw, &e), -1);
	assert_int_equal(e.code, QT_E_URI_TOO_LONG);
}

static void routes(void **state)
{
	static const struct {
		const char *method, *path, *id; /* id NULL: 404; "405" */
	} cases[] = {
		{"GET", "/health", "health"},
		{"HEAD", "/health", "health"},
		{"POST", "/health", "405"},
		{"GET", "/api/containers/help", "containersHelp"},
		{"DELETE", "/api/containers/help", "405"},
		{"GET", "/api/containers/ctr_1", "getContainer"},
		{"DELETE", "/api/containers/ctr_1", "deleteContainer"},
		{"GET", "/api/containers/by-name/x", "getContainerByName"},
		{"GET", "/api/containers/x/ready", "getContainerReady"},
		{"PUT", "/api/containers/x/env", "putContainerEnv"},
		{"GET", "/api/containers/x/nothing", NULL},
		{"GET", "/api", NULL},
		{"GET", "/API/containers", NULL},
		{"GET", "/api/containers/a%2Fready", "getContainer"},
	};
	static struct qt_uri u;

	(void)state;
	assert_null(qt_routes_selfcheck());
	for (size_t i = 0; i < QT_LEN(cases); i++) {
		const char *params[QT_PARAMS_MAX];
		struct qt_err e = {0};
		char allow[64];
		const struct qt_route *r;

		assert_int_equal(qt_uri_parse(&u, cases[i].path, &e), 0);
		r = qt_route_find(cases[i].method, u.segments, params, allow, sizeof(allow), &e);
		if (cases[i].id && strcmp(cases[i].id, "405") != 0) {
			assert_non_null(r);
			assert_string_equal(r->id, cases[i].id);
		} else {
			assert_null(r);
			assert_int_equal(e.code, cases[i].id ? QT_E_METHOD_NOT_ALLOWED : QT_E_NOT_FOUND);
			assert_true(!cases[i].id || allow[0]);
		}
	}
}

static void error_bodies(void **state)
{
	(void)state;
	for (int c = 1; c < QT_CODE_COUNT; c++) {
		struct qt_err e = {0};
		auto_json json_t *body = NULL;

		(void)qt_fail(&e, (enum qt_code)c, "secret /var/lib/quilt \xff");
		body = qt_error_body(&e, "req-1");
		assert_non_null(body);
		assert_string_equal(json_string_value(json_object_get(body, "error_code")), qt_err_row((enum qt_code)c)->name);
		assert_string_equal(json_string_value(json_object_get(body, "request_id")), "req-1");
		assert_true(json_is_string(json_object_get(body, "error")));
		assert_int_equal(json_object_size(body), 6);
		if (!qt_err_row((enum qt_code)c)->show)
			assert_null(strstr(json_string_value(json_object_get(body, "error")), "/var/lib"));
	}
}

static void credentials(void **state)
{
	static const struct qt_credentials refused[] = {
		{NULL, NULL, 0, 0, NULL, 0},
		{"quilt_sk_0", NULL, 2, 0, NULL, 0},
		{"quilt_sk_0", "Bearer x", 1, 2, NULL, 0},
		{"quilt_sk_0, quilt_sk_1", NULL, 1, 0, NULL, 0},
		{"quilt sk", NULL, 1, 0, NULL, 0},
		{NULL, "Basic abc", 0, 1, NULL, 0},
		{NULL, "Bearer ", 0, 1, NULL, 0},
		{"", "", 1, 1, NULL, 0},
			{NULL, NULL, 0, 0, "", 1},
		{NULL, NULL, 0, 0, "quilt_sk_0", 2},
		{NULL, NULL, 0, 0, "quilt sk", 1},
		{"quilt sk", NULL, 1, 0, "quilt_sk_0", 1},
};

	(void)state;
	for (size_t i = 0; i < QT_LEN(refused); i++) {
		struct qt_err e = {0};
		struct qt_apikey key;
		unsigned retry;

		/* None of these may reach the store: there is none here. */
		assert_int_equal(qt_identity_auth(NULL, NULL, &refused[i], &key, &retry, &e), -1);
		assert_int_equal(e.code, QT_E_UNAUTHORIZED);
	}
}

/* Who serves what, and where a key may stand in the URL. */
static void looks(void **state)
{
	static const struct {
		const char *method, *uri;
		enum qt_pool pool;
		unsigned n_token;
		const char *token;
	} cases[] = {
		{"GET", "/api/containers", QT_POOL_QUICK, 0, ""},
		{"GET", "/api/containers?token=a", QT_POOL_QUICK, 0, ""},
		{"POST", "/api/containers", QT_POOL_SLOW, 0, ""},
		{"GET", "/api/events", QT_POOL_STREAM, 0, ""},
		{"HEAD", "/api/%65vents?x=1&token=a%5f", QT_POOL_STREAM, 1, "a_"},
		{"GET", "/api/events?token=a&token=b", QT_POOL_STREAM, 2, "b"},
		{"POST", "/api/events?token=a", QT_POOL_QUICK, 0, ""},
		{"GET", "/api/events/x?token=a", QT_POOL_QUICK, 0, ""},
		{"GET", "/api//events?token=a", QT_POOL_QUICK, 0, ""},
		{"GET", "/api/nothing", QT_POOL_QUICK, 0, ""},
		{"GET", "/api/containers/x/logs?follow=true", QT_POOL_STREAM, 0, ""},
		{"GET", "/api/containers/x/logs?follow=false&token=a", QT_POOL_QUICK, 0, ""},
		{"POST", "/api/containers/x/stream?token=a", QT_POOL_STREAM, 0, ""},
		{"POST", "/api/containers/x/exec?follow=true", QT_POOL_SLOW, 0, ""},
		{"GET", "/ws/terminal/attach?token=a", QT_POOL_STREAM, 1, "a"},
		{"GET", "/ws/nothing?token=a", QT_POOL_STREAM, 0, ""},
		{"POST", "/api/terminal/sessions?token=a", QT_POOL_SLOW, 0, ""},
	};
	static const char id[] = "ctr_0123456789abcdefghjkmnpqrs";
	struct qt_look look;
	char uri[128];

	(void)state;
	assert_true(qt_fmt(uri, sizeof(uri), "/gui/%s/?gui_token=a", id));
	qt_dispatch_look("GET", uri, &look);
	assert_true(look.is_gui && look.pool == QT_POOL_SLOW && qt_streq(look.container.s, id) && qt_streq(look.link, "a"));
	assert_true(qt_fmt(uri, sizeof(uri), "/gui/%s/websockify?token=a", id));
	qt_dispatch_look("GET", uri, &look);
	assert_true(look.is_gui && look.pool == QT_POOL_STREAM && !look.link[0] && look.n_token == 0);
	qt_dispatch_look("GET", "/gui/a-name/vnc.html", &look);
	assert_false(look.is_gui);
	for (size_t i = 0; i < QT_LEN(cases); i++) {
		qt_dispatch_look(cases[i].method, cases[i].uri, &look);
		assert_int_equal(look.pool, cases[i].pool);
		assert_int_equal(look.n_token, cases[i].n_token);
		assert_string_equal(look.token, cases[i].token);
	}
}

static void origins(void **state)
{
	static const struct {
		const char *origin, *host, *url, *allowed;
		bool ok;
	} cases[] = {
		{"https://q.example", "q.example", "", "", true},
		{"https://q.example:8443", "q.example:8443", "", "", true},
		{"https://Q.example", "q.EXAMPLE", "", "", true},
		{"http://q.example", "q.example", "", "", false},
		{"https://q.example.evil", "q.example", "", "", false},
		{"https://evil.example", "q.example", "https://q.example/", "", false},
		{"https://q.example", "evil.example", "https://q.example/x", "", true},
		{"https://q.exampl", "x", "https://q.example", "", false},
		{"https://b.example", "x", "", "https://a.example, https://b.example", true},
		{"https://b", "x", "", "https://a.example, https://b.example", false},
		{"null", "x", "", "", false},
		{"null", "null", "null", "", false},
		{"", "", "", ",", false},
		{"https://", "", "https://", "", false},
	};

	(void)state;
	for (size_t i = 0; i < QT_LEN(cases); i++)
		if (qt_origin_allowed(cases[i].origin, cases[i].host, cases[i].url, cases[i].allowed) != cases[i].ok)
			fail_msg("%s at %s", cases[i].origin, cases[i].host);
	assert_true(qt_list_has("chat, terminal", "terminal"));
	assert_false(qt_list_has("terminals,term", "terminal"));
}

/* What one signed, another finds good: for the same kind, container and time, and for nothing else. */
static void passes(void **state)
{
	char path[] = "/tmp/qt-secret-XXXXXX", link[QT_GUI_PASS_MAX], text[QT_GUI_PASS_MAX], tail[2] = "";
	struct qt_id a = qt_id_new("ctr"), b = qt_id_new("ctr");
	struct qt_gui_pass p = {.until_s = 1000, .tenant = qt_id_new("ten"), .key = qt_id_new("key")}, got;
	struct qt_conf conf = {0};
	struct qt_err e = {0}, none = {0};
	int fd = mkstemp(path);
	size_t len;

	(void)state;
	(void)qt_copy(conf.gui_secret_file, sizeof(conf.gui_secret_file), path);
	/* Too little of a secret is none. */
	assert_int_equal(qt_gui_sign(link, &conf, QT_GUI_LINK, &a, &p, &none), -1);
	assert_int_equal(none.code, QT_E_INTERNAL_ERROR);
	assert_int_equal(write(fd, "0123456789abcdef0123456789abcdef", 32), 32);
	assert_int_equal(qt_gui_sign(link, &conf, QT_GUI_LINK, &a, &p, &e), 0);
	assert_int_equal(qt_gui_verify(&got, &conf, QT_GUI_LINK, &a, link, 999, &e), 0);
	assert_true(got.until_s == 1000 && qt_streq(got.key.s, p.key.s) && qt_streq(got.tenant.s, p.tenant.s));
	e = (struct qt_err){0};
	assert_int_equal(qt_gui_verify(&got, &conf, QT_GUI_LINK, &a, link, 1000, &e), -1);
	assert_int_equal(e.code, QT_E_UNAUTHORIZED);
	assert_int_equal(qt_gui_verify(&got, &conf, QT_GUI_COOKIE_PASS, &a, link, 999, &(struct qt_err){0}), -1);
	assert_int_equal(qt_gui_verify(&got, &conf, QT_GUI_LINK, &b, link, 999, &(struct qt_err){0}), -1);
	/* No byte of it can be another, missing or more. */
	len = strlen(link);
	for (size_t i = 0; i < len; i++) {
		memcpy(text, link, len + 1);
		text[i] = text[i] == '1' ? '2' : '1';
		assert_int_equal(qt_gui_verify(&got, &conf, QT_GUI_LINK, &a, text, 999, &(struct qt_err){0}), -1);
		memcpy(text, link, len + 1);
		text[i] = '\0';
		assert_int_equal(qt_gui_verify(&got, &conf, QT_GUI_LINK, &a, text, 999, &(struct qt_err){0}), -1);
	}
	for (const char *more = "0.~ ="; *more; more++) {
		tail[0] = *more;
		assert_true(qt_fmt(text, sizeof(text), "%s%s", link, tail));
		assert_int_equal(qt_gui_verify(&got, &conf, QT_GUI_LINK, &a, text, 999, &(struct qt_err){0}), more[0] == '.' ? 0 : -1);
	}
	/* Another secret: all links are void. */
	assert_int_equal(pwrite(fd, "x", 1, 0), 1);
	assert_int_equal(qt_gui_verify(&got, &conf, QT_GUI_LINK, &a, link, 999, &(struct qt_err){0}), -1);
	(void)close(fd);
	(void)unlink(path);
}

static void cookies(void **state)
{
	static const char header[] = "a=b; x" QT_GUI_COOKIE "=no;" QT_GUI_COOKIE "=one; " QT_GUI_COOKIE "=;  " QT_GUI_COOKIE "=two=2; " QT_GUI_COOKIE;
	char value[QT_GUI_PASS_MAX], *large = calloc(1, 9000);
	size_t at = 0;

	(void)state;
	assert_true(qt_gui_cookie_next(value, header, &at));
	assert_string_equal(value, "one");
	assert_true(qt_gui_cookie_next(value, header, &at));
	assert_string_equal(value, "two=2");
	assert_false(qt_gui_cookie_next(value, header, &at));
	assert_false(qt_gui_cookie_next(value, header, &at));
	memset(large, 'a', 8999);
	memcpy(large, QT_GUI_COOKIE "=", sizeof(QT_GUI_COOKIE));
	at = 0;
	assert_false(qt_gui_cookie_next(value, large, &at));
	free(large);
}

static void openapi_is_current(void **state)
{
	auto_free char *now = NULL, *kept = calloc(1, 1 << 20);
	size_t len = 0;
	FILE *f = open_memstream(&now, &len), *k = fopen(OPENAPI_JSON, "r");

	(void)state;
	assert_non_null(f);
	assert_int_equal(qt_print_openapi(f), 0);
	assert_int_equal(fclose(f), 0);
	if (!k)
		fail_msg("docs/openapi.json is missing: quilt-api --openapi > docs/openapi.json");
	assert_true(fread(kept, 1, (1 << 20) - 1, k) > 0);
	assert_int_equal(fclose(k), 0);
	if (strcmp(now, kept) != 0)
		fail_msg("docs/openapi.json is not what the route table says: quilt-api --openapi > docs/openapi.json");
}

/* --- uploads --------------------------------------------------------------------------------------------- */

/* TEXT through the sieve in pieces of STEP: the error, REST as it is left, and the decoded member. */
static enum qt_code sieve(const char *text, size_t step, char *rest, char *out)
{
	struct qt_json_sieve s = {.member = "content", .out = memfd_create("sieve", 0), .rest = QT_BUF(QT_SIEVE_REST), .max = 64};
	struct qt_err e = {0};
	size_t len = strlen(text);
	ssize_t n;

	for (size_t at = 0; at < len && e.code == QT_OK; at += step)
		(void)qt_json_sieve(&s, text + at, len - at < step ? len - at : step, &e);
	strcpy(rest, s.rest.data ? s.rest.data : "");
	n = pread(s.out, out, 100, 0);
	assert_true(n >= 0);
	out[n] = '\0';
	close(s.out);
	qt_buf_done(&s.rest);
	return e.code;
}

static void content_is_taken_out(void **state)
{
	static const struct {
		const char *text, *rest, *out;
		enum qt_code code;
	} rows[] = {
		{"{\"content\":\"aGVsbG8=\",\"path\":\"/x\"}", "{\"content\":\"\",\"path\":\"/x\"}", "hello", QT_OK},
		{" { \"path\" : \"content\" , \"content\" : \"aGVs\\nbG8h\" } ", " { \"path\" : \"content\" , \"content\" : \"\" } ", "hello!", QT_OK},
		{"{\"content\":\"\\/\\/8=\"}", "{\"content\":\"\"}", "\xff\xff", QT_OK},
		{"{\"content\":\"\"}", "{\"content\":\"\"}", "", QT_OK},
		/* Only a member of the outermost object, and a text. */
		{"{\"a\":{\"content\":\"x!\"}}", "{\"a\":{\"content\":\"x!\"}}", "", QT_OK},
		{"{\"a\":[\"content\",\"x!\"]}", "{\"a\":[\"content\",\"x!\"]}", "", QT_OK},
		{"[\"content\",\"x!\"]", "[\"content\",\"x!\"]", "", QT_OK},
		{"{\"content\":17,\"a\":\"x!\"}", "{\"content\":17,\"a\":\"x!\"}", "", QT_OK},
		{"{\"content\":[\"x!\"]}", "{\"content\":[\"x!\"]}", "", QT_OK},
		{"{\"conten\\u0074\":\"x!\"}", "{\"conten\\u0074\":\"x!\"}", "", QT_OK},
		{"{\"a\":\"\\\"content\\\":\"}", "{\"a\":\"\\\"content\\\":\"}", "", QT_OK},
		{"{\"content\":\"a!Vs\"}", NULL, NULL, QT_E_BAD_REQUEST},
		{"{\"content\":\"aGVsbG8\"}", NULL, NULL, QT_E_BAD_REQUEST},
		{"{\"content\":\"aGVs\\u0041\"}", NULL, NULL, QT_E_BAD_REQUEST},
		{"{\"content\":\"aGVs=bG8=\"}", NULL, NULL, QT_E_BAD_REQUEST},
		{"{\"content\":\"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB\"}", NULL, NULL,
		 QT_E_PAYLOAD_TOO_LARGE},
	};
	static char rest[QT_SIEVE_REST + 1], out[101], large[QT_SIEVE_REST + 100];

	(void)state;
	for (size_t i = 0; i < QT_LEN(rows); i++)
		for (size_t step = 1; step <= 64; step += step < 4 ? 1 : 20) {
			assert_int_equal(sieve(rows[i].text, step, rest, out), rows[i].code);
			if (rows[i].code != QT_OK)
				continue;
			assert_string_equal(rest, rows[i].rest);
			assert_string_equal(out, rows[i].out);
		}
	memset(large, ' ', sizeof(large) - 1);
	assert_int_equal(sieve(large, 999, rest, out), QT_E_PAYLOAD_TOO_LARGE);
}

/* Contract 8, "File mode". */
static void modes_of_files(void **state)
{
	static const struct {
		uint64_t sent;
		int mode; /* -1: refused */
	} rows[] = {
		{644, 0644}, {755, 0755}, {600, 0600}, {1777, 01777}, {400, 0400}, {0, 0},     {7, 07},	   {777, 0777},
		{420, 0644}, {436, 0664}, {416, 0640}, {365, 0555},   {511, 0777}, {493, 0755}, {384, 0600}, {438, 0666},
		{448, 0700}, {4755, -1},  {1778, -1},  {2000, -1},    {UINT64_MAX, -1},
	};

	(void)state;
	for (size_t i = 0; i < QT_LEN(rows); i++) {
		uint32_t mode = 7;

		assert_int_equal(qt_file_mode(&mode, rows[i].sent), rows[i].mode >= 0);
		if (rows[i].mode >= 0)
			assert_int_equal(mode, rows[i].mode);
	}
	assert_int_equal(qt_file_mode_digits(0644), 644);
	assert_int_equal(qt_file_mode_digits(01777), 1777);
	assert_int_equal(qt_file_mode_digits(0), 0);
}

static void limits_of_bodies(void **state)
{
	const struct qt_conf conf = {.max_body_bytes = 1000, .max_archive_bytes = 1000000};

	(void)state;
	assert_int_equal(qt_upload_limit(&conf, "POST", "/api/containers"), 1000);
	assert_int_equal(qt_upload_limit(&conf, "POST", "/api/containers/c/archive?path=%2F"), 1500000 + QT_SIEVE_REST);
	assert_int_equal(qt_upload_limit(&conf, "POST", "/api/volumes/v/archive"), 1500000 + QT_SIEVE_REST);
	assert_int_equal(qt_upload_limit(&conf, "GET", "/api/volumes/v/archive"), 1000);
	assert_int_equal(qt_upload_limit(&conf, "POST", "/api/volumes/v/files"), 1000);
	assert_int_equal(qt_upload_limit(&conf, "POST", "//"), 1000);
}

/* Of 160 threads at 75 %: alone 120; of several that press each the same, and something is always left for who has nothing. */
static void shares(void **state)
{
	enum { ROWS = 4, THREADS = 80 };
	struct qt_share *s = NULL;
	struct qt_err e = {0};

	(void)state;
	assert_int_equal(qt_share_new(&s, ROWS, 128, &e), 0);
	assert_true(qt_share_take(NULL, 0, 0, "ten_a", 75));
	for (unsigned tenants = 1; tenants <= 20; tenants++) {
		unsigned have[20] = {0}, held = 0;
		bool more = true;

		qt_share_open(s, 1, THREADS); /* as after a death: nobody holds any */
		qt_share_open(s, 3, THREADS);
		while (more) {
			more = false;
			for (unsigned t = 0; t < tenants && held < 2 * THREADS; t++) {
				char name[16];

				(void)snprintf(name, sizeof(name), "ten_%u", t);
				if (!qt_share_take(s, held % 2 ? 1 : 3, held / 2, name, 75))
					continue;
				more = true;
				have[t]++;
				held++;
			}
		}
		for (unsigned t = 0; t < tenants; t++)
			assert_true(have[t] >= 480 / (1 + 3 * tenants) && have[t] <= 480 / (1 + 3 * tenants) + 1);
		assert_true(held < 2 * THREADS);
		assert_true(qt_share_take(s, held % 2 ? 1 : 3, held / 2, "ten_new", 75));
	}
	/* Who left has given it back; a row that is shut counts for nothing. */
	qt_share_open(s, 1, THREADS);
	qt_share_open(s, 3, THREADS);
	for (unsigned i = 0; i < THREADS; i++)
		assert_true(qt_share_take(s, 1, i, "ten_a", 75));
	for (unsigned i = 0; i < 40; i++)
		assert_true(qt_share_take(s, 3, i, "ten_a", 75));
	assert_false(qt_share_take(s, 3, 40, "ten_a", 75));
	assert_true(qt_share_take(s, 3, 40, "ten_a", 100));
	qt_share_give(s, 3, 40);
	qt_share_give(s, 3, 39);
	assert_true(qt_share_take(s, 3, 40, "ten_a", 75));
	qt_share_shut(s, 1);
	assert_true(qt_share_take(s, 3, 41, "ten_a", 75));
	for (unsigned i = 42; i < 61; i++)
		assert_true(qt_share_take(s, 3, i, "ten_a", 75));
	assert_false(qt_share_take(s, 3, 61, "ten_a", 75));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(content_is_taken_out), cmocka_unit_test(modes_of_files), cmocka_unit_test(limits_of_bodies),
		cmocka_unit_test(urls),		cmocka_unit_test(long_urls),   cmocka_unit_test(routes),
		cmocka_unit_test(error_bodies), cmocka_unit_test(credentials), cmocka_unit_test(looks), cmocka_unit_test(origins), cmocka_unit_test(passes), cmocka_unit_test(cookies),
		cmocka_unit_test(openapi_is_current),
		cmocka_unit_test(shares),
	};

	return cmocka_run_group_tests_name("api", tests, NULL, NULL);
}
