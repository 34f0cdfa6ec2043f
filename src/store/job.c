#include <string.h>

#include "conn.h"
#include "keys.h"
#include "str.h"

/* A record in Redis, and a text in it. The answer to the exec has all the output; a job is for who comes later. */
#define JOB_BYTES  32768
#define TEXT_BYTES 12288
#define LIST_MAX   1000

/* O's member NAME cut to MOST bytes, at a character. */
static bool cut(json_t *o, const char *name, size_t most)
{
	const json_t *v = json_object_get(o, name);

	if (!json_is_string(v) || json_string_length(v) <= most)
		return false;
	return json_object_set_new(o, name, json_stringn(json_string_value(v), qt_utf8_span(json_string_value(v), most))) == 0;
}

/* The text of RECORD, or of a copy whose texts are cut until it fits. free(). */
static char *bounded(const json_t *record)
{
	static const char *const texts[] = {"stdout", "stderr", "command"};
	json_t *o = json_copy((json_t *)(uintptr_t)record);
	char *text = NULL;
	bool shorter = false;

	for (size_t most = TEXT_BYTES; o && most > 0; most /= 2) {
		for (size_t i = 0; i < QT_LEN(texts); i++)
			shorter |= cut(o, texts[i], most);
		if (shorter && json_object_set_new(o, "output_truncated", json_true()) < 0)
			break;
		text = json_dumps(o, JSON_COMPACT);
		if (!text || strlen(text) <= JOB_BYTES)
			break;
		free(text);
		text = NULL;
	}
	json_decref(o);
	return text;
}

static int put(struct qt_words *w, const struct qt_store *s, const struct qt_id *tenant, const struct qt_id *ctr, const char *job_id, const json_t *record,
	       struct qt_err *e)
{
	const char *status = json_string_value(json_object_get(record, "status"));
	struct qt_id id;

	if (!qt_id_parse(&id, NULL, job_id))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a job's id is none");
	qt_fcall(w, "qt_job_put", false, qt_key_tenant(tenant).s);
	qt_word(w, tenant->s);
	qt_word(w, ctr->s);
	qt_word_own(w, strdup(id.s));
	qt_word_own(w, bounded(record));
	qt_word_i64(w, (int64_t)s->operation_keep_s);
	qt_word(w, qt_streq(status ? status : "", "running") ? "1" : "0");
	return 0;
}

int qt_store_job_put(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *ctr, const char *job_id, const json_t *record,
		     struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	return put(&w, s, tenant, ctr, job_id, record, e) < 0 ? -1 : qt_call_ok(s, &w, e);
}

int qt_store_job_post(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *ctr, const char *job_id, const json_t *record,
		      struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	return put(&w, s, tenant, ctr, job_id, record, e) < 0 ? -1 : qt_post(s, &w, e);
}

static json_t *parse(const redisReply *r, struct qt_err *e)
{
	json_t *o = r->type == REDIS_REPLY_STRING ? json_loadb(r->str, r->len, JSON_REJECT_DUPLICATES, NULL) : NULL;

	if (json_is_object(o))
		return o;
	json_decref(o);
	(void)qt_reply_bad(e);
	return NULL;
}

json_t *qt_store_job_get(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *ctr, const char *job_id, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	struct qt_id id;

	if (!qt_id_parse(&id, "job", job_id)) {
		(void)qt_fail(e, QT_E_JOB_NOT_FOUND, "there is no such job");
		return NULL;
	}
	qt_fcall(&w, "qt_job_get", true, qt_key_tenant(tenant).s);
	qt_word(&w, tenant->s);
	qt_word(&w, ctr->s);
	qt_word(&w, id.s);
	r = qt_call(s, &w, 0, e);
	return r ? parse(r, e) : NULL;
}

json_t *qt_store_job_list(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *ctr, bool running, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	json_t *list, *o;

	qt_fcall(&w, "qt_job_list", true, qt_key_tenant(tenant).s);
	qt_word(&w, tenant->s);
	qt_word(&w, ctr->s);
	qt_word_i64(&w, LIST_MAX);
	qt_word(&w, running ? "1" : "0");
	r = qt_call(s, &w, 0, e);
	if (!r)
		return NULL;
	if (r->type != REDIS_REPLY_ARRAY) {
		(void)qt_reply_bad(e);
		return NULL;
	}
	list = json_array();
	for (size_t i = 0; i < r->elements; i++) {
		o = parse(r->element[i], e);
		if (!o || json_array_append_new(list, o) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}
