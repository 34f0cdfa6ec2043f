/* The decoder of request bodies: what it takes, and how each refusal names the place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dec.h"

struct thing {
	char name[8];
	uint64_t count;
	double share;
	bool on;
	const json_t *words, *map;
	const char *mode;
};
static const char *const modes[] = {"a", "b", NULL};
#define AT(m) .off = offsetof(struct thing, m), .size = sizeof(((struct thing *)0)->m)
static const struct qt_field rows[] = {
	{.name = "name", .alias = "old_name", .kind = QT_K_STR, .flags = QT_F_REQUIRED, AT(name), .min = 1},
	{.name = "count", .kind = QT_K_U64, .flags = QT_F_NULL, AT(count), .min = 2, .max = 9},
	{.name = "share", .kind = QT_K_NUM, AT(share), .dmin = 0, .dmax = 100},
	{.name = "on", .kind = QT_K_BOOL, AT(on)},
	{.name = "words", .kind = QT_K_STRV, .off = offsetof(struct thing, words), .size = 12, .min = 1, .max = 3},
	{.name = "map", .kind = QT_K_MAP, .flags = QT_F_NULL_VALUES, .off = offsetof(struct thing, map), .max = 2},
	{.name = "mode", .kind = QT_K_ENUM, AT(mode), .words = modes},
	{.name = "old", .kind = QT_K_IGNORE},
	{.name = "mounts", .kind = QT_K_REFUSE, .hint = "use words"},
	{.name = NULL},
};

static struct qt_err refused_by(const struct qt_field *fields, const char *text)
{
	struct qt_err e = {0};
	struct thing t;
	uint64_t seen;
	auto_json json_t *j = qt_json_parse(text, strlen(text), false, &e);

	assert_non_null(j);
	assert_int_equal(qt_decode(j, fields, &t, sizeof(t), NULL, &seen, &e), -1);
	return e;
}

static void refusals(void **state)
{
	static const struct {
		const char *text;
		enum qt_code code;
		const char *field;
	} cases[] = {
		{"{}", QT_E_UNPROCESSABLE_ENTITY, "/name"},
		{"{\"name\":1}", QT_E_UNPROCESSABLE_ENTITY, "/name"},
		{"{\"name\":null}", QT_E_UNPROCESSABLE_ENTITY, "/name"},
		{"{\"name\":\"\"}", QT_E_VALIDATION_ERROR, "/name"},
		{"{\"name\":\"12345678\"}", QT_E_VALIDATION_ERROR, "/name"},
		{"{\"name\":\"a\",\"nmae\":1}", QT_E_UNPROCESSABLE_ENTITY, "/nmae"},
		{"{\"name\":\"a\",\"count\":1}", QT_E_VALIDATION_ERROR, "/count"},
		{"{\"name\":\"a\",\"count\":-1}", QT_E_VALIDATION_ERROR, "/count"},
		{"{\"name\":\"a\",\"count\":10}", QT_E_VALIDATION_ERROR, "/count"},
		{"{\"name\":\"a\",\"count\":2.5}", QT_E_UNPROCESSABLE_ENTITY, "/count"},
		{"{\"name\":\"a\",\"share\":0}", QT_E_VALIDATION_ERROR, "/share"},
		{"{\"name\":\"a\",\"share\":\"1\"}", QT_E_UNPROCESSABLE_ENTITY, "/share"},
		{"{\"name\":\"a\",\"on\":1}", QT_E_UNPROCESSABLE_ENTITY, "/on"},
		{"{\"name\":\"a\",\"words\":\"sh\"}", QT_E_UNPROCESSABLE_ENTITY, "/words"},
		{"{\"name\":\"a\",\"words\":[]}", QT_E_VALIDATION_ERROR, "/words"},
		{"{\"name\":\"a\",\"words\":[\"a\",2]}", QT_E_UNPROCESSABLE_ENTITY, "/words/1"},
		{"{\"name\":\"a\",\"words\":[\"12345678\",\"1234\"]}", QT_E_VALIDATION_ERROR, "/words"},
		{"{\"name\":\"a\",\"map\":{\"a\":1}}", QT_E_UNPROCESSABLE_ENTITY, "/map/a"},
		{"{\"name\":\"a\",\"map\":{\"a\":\"1\",\"b\":\"\",\"c\":\"\"}}", QT_E_VALIDATION_ERROR, "/map"},
		{"{\"name\":\"a\",\"mode\":\"c\"}", QT_E_UNPROCESSABLE_ENTITY, "/mode"},
		{"{\"name\":\"a\",\"mounts\":[]}", QT_E_VALIDATION_ERROR, "/mounts"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qt_err e = refused_by(rows, cases[i].text);

		assert_int_equal(e.code, cases[i].code);
		assert_string_equal(e.field, cases[i].field);
	}
}

static void unknown_members(void **state)
{
	static const struct qt_field none[] = {
		{.name = "old", .kind = QT_K_IGNORE}, {.name = "mounts", .kind = QT_K_REFUSE, .hint = "use words"}, {.name = NULL}};
	static const struct {
		const struct qt_field *rows;
		const char *text, *expected, *hint;
	} cases[] = {
		/* What is taken and left aside is not what to send. */
		{rows, "{\"nmae\":1}", "name; count; share; on; words; map; mode", NULL},
		{none, "{\"nmae\":1}", "no members", "Send no body, or {}."},
		{none, "{\"mounts\":[]}", "", "use words"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qt_err e = refused_by(cases[i].rows, cases[i].text);

		assert_string_equal(e.expected, cases[i].expected);
		if (cases[i].hint)
			assert_string_equal(e.hint, cases[i].hint);
		else
			assert_null(e.hint);
	}
}

