#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dec.h"
#include "str.h"

static int bad(const struct qt_field *f, enum qt_code code, const char *ptr, const char *expected, const json_t *got,
	       struct qt_err *e)
{
	if (code == QT_E_UNPROCESSABLE_ENTITY && f->flags & QT_F_BAD_IS_400)
		code = QT_E_VALIDATION_ERROR;
	(void)qt_fail_field(e, code, ptr, expected, "%s must be %s", f->name, expected);
	(void)qt_copy(e->received, sizeof(e->received), got ? qt_json_kind(got) : "nothing");
	if (f->hint)
		e->hint = f->hint;
	e->example = f->example;
	return -1;
}

static bool plain_text(const json_t *s)
{
	const unsigned char *p = (const unsigned char *)json_string_value(s);
	size_t len = json_string_length(s);

	for (size_t i = 0; i < len; i++)
		if (p[i] == 0)
			return false;
	return true;
}

static int dec_str(const struct qt_field *f, const json_t *v, const char *ptr, char *at, struct qt_err *e)
{
	size_t len;
	char want[64];

	if (!json_is_string(v))
		return bad(f, QT_E_UNPROCESSABLE_ENTITY, ptr, "a string", v, e);
	len = json_string_length(v);
	(void)snprintf(want, sizeof(want), "a string of %" PRIu64 " to %zu bytes without NUL", f->min, f->size - 1);
	if (len < f->min || len >= f->size || !plain_text(v)) {
		(void)bad(f, QT_E_VALIDATION_ERROR, ptr, want, v, e);
		(void)snprintf(e->received, sizeof(e->received), "%zu bytes", len);
		return -1;
	}
	if (f->check && f->check(ptr, f->name, json_string_value(v), e) < 0)
		return -1;
	memcpy(at, json_string_value(v), len + 1);
	return 0;
}

static int dec_num(const struct qt_field *f, const json_t *v, const char *ptr, char *at, struct qt_err *e)
{
	char want[96];

	if (f->kind == QT_K_NUM) {
		double d = json_number_value(v);

		(void)snprintf(want, sizeof(want), "a number above %g, at most %g", f->dmin, f->dmax);
		if (!json_is_number(v))
			return bad(f, QT_E_UNPROCESSABLE_ENTITY, ptr, "a number", v, e);
		if (!isfinite(d) || d <= f->dmin || d > f->dmax)
			return bad(f, QT_E_VALIDATION_ERROR, ptr, want, v, e);
		memcpy(at, &d, sizeof(d));
		return 0;
	}
	if (!json_is_integer(v))
		return bad(f, QT_E_UNPROCESSABLE_ENTITY, ptr, "an integer", v, e);

	int64_t i = json_integer_value(v);

	if (f->kind == QT_K_I64) {
		(void)snprintf(want, sizeof(want), "an integer from %" PRId64 " to %" PRId64, (int64_t)f->min, (int64_t)f->max);
		if (i < (int64_t)f->min || i > (int64_t)f->max)
			return bad(f, QT_E_VALIDATION_ERROR, ptr, want, v, e);
		memcpy(at, &i, sizeof(i));
		return 0;
	}
	(void)snprintf(want, sizeof(want), "an integer from %" PRIu64 " to %" PRIu64, f->min, f->max);
	if (i < 0 || (uint64_t)i < f->min || (uint64_t)i > f->max)
		return bad(f, QT_E_VALIDATION_ERROR, ptr, want, v, e);
	memcpy(at, &(uint64_t){(uint64_t)i}, sizeof(uint64_t));
	return 0;
}

