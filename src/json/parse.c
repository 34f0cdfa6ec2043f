#include <stdio.h>
#include <string.h>

#include "dec.h"

/* jansson's parser recurses; its own bound (2048) is more than a request has any use for. Depth is counted on the text,
 * outside of strings, before it is parsed. */
static bool too_deep(const char *s, size_t len)
{
	unsigned depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++) {
		if (in_string) {
			if (s[i] == '\\')
				i++;
			else if (s[i] == '"')
				in_string = false;
		} else if (s[i] == '"') {
			in_string = true;
		} else if (s[i] == '{' || s[i] == '[') {
			if (++depth > QT_JSON_DEPTH)
				return true;
		} else if ((s[i] == '}' || s[i] == ']') && depth > 0) {
			depth--;
		}
	}
	return false;
}

static const char *kind_name(const json_t *j)
{
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		return "object";
	case JSON_ARRAY:
		return "array";
	case JSON_STRING:
		return "string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "boolean";
	case JSON_NULL:
		return "null";
	}
	return "nothing";
}

const char *qt_json_kind(const json_t *j)
{
	return kind_name(j);
}

/* jansson's own words are about its flags and its parser; a client knows neither. It takes a NUL byte for the end. */
static const char *complaint(const json_error_t *je, const char *text, size_t len)
{
	switch (json_error_code(je)) {
	case json_error_premature_end_of_input:
		return len > 0 && memchr(text, '\0', len) ? "a syntax error" : "it ends too early";
	case json_error_end_of_input_expected:
		return "something follows its end";
	case json_error_invalid_utf8:
		return "a text is not UTF-8";
	case json_error_duplicate_key:
		return "a member is there twice";
	case json_error_numeric_overflow:
		return "a number is past its range";
	case json_error_null_character:
	case json_error_null_byte_in_key:
		return "a text holds NUL (\\u0000)";
	default:
		return "a syntax error";
	}
}

json_t *qt_json_parse(const char *text, size_t len, bool empty_ok, struct qt_err *e)
{
	json_error_t je;
	json_t *j;

	if (len == 0 && empty_ok)
		return json_object();
	if (too_deep(text, len)) {
		(void)qt_fail(e, QT_E_BAD_REQUEST, "the body is nested more than %d deep", QT_JSON_DEPTH);
		return NULL;
	}
	j = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
	if (!j) {
		(void)qt_fail(e, QT_E_BAD_REQUEST, "the body is not acceptable JSON: line %d, column %d: %s", je.line, je.column,
			      complaint(&je, text, len));
		return NULL;
	}
	if (!json_is_object(j)) {
		(void)qt_fail_field(e, QT_E_UNPROCESSABLE_ENTITY, "", "object", "the body must be a JSON object");
		(void)snprintf(e->received, sizeof(e->received), "%s", kind_name(j));
		json_decref(j);
		return NULL;
	}
	return j;
}
