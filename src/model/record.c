/* Records, which the runtime keeps and never looks into: the fields as the Redis hash has them, save that JSON stays JSON. One form to learn, and
 * to mend by. */
#include <string.h>

#include "cleanup.h"
#include "fields.h"

static json_t *record_of(const struct qt_mtable *t, const void *base)
{
	json_t *o = json_object();

	for (size_t i = 0; i < t->n; i++) {
		const struct qt_mfield *f = &t->v[i];
		auto_free char *s = NULL;
		json_t *v;

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

char *qt_record_dump(const struct qt_mtable *t, const void *base, size_t max, struct qt_err *e)
{
	json_t *o = record_of(t, base);
	auto_free char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	if (!text) {
		(void)qt_fail(e, QT_E_INTERNAL_ERROR, "the record of a %s cannot be written", t->what);
		return NULL;
	}
	if (strlen(text) > max) {
		(void)qt_fail(e, QT_E_PAYLOAD_TOO_LARGE, "the texts and lists of a %s are too large together: its record has at most %zu bytes",
			      t->what, max);
		return NULL;
	}
	return qt_take(&text);
}

static int load_member(void *base, const struct qt_mfield *f, json_t *v, struct qt_err *e)
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

int qt_record_load(const struct qt_mtable *t, void *base, const char *text, size_t len, size_t max, struct qt_err *e)
{
	json_t *o = len <= max ? json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const char *key;
	json_t *v;
	int r = 0;

	if (!json_is_object(o)) {
		json_decref(o);
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the record of a %s is not a JSON object", t->what);
	}
	/* A member that this version does not know is another version's, and no reason to lose what the record is of. */
	json_object_foreach(o, key, v) {
		const struct qt_mfield *f = qt_field_find(t, key);

		if (f && r == 0)
			r = load_member(base, f, v, e);
	}
	json_decref(o);
	return r < 0 ? -1 : qt_fields_complete(t, base, e);
}