static int dec_strv(const struct qt_field *f, const json_t *v, const char *ptr, char *at, struct qt_err *e)
{
	size_t i, bytes = 0;
	json_t *item;
	char want[96], item_ptr[96];

	if (!json_is_array(v))
		return bad(f, QT_E_UNPROCESSABLE_ENTITY, ptr, "an array of strings", v, e);
	(void)snprintf(want, sizeof(want), "an array of %" PRIu64 " to %" PRIu64 " strings", f->min, f->max);
	if (json_array_size(v) < f->min || json_array_size(v) > f->max)
		return bad(f, QT_E_VALIDATION_ERROR, ptr, want, v, e);
	json_array_foreach(v, i, item) {
		(void)snprintf(item_ptr, sizeof(item_ptr), "%.70s/%zu", ptr, i);
		if (!json_is_string(item))
			return bad(f, QT_E_UNPROCESSABLE_ENTITY, item_ptr, "an array of strings", item, e);
		if (!plain_text(item))
			return bad(f, QT_E_VALIDATION_ERROR, item_ptr, "strings without NUL", item, e);
		bytes += json_string_length(item) + 1;
		if (f->check && f->check(item_ptr, f->name, json_string_value(item), e) < 0)
			return -1;
	}
	if (f->size && bytes > f->size) {
		(void)snprintf(want, sizeof(want), "at most %zu bytes in all", f->size);
		return bad(f, QT_E_VALIDATION_ERROR, ptr, want, v, e);
	}
	memcpy(at, &v, sizeof(v));
	return 0;
}

static int dec_map(const struct qt_field *f, const json_t *v, const char *ptr, char *at, struct qt_err *e)
{
	size_t bytes = 0;
	const char *name;
	json_t *item;
	char want[96], item_ptr[96];

	if (!json_is_object(v))
		return bad(f, QT_E_UNPROCESSABLE_ENTITY, ptr, "an object of strings", v, e);
	(void)snprintf(want, sizeof(want), "an object of at most %" PRIu64 " strings", f->max);
	if (json_object_size(v) > f->max)
		return bad(f, QT_E_VALIDATION_ERROR, ptr, want, v, e);
	json_object_foreach((json_t *)(uintptr_t)v, name, item) {
		(void)snprintf(item_ptr, sizeof(item_ptr), "%.40s/%.48s", ptr, name);
		if (json_is_null(item) && f->flags & QT_F_NULL_VALUES)
			continue;
		if (!json_is_string(item))
			return bad(f, QT_E_UNPROCESSABLE_ENTITY, item_ptr, "an object of strings", item, e);
		if (!plain_text(item))
			return bad(f, QT_E_VALIDATION_ERROR, item_ptr, "strings without NUL", item, e);
		bytes += strlen(name) + json_string_length(item) + 2;
		if (f->check && f->check(item_ptr, name, json_string_value(item), e) < 0)
			return -1;
	}
	if (f->size && bytes > f->size) {
		(void)snprintf(want, sizeof(want), "at most %zu bytes in all", f->size);
		return bad(f, QT_E_VALIDATION_ERROR, ptr, want, v, e);
	}
	memcpy(at, &v, sizeof(v));
	return 0;
}

static int dec_enum(const struct qt_field *f, const json_t *v, const char *ptr, char *at, struct qt_err *e)
{
	char want[160] = "";
	size_t n = 0;

	if (!json_is_string(v))
		return bad(f, QT_E_UNPROCESSABLE_ENTITY, ptr, "a string", v, e);
	for (const char *const *w = f->words; *w; w++) {
		if (qt_streq(*w, json_string_value(v))) {
			memcpy(at, w, sizeof(*w));
			return 0;
		}
		n += (size_t)snprintf(want + n, sizeof(want) - n, "%s%s", n ? "; " : "", *w);
		if (n >= sizeof(want))
			n = sizeof(want) - 1;
	}
	(void)qt_fail_field(e, QT_E_UNPROCESSABLE_ENTITY, ptr, want, "there is no %s of that name", f->name);
	(void)snprintf(e->received, sizeof(e->received), "%.60s", json_string_value(v));
	return -1;
}

static int dec_list(const struct qt_field *f, const json_t *v, const char *ptr, char *at, struct qt_err *e)
{
	char want[96];
	size_t i;
	json_t *item;

	if (!json_is_array(v))
		return bad(f, QT_E_UNPROCESSABLE_ENTITY, ptr, "an array of objects", v, e);
	(void)snprintf(want, sizeof(want), "an array of %" PRIu64 " to %" PRIu64 " objects", f->min, f->max);
	if (json_array_size(v) < f->min || json_array_size(v) > f->max)
		return bad(f, QT_E_VALIDATION_ERROR, ptr, want, v, e);
	json_array_foreach(v, i, item)
		if (!json_is_object(item))
			return bad(f, QT_E_UNPROCESSABLE_ENTITY, ptr, "an array of objects", item, e);
	memcpy(at, &v, sizeof(v));
	return 0;
}

