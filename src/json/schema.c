#include <string.h>

#include "dec.h"

static json_t *schema_of(const struct qt_field *f)
{
	json_t *s = json_object();

	switch (f->kind) {
	case QT_K_STR:
		json_object_set_new(s, "type", json_string("string"));
		json_object_set_new(s, "minLength", json_integer((json_int_t)f->min));
		json_object_set_new(s, "maxLength", json_integer((json_int_t)f->size - 1));
		break;
	case QT_K_U64:
	case QT_K_I64:
		json_object_set_new(s, "type", json_string("integer"));
		json_object_set_new(s, "minimum", json_integer((json_int_t)f->min));
		json_object_set_new(s, "maximum", json_integer((json_int_t)f->max));
		break;
	case QT_K_NUM:
		json_object_set_new(s, "type", json_string("number"));
		json_object_set_new(s, "exclusiveMinimum", json_real(f->dmin));
		json_object_set_new(s, "maximum", json_real(f->dmax));
		break;
	case QT_K_BOOL:
		json_object_set_new(s, "type", json_string("boolean"));
		break;
	case QT_K_STRV:
		json_object_set_new(s, "type", json_string("array"));
		json_object_set_new(s, "items", json_pack("{s:s}", "type", "string"));
		json_object_set_new(s, "minItems", json_integer((json_int_t)f->min));
		json_object_set_new(s, "maxItems", json_integer((json_int_t)f->max));
		break;
	case QT_K_MAP:
		json_object_set_new(s, "type", json_string("object"));
		json_object_set_new(s, "maxProperties", json_integer((json_int_t)f->max));
		if (f->flags & QT_F_NULL_VALUES)
			json_object_set_new(s, "additionalProperties", json_pack("{s:[s,s]}", "type", "string", "null"));
		else
			json_object_set_new(s, "additionalProperties", json_pack("{s:s}", "type", "string"));
		break;
	case QT_K_LIST:
		json_object_set_new(s, "type", json_string("array"));
		json_object_set_new(s, "items", f->sub ? qt_schema(f->sub) : json_pack("{s:s}", "type", "object"));
		json_object_set_new(s, "minItems", json_integer((json_int_t)f->min));
		json_object_set_new(s, "maxItems", json_integer((json_int_t)f->max));
		break;
	case QT_K_ENUM: {
		json_t *words = json_array();

		for (const char *const *w = f->words; *w; w++)
			json_array_append_new(words, json_string(*w));
		json_object_set_new(s, "type", json_string("string"));
		json_object_set_new(s, "enum", words);
		break;
	}
	case QT_K_TEXT:
		json_object_set_new(s, "type", json_string("string"));
		break;
	case QT_K_IGNORE:
	case QT_K_REFUSE:
		break;
	}
	if (f->doc)
		json_object_set_new(s, "description", json_string(f->doc));
	return s;
}

json_t *qt_schema(const struct qt_field *rows)
{
	json_t *schema = json_object(), *props = json_object(), *required = json_array();

	for (const struct qt_field *f = rows; f->name; f++) {
		if (f->kind == QT_K_REFUSE)
			continue;
		json_object_set_new(props, f->name, schema_of(f));
		if (f->flags & QT_F_REQUIRED)
			json_array_append_new(required, json_string(f->name));
	}
	json_object_set_new(schema, "type", json_string("object"));
	json_object_set_new(schema, "properties", props);
	if (json_array_size(required) > 0)
		json_object_set_new(schema, "required", required);
	else
		json_decref(required);
	json_object_set_new(schema, "additionalProperties", json_false());
	return schema;
}
