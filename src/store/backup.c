/* The agent's copy of tenants and keys: the fields as text, as Redis has them. */
#include <string.h>

#include "account.h"
#include "str.h"

#define VERSION 1

static json_t *as_json(const struct qt_mtable *t, const void *record)
{
	json_t *o = json_object();

	for (size_t i = 0; i < t->n; i++) {
		auto_free char *text = qt_field_text(record, &t->v[i]);

		if (!text || json_object_set_new(o, t->v[i].name, json_string(text)) < 0) {
			json_decref(o);
			return NULL;
		}
	}
	return o;
}

struct sink {
	const struct qt_mtable *table;
	json_t *list;
	bool bad;
};

static void add(const void *record, void *arg)
{
	struct sink *x = arg;

	if (json_array_append_new(x->list, as_json(x->table, record)) < 0)
		x->bad = true;
}

json_t *qt_store_export(struct qt_store *s, struct qt_err *e)
{
	struct sink tenants = {&qt_tenant_table, json_array(), false}, keys = {&qt_apikey_table, json_array(), false};
	/* The keys first: what is made meanwhile may be a tenant without keys, but no key without its tenant. */
	int r = qt_account_each(s, "qt_key_list", &qt_apikey_table, sizeof(struct qt_apikey), add, &keys, e);
	json_t *copy = NULL;

	if (r == 0)
		r = qt_account_each(s, "qt_tenant_list", &qt_tenant_table, sizeof(struct qt_tenant), add, &tenants, e);
	if (r == 0 && (tenants.bad || keys.bad))
		r = qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	if (r == 0)
		copy = json_pack("{s:i, s:O, s:O}", "version", VERSION, "tenants", tenants.list, "keys", keys.list);
	json_decref(tenants.list);
	json_decref(keys.list);
	return copy;
}

static int read_record(const struct qt_mtable *t, const json_t *o, void *record, struct qt_err *e)
{
	for (size_t i = 0; i < t->n; i++) {
		const json_t *v = json_object_get(o, t->v[i].name);

		if (!v)
			continue;
		if (!json_is_string(v))
			return qt_fail(e, QT_E_INTERNAL_ERROR, "the copy of a %s has a bad %s", t->what, t->v[i].name);
		if (qt_field_parse(record, &t->v[i], json_string_value(v), json_string_length(v), e) < 0)
			return -1;
	}
	return qt_fields_complete(t, record, e);
}

static int put_tenant(struct qt_store *s, const json_t *o, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	struct qt_tenant t = {0};
	const char *plan = json_string_value(json_object_get(o, "plan"));

	/* Quotas that an older version did not write are those of the plan. */
	if (qt_tenant_set_plan(&t, plan ? plan : "", &(struct qt_err){0}) < 0)
		(void)qt_copy(t.plan, sizeof(t.plan), "");
	if (read_record(&qt_tenant_table, o, &t, e) < 0)
		return -1;
	qt_fcall(&w, "qt_tenant_restore", false, "");
	qt_word(&w, t.id.s);
	qt_words_fields(&w, &qt_tenant_table, &t, 0);
	return qt_call_ok(s, &w, e);
}

static int put_key(struct qt_store *s, const json_t *o, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	struct qt_apikey k = {0};

	if (read_record(&qt_apikey_table, o, &k, e) < 0)
		return -1;
	if (strlen(k.sha256) != 64 || strspn(k.sha256, "0123456789abcdef") != 64)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the copy of a key has a bad sha256");
	qt_fcall(&w, "qt_key_restore", false, "");
	qt_word(&w, k.sha256);
	qt_word(&w, k.revoked ? "1" : "0");
	qt_words_fields(&w, &qt_apikey_table, &k, 0);
	return qt_call_ok(s, &w, e);
}

int qt_store_import(struct qt_store *s, const json_t *copy, struct qt_err *e)
{
	const json_t *tenants = json_object_get(copy, "tenants"), *keys = json_object_get(copy, "keys");
	auto_words struct qt_words w = {0};

	if (json_integer_value(json_object_get(copy, "version")) != VERSION || !json_is_array(tenants) || !json_is_array(keys))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the copy of tenants and keys has not the form that it should");
	/* Whose key is taken has a tenant; then the mark that says "the store is whole": until it is there, no key is called unknown. */
	for (size_t i = 0; i < json_array_size(tenants); i++)
		if (put_tenant(s, json_array_get(tenants, i), e) < 0)
			return -1;
	for (size_t i = 0; i < json_array_size(keys); i++)
		if (put_key(s, json_array_get(keys, i), e) < 0)
			return -1;
	qt_fcall(&w, "qt_schema", false, "");
	return qt_call_ok(s, &w, e);
}
