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
		(void)qt_fail(e, QT_E_BAD_REQUEST, "the body is not JSON: line %d: %s", je.line, je.text);
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
