/* Dockerfiles: what is read, what is refused, and that nothing which is neither breaks the parser. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "dockerfile.h"
#include "str.h"

static struct qt_dockerfile parse(const char *text)
{
	struct qt_dockerfile d;
	struct qt_err e = {0};

	if (qt_df_parse(&d, text, strlen(text), &e) < 0)
		fail_msg("%s: %s", text, e.msg);
	return d;
}

static void refused(const char *text, enum qt_code code, const char *says)
{
	struct qt_dockerfile d;
	struct qt_err e = {0};

	assert_int_equal(qt_df_parse(&d, text, strlen(text), &e), -1);
	if (e.code != code || !strstr(e.msg, says))
		fail_msg("%s: %s: %s", text, qt_err_row(e.code)->name, e.msg);
}

static void lines_are_joined(void **state)
{
	auto_dockerfile struct qt_dockerfile d = parse("\xef\xbb\xbf# escape=`\n# check=skip\n\nfrom a AS b  \r\n  # not me\nRUN one `\n# nor me\n\n   two `\r\nthree\n"
						       "COPY --chown=a:b --from=x [\"s p\", \"/d\"]\nENV A=`\nB\n");

	(void)state;
	assert_int_equal(d.n, 4);
	assert_int_equal(d.escape, '`');
	assert_int_equal(d.v[0].kind, QT_DF_FROM);
	assert_int_equal(d.v[0].line, 4);
	assert_string_equal(d.v[0].rest, "a AS b");
	assert_string_equal(d.v[1].rest, "one    two three");
	assert_int_equal(d.v[1].line, 6);
	assert_string_equal(json_string_value(json_object_get(d.v[2].flags, "chown")), "a:b");
	assert_string_equal(json_string_value(json_object_get(d.v[2].flags, "from")), "x");
	assert_int_equal(json_array_size(d.v[2].exec), 2);
	assert_string_equal(d.v[3].rest, "A=B");
}

static void here_documents(void **state)
{
	auto_dockerfile struct qt_dockerfile d = parse("FROM a\nRUN <<EOF\necho 1\n  # stays\nEOF\nRUN cat <<-'X' > f && cat <<Y\n\tone\n\tX\ntwo\nY\nRUN a <<< b\nRUN echo $((1<<2))\n");
	char shown[64];

	(void)state;
	assert_int_equal(d.n, 5);
	assert_string_equal(json_string_value(d.v[1].script), "echo 1\n  # stays\n");
	assert_null(d.v[2].script);
	assert_string_equal(d.v[2].rest, "cat <<-'X' > f && cat <<Y\none\nX\ntwo\nY\n");
	assert_string_equal(d.v[3].rest, "a <<< b");
	assert_string_equal(d.v[4].rest, "echo $((1<<2))");
	qt_df_show(&d.v[2], shown, sizeof(shown));
	assert_null(strchr(shown, '\n'));
}

static void what_is_refused(void **state)
{
	(void)state;
	refused("", QT_E_DOCKERFILE_INVALID, "no instruction");
	refused("# escape=x\nFROM a", QT_E_DOCKERFILE_INVALID, "escape");
	refused("FROM a\nFRO b", QT_E_DOCKERFILE_INVALID, "line 2");
	refused("FROM", QT_E_DOCKERFILE_INVALID, "FROM takes");
	refused("RUN --x y", QT_E_DOCKERFILE_INVALID, "--x");
	refused("RUN --mount=type=cache y", QT_E_BUILD_UNSUPPORTED, "--mount");
	refused("RUN --security=insecure y", QT_E_BUILD_UNSUPPORTED, "--security");
	refused("COPY <<E /x\nE", QT_E_BUILD_UNSUPPORTED, "here-document");
	refused("RUN <<E\nx", QT_E_DOCKERFILE_INVALID, "does not end");
	refused("RUN <<E\n#!/bin/x\nE", QT_E_BUILD_UNSUPPORTED, "shell");
	refused("FROM \xff", QT_E_DOCKERFILE_INVALID, "UTF-8");
}

static void words_are(const char *text, const json_t *vars, const char *want)
{
	struct qt_err e = {0};
	json_t *w = qt_df_words(text, '\\', vars, &e);
	auto_free char *got = json_dumps(w, JSON_COMPACT);

	if (!got || !qt_streq(got, want))
		fail_msg("%s: %s is not %s (%s)", text, got ? got : "nothing", want, e.msg);
	json_decref(w);
}

static void words_and_variables(void **state)
{
	json_t *v = json_pack("{s:s, s:s, s:s}", "A", "a b", "E", "", "N", "1"), *pairs;
	struct qt_err e = {0};
	char *text;

	(void)state;
	words_are("x  'y $A' \"$A\" $A\"c\"", v, "[\"x\",\"y $A\",\"a b\",\"a bc\"]");
	words_are("\\$A a\\ b '' $", v, "[\"$A\",\"a b\",\"\",\"$\"]");
	words_are("${A:-x} ${E:-x} ${E-x}. ${U:-${N}2} ${A:+y} ${U:+y} ${E:+y} ${E+y} $U", v, "[\"a b\",\"x\",\".\",\"12\",\"y\",\"\",\"\",\"y\",\"\"]");
	words_are("$A", NULL, "[\"$A\"]");
	assert_null(qt_df_words("${A", '\\', v, &e));
	qt_err_reset(&e);
	assert_null(qt_df_words("${A#x}", '\\', v, &e));
	qt_err_reset(&e);
	assert_null(qt_df_words("${U:?not there}", '\\', v, &e));
	assert_non_null(strstr(e.msg, "not there"));
	qt_err_reset(&e);
	assert_null(qt_df_words("'x", '\\', v, &e));
	qt_err_reset(&e);
	assert_null(qt_df_words("${U:-${U:-${U:-${U:-${U:-${U:-${U:-${U:-${U:-x}}}}}}}}}", '\\', v, &e));
	qt_err_reset(&e);
	text = qt_df_expand("/a/$N  b", '\\', v, &e);
	assert_string_equal(text, "/a/1  b");
	free(text);
	pairs = qt_df_pairs("A=1 \"b c\"=\"d e\" F=$N", '\\', v, &e);
	text = json_dumps(pairs, JSON_COMPACT);
	assert_string_equal(text, "{\"A\":\"1\",\"b c\":\"d e\",\"F\":\"1\"}");
	free(text);
	json_decref(pairs);
	pairs = qt_df_pairs("OLD all of  it", '\\', v, &e);
	assert_string_equal(json_string_value(json_object_get(pairs, "OLD")), "all of  it");
	json_decref(pairs);
	assert_null(qt_df_pairs("A=1 b", '\\', v, &e));
	json_decref(v);
}

/* Any change of a byte, and any end: read or refused, and nothing else (the sanitizers look on). */
static void mangled(void **state)
{
	static const char text[] = "# escape=\\\nFROM a AS b\nARG X=1\nENV A=\"$X\" B='c'\\\n d=e\nRUN <<E\n${A:-b}\nE\nCOPY --from=b [\"x\", \"y\"]\nADD a\\ b ${X:+$A}\nCMD [\"a\"]";
	static const char bytes[] = {0, '\n', '\\', '"', '\'', '$', '{', '<', '[', ' ', '#', '-', (char)0xff};
	json_t *vars = json_pack("{s:s}", "A", "x");

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		for (size_t k = 0; k <= sizeof(bytes); k++) {
			size_t len = k == sizeof(bytes) ? i : sizeof(text) - 1;
			char *copy = malloc(len + 1);
			struct qt_dockerfile d;
			struct qt_err e = {0};

			memcpy(copy, text, len);
			copy[len] = '\0';
			if (k < sizeof(bytes) && i < len)
				copy[i] = bytes[k];
			if (qt_df_parse(&d, copy, len, &e) == 0) {
				for (size_t n = 0; n < d.n; n++) {
					struct qt_err ignored = {0};
					char shown[40];

					json_decref(qt_df_words(d.v[n].rest, d.escape, vars, &ignored));
					json_decref(qt_df_pairs(d.v[n].rest, d.escape, vars, &ignored));
					free(qt_df_expand(d.v[n].rest, d.escape, vars, &ignored));
					qt_df_show(&d.v[n], shown, sizeof(shown));
				}
				qt_df_done(&d);
			} else {
				assert_true(e.code == QT_E_DOCKERFILE_INVALID || e.code == QT_E_BUILD_UNSUPPORTED);
			}
			free(copy);
		}
	json_decref(vars);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_joined),    cmocka_unit_test(here_documents), cmocka_unit_test(what_is_refused),
		cmocka_unit_test(words_and_variables), cmocka_unit_test(mangled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