static int dec_one(const struct qt_field *f, const json_t *v, const char *ptr, char *base, struct qt_err *e)
{
	char *at = base + f->off;

	switch (f->kind) {
	case QT_K_STR:
		return dec_str(f, v, ptr, at, e);
	case QT_K_U64:
	case QT_K_I64:
	case QT_K_NUM:
		return dec_num(f, v, ptr, at, e);
	case QT_K_BOOL:
		if (!json_is_boolean(v))
			return bad(f, QT_E_UNPROCESSABLE_ENTITY, ptr, "a boolean", v, e);
		*(bool *)at = json_is_true(v);
		return 0;
	case QT_K_STRV:
		return dec_strv(f, v, ptr, at, e);
	case QT_K_MAP:
		return dec_map(f, v, ptr, at, e);
	case QT_K_LIST:
		return dec_list(f, v, ptr, at, e);
	case QT_K_ENUM:
		return dec_enum(f, v, ptr, at, e);
	case QT_K_TEXT:
		if (!json_is_string(v))
			return bad(f, QT_E_UNPROCESSABLE_ENTITY, ptr, "a string", v, e);
		memcpy(at, &v, sizeof(v));
		return 0;
	case QT_K_IGNORE:
		return 0;
	case QT_K_REFUSE:
		(void)qt_fail_field(e, QT_E_VALIDATION_ERROR, ptr, f->example ? f->example : "", "%s is not accepted here",
				    f->name);
		e->hint = f->hint;
		return -1;
	}
	return qt_fail(e, QT_E_INTERNAL_ERROR, "a row without kind");
}

static const struct qt_field *row_of(const struct qt_field *rows, const char *name)
{
	for (const struct qt_field *f = rows; f->name; f++)
		if (qt_streq(f->name, name) || (f->alias && qt_streq(f->alias, name)))
			return f;
	return NULL;
}

static int refuse_unknown(const json_t *root, const struct qt_field *rows, struct qt_err *e)
{
	const char *name;
	json_t *item;

	json_object_foreach((json_t *)(uintptr_t)root, name, item) {
		char ptr[96], want[192] = "";
		size_t n = 0;

		if (row_of(rows, name))
			continue;
		for (const struct qt_field *f = rows; f->name; f++) {
			if (f->kind == QT_K_IGNORE || f->kind == QT_K_REFUSE)
				continue;
			if (n + strlen(f->name) + 2 >= sizeof(want))
				break;
			n += (size_t)snprintf(want + n, sizeof(want) - n, "%s%s", n ? "; " : "", f->name);
		}
		(void)snprintf(ptr, sizeof(ptr), "/%.90s", name);
		(void)qt_fail_field(e, QT_E_UNPROCESSABLE_ENTITY, ptr, n ? want : "no members", "there is no member \"%.64s\"", name);
		(void)qt_copy(e->received, sizeof(e->received), qt_json_kind(item));
		if (n == 0)
			e->hint = "Send no body, or {}.";
		return -1;
	}
	return 0;
}

int qt_decode(const json_t *root, const struct qt_field *rows, void *ret, size_t size, const void *defaults, uint64_t *seen,
	      struct qt_err *e)
{
	if (defaults)
		memcpy(ret, defaults, size);
	else
		memset(ret, 0, size);
	*seen = 0;
	if (refuse_unknown(root, rows, e) < 0)
		return -1;
	for (const struct qt_field *f = rows; f->name; f++) {
		const json_t *v = json_object_get(root, f->name);
		const char *name = f->name;
		char ptr[96];

		if (!v && f->alias) {
			v = json_object_get(root, f->alias);
			name = v ? f->alias : f->name;
		}
		(void)snprintf(ptr, sizeof(ptr), "/%.90s", name);
		if (json_is_null(v) && (f->flags & QT_F_NULL || f->kind == QT_K_REFUSE || f->kind == QT_K_IGNORE))
			continue;
		if (!v) {
			if (f->flags & QT_F_REQUIRED) {
				(void)qt_fail_field(e, QT_E_UNPROCESSABLE_ENTITY, ptr, f->doc ? f->doc : "", "%s is required",
						    f->name);
				(void)qt_copy(e->received, sizeof(e->received), "nothing");
				return -1;
			}
			continue;
		}
		if (dec_one(f, v, ptr, ret, e) < 0)
			return -1;
		*seen |= UINT64_C(1) << (f - rows);
	}
	return 0;
}
