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
	uint64_t seen;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qt_err e = {0};
		struct thing t;
		auto_json json_t *j = qt_json_parse(cases[i].text, strlen(cases[i].text), false, &e);

		assert_non_null(j);
		assert_int_equal(qt_decode(j, rows, &t, sizeof(t), NULL, &seen, &e), -1);
		assert_int_equal(e.code, cases[i].code);
		assert_string_equal(e.field, cases[i].field);
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
	static const char *const bad[] = {"", "{", "{}x", "{\"a\":1,\"a\":2}", "{\"a\":\"\xff\"}", "{\"a\":\"\\u0000\"}", "nul"};
	static const char *const not_object[] = {"[]", "1", "\"x\"", "null"};
	char deep[200];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct qt_err e = {0};

		assert_null(qt_json_parse(bad[i], strlen(bad[i]), false, &e));
		assert_int_equal(e.code, QT_E_BAD_REQUEST);
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
	static const struct CMUnitTest tests[] = {cmocka_unit_test(refusals), cmocka_unit_test(takes), cmocka_unit_test(not_json)};

	return cmocka_run_group_tests_name("dec", tests, NULL, NULL);
}
