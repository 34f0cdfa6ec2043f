/* Records: the fields as the Redis hash has them, save that JSON stays JSON. One form to learn, and to mend by. */
#include <string.h>

#include "cleanup.h"
#include "fields.h"

json_t *qt_fields_json(const struct qt_mtable *t, const void *base, unsigned flags)
{
	json_t *o = json_object();

	for (size_t i = 0; i < t->n; i++) {
		const struct qt_mfield *f = &t->v[i];
		auto_free char *s = NULL;
		json_t *v;

		if (flags && !(f->flags & flags))
			continue;
		if (qt_field_is_json(f)) {
			v = json_incref(*qt_field_json(base, f));
		} else {
			s = qt_field_text(base, f);
			v = s ? json_string(s) : NULL;
		}
		if (json_object_set_new(o, f->name, v) < 0) {
			json_decref(o);
			return NULL;
		}
	}
	return o;
}

static int take_one(void *base, const struct qt_mfield *f, json_t *v, struct qt_err *e)
{
	if (qt_field_is_json(f)) {
		json_t **p = qt_field_json(base, f);

		if (!qt_field_fits(f, v))
			return qt_fail(e, QT_E_INTERNAL_ERROR, "a record has a bad %s", f->name);
		json_decref(*p);
		*p = json_incref(v);
		return 0;
	}
	if (!json_is_string(v))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a record has a bad %s", f->name);
	return qt_field_parse(base, f, json_string_value(v), json_string_length(v), e);
}

int qt_fields_take(const struct qt_mtable *t, void *base, const json_t *object, unsigned flags, struct qt_err *e)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)object, key, v) {
		const struct qt_mfield *f = qt_field_find(t, key);

		if (f && (!flags || f->flags & flags) && take_one(base, f, v, e) < 0)
			return -1;
	}
	return 0;
}

char *qt_record_dump(const struct qt_mtable *t, const void *base, size_t max, struct qt_err *e)
{
	json_t *o = qt_fields_json(t, base, 0);
	auto_free char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	if (!text) {
		(void)qt_fail(e, QT_E_INTERNAL_ERROR, "the record of a %s cannot be written", t->what);
		return NULL;
	}
	if (strlen(text) > max) {
		(void)qt_fail(e, QT_E_PAYLOAD_TOO_LARGE,
			      "command, environment, labels and volumes are too large together: the record of a %s has at most %zu bytes",
			      t->what, max);
		return NULL;
	}
	return qt_take(&text);
}

int qt_record_load(const struct qt_mtable *t, void *base, const char *text, size_t len, size_t max, struct qt_err *e)
{
	json_t *o = len <= max ? json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	int r;

	if (!json_is_object(o)) {
		json_decref(o);
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the record of a %s is not a JSON object", t->what);
	}
	r = qt_fields_take(t, base, o, 0, e);
	json_decref(o);
	return r < 0 ? -1 : qt_fields_complete(t, base, e);
}
