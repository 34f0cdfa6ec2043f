#include "conn.h"
#include "keys.h"
#include "str.h"

int qt_store_node_beat(struct qt_store *s, const char *node, const json_t *facts, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	const char *key;
	json_t *v;

	qt_fcall(&w, "qt_node_beat", false, "");
	qt_word(&w, node);
	json_object_foreach((json_t *)(uintptr_t)facts, key, v) {
		qt_word(&w, key);
		if (json_is_string(v))
			qt_word(&w, json_string_value(v));
		else
			qt_word_own(&w, json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY));
	}
	return qt_call_ok(s, &w, e);
}

int qt_store_node_gpus(struct qt_store *s, const char *node, const json_t *gpus, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	qt_fcall(&w, "qt_node_gpus", false, "");
	qt_word(&w, node);
	qt_word_own(&w, json_dumps(gpus, JSON_COMPACT));
	return qt_call_ok(s, &w, e);
}

json_t *qt_store_node_gpus_get(struct qt_store *s, const char *node, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	json_t *gpus;

	qt_fcall(&w, "qt_node_gpus_get", true, "");
	qt_word(&w, node);
	r = qt_call(s, &w, 0, e);
	if (!r)
		return NULL;
	gpus = json_object();
	for (size_t i = 0; r->type == REDIS_REPLY_ARRAY && i + 1 < r->elements; i += 2) {
		const redisReply *id = r->element[i], *who = r->element[i + 1];

		if (id->type != REDIS_REPLY_STRING || who->type != REDIS_REPLY_STRING ||
		    json_object_set_new(gpus, id->str, json_stringn(who->str, who->len)) < 0) {
			json_decref(gpus);
			return (void)qt_reply_bad(e), NULL;
		}
	}
	return gpus;
}

int qt_store_node_age(struct qt_store *s, const char *node, int64_t *ret_ms, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;

	qt_fcall(&w, "qt_node_age", true, "");
	qt_word(&w, node);
	r = qt_call(s, &w, 0, e);
	if (!r)
		return -1;
	if (r->type != REDIS_REPLY_INTEGER || r->integer < 0)
		return qt_reply_bad(e);
	*ret_ms = r->integer;
	return 0;
}

/* Version, then tenant, address and name of each; or the version alone. */
static int give_names(const redisReply *r, uint64_t *version, void (*fn)(const struct qt_name *n, void *arg), void *arg, struct qt_err *e)
{
	char tenant[QT_ID_MAX + 1], ip[16], name[QT_NAME_MAX + 1];

	if (r->type != REDIS_REPLY_ARRAY || r->elements < 1 || r->elements % 3 != 1 || r->element[0]->type != REDIS_REPLY_INTEGER ||
	    r->element[0]->integer < 0)
		return qt_reply_bad(e);
	for (size_t i = 1; i < r->elements; i += 3) {
		struct qt_name n = {.ip = ip, .name = name};

		if (qt_reply_text(r->element[i], tenant, sizeof(tenant), e) < 0 || qt_reply_text(r->element[i + 1], ip, sizeof(ip), e) < 0 ||
		    qt_reply_text(r->element[i + 2], name, sizeof(name), e) < 0 || !qt_id_parse(&n.tenant, "ten", tenant))
			return qt_reply_bad(e);
		fn(&n, arg);
	}
	*version = (uint64_t)r->element[0]->integer;
	return 1;
}

int qt_store_names(struct qt_store *s, const char *node, uint64_t *version, void (*fn)(const struct qt_name *n, void *arg), void *arg,
		   struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;

	qt_fcall(&w, "qt_names", true, "");
	qt_word(&w, node);
	qt_word_i64(&w, (int64_t)*version);
	r = qt_call(s, &w, 0, e);
	if (!r)
		return -1;
	return r->type == REDIS_REPLY_NIL ? 0 : give_names(r, version, fn, arg, e);
}

int qt_store_event(struct qt_store *s, const struct qt_id *tenant, const char *kind, const json_t *data, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	qt_fcall(&w, "qt_event", false, qt_key_tenant(tenant).s);
	qt_word(&w, tenant->s);
	qt_word(&w, kind);
	qt_word_own(&w, json_dumps(data, JSON_COMPACT));
	return qt_call_ok(s, &w, e);
}