static void takes(void **state)
{
	static const char text[] = "{\"old_name\":\"abc\",\"count\":null,\"share\":2.5,\"on\":true,\"words\":[\"x\",\"y\"],"
				   "\"map\":{\"a\":null},\"mode\":\"b\",\"old\":[1],\"mounts\":null}";
	static const struct thing defaults = {.count = 7};
	struct qt_err e = {0};
	struct thing t;
	uint64_t seen;
	auto_json json_t *j = qt_json_parse(text, sizeof(text) - 1, false, &e);

	(void)state;
	assert_non_null(j);
	assert_int_equal(qt_decode(j, rows, &t, sizeof(t), &defaults, &seen, &e), 0);
	assert_string_equal(t.name, "abc");
	assert_int_equal(t.count, 7);
	assert_true(t.share > 2.4 && t.share < 2.6 && t.on);
	assert_int_equal(json_array_size(t.words), 2);
	assert_ptr_equal(t.mode, modes[1]);
	assert_int_equal(seen & 3, 1);
}

static void not_json(void **state)
{
	/* The place, and words of our own: jansson's are about its flags. */
	static const struct {
		const char *text, *said;
	} bad[] = {
		{"", "line 1, column 0: it ends too early"},
		{"{", "line 1, column 1: it ends too early"},
		{"{}x", "line 1, column 3: something follows its end"},
		{"{\"a\":1,\n\"a\":2}", "line 2, column 3: a member is there twice"},
		{"{\"a\":\"\xff\"}", "line 1, column 6: a text is not UTF-8"},
		{"{\"a\":\"\\u0000\"}", "line 1, column 13: a text holds NUL (\\u0000)"},
		{"{\"\\u0000\":1}", "line 1, column 9: a text holds NUL (\\u0000)"},
		{"{\"a\":1e400}", "line 1, column 10: a number is past its range"},
		{"{\"a\":99999999999999999999}", "line 1, column 25: a number is past its range"},
		{"{\"a\":\"\x01\"}", "line 1, column 6: a syntax error"},
		{"{\"a\":\"\\ud800\"}", "line 1, column 13: a syntax error"},
		{"nul", "line 1, column 3: a syntax error"},
	};
#define BYTES(text) text, sizeof(text) - 1
	static const struct {
		const char *text;
		size_t len;
		const char *said;
	} nul[] = {
		{BYTES("\0"), "a syntax error"},
		{BYTES("{\"a\0"), "a syntax error"},
		{BYTES("{\"a\":\"\0\"}"), "a syntax error"},
		{BYTES("{\"a\":\0}"), "a syntax error"},
		{BYTES("{}\0"), "something follows its end"},
	};
	static const char *const not_object[] = {"[]", "1", "\"x\"", "null"};
	char deep[200];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char want[96] = "the body is not acceptable JSON: ";
		struct qt_err e = {0};

		assert_null(qt_json_parse(bad[i].text, strlen(bad[i].text), false, &e));
		assert_int_equal(e.code, QT_E_BAD_REQUEST);
		assert_string_equal(e.msg, strcat(want, bad[i].said));
	}
	/* A NUL byte is not the end. */
	for (size_t i = 0; i < sizeof(nul) / sizeof(nul[0]); i++) {
		struct qt_err e = {0};

		assert_null(qt_json_parse(nul[i].text, nul[i].len, false, &e));
		assert_int_equal(e.code, QT_E_BAD_REQUEST);
		assert_non_null(strstr(e.msg, nul[i].said));
	}
	for (size_t i = 0; i < sizeof(not_object) / sizeof(not_object[0]); i++) {
		struct qt_err e = {0};

		assert_null(qt_json_parse(not_object[i], strlen(not_object[i]), false, &e));
		assert_int_equal(e.code, QT_E_UNPROCESSABLE_ENTITY);
	}
	memset(deep, '[', sizeof(deep));
	assert_null(qt_json_parse(deep, sizeof(deep), false, &(struct qt_err){0}));
	json_decref(qt_json_parse("", 0, true, &(struct qt_err){0}));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(refusals), cmocka_unit_test(unknown_members), cmocka_unit_test(takes),
						  cmocka_unit_test(not_json)};

	return cmocka_run_group_tests_name("dec", tests, NULL, NULL);
}
