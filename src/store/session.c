#include "session_store.h"

#include "conn.h"
#include "keys.h"
#include "str.h"

static void begin(struct qt_words *w, const char *function, bool ro, const struct qt_id *tenant)
{
	qt_fcall(w, function, ro, qt_key_sessions(tenant).s);
	qt_word(w, tenant->s);
}

int qt_store_session_put(struct qt_store *s, const struct qt_session *x, uint64_t most, int64_t due_ms, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	begin(&w, "qt_session_put", false, &x->tenant);
	qt_word(&w, x->id.s);
	qt_word_i64(&w, (int64_t)most);
	qt_word_i64(&w, due_ms);
	qt_word_i64(&w, x->created_ms);
	qt_word(&w, x->node);
	qt_words_fields(&w, &qt_session_table, x, 0);
	return qt_call_ok(s, &w, e);
}

int qt_store_session_touch(struct qt_store *s, const struct qt_session *x, int64_t due_ms, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	begin(&w, "qt_session_touch", false, &x->tenant);
	qt_word(&w, x->id.s);
	qt_word_i64(&w, due_ms);
	qt_word(&w, x->node);
	qt_words_fields(&w, &qt_session_table, x, QT_CF_RUN);
	return qt_call_ok(s, &w, e);
}

static int read_session(const redisReply *r, struct qt_session *ret, struct qt_err *e)
{
	struct qt_session x = {0};

	if (qt_reply_fields(r, &qt_session_table, &x, e) < 0)
		return -1;
	*ret = x;
	return 0;
}

int qt_store_session_get(struct qt_store *s, const struct qt_id *tenant, const char *id, struct qt_session *ret, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	struct qt_id x;

	if (!qt_id_parse(&x, "sess", id))
		return qt_fail(e, QT_E_SESSION_NOT_FOUND, "there is no such terminal session");
	begin(&w, "qt_session_get", true, tenant);
	qt_word(&w, x.s);
	qt_words_names(&w, &qt_session_table);
	r = qt_call(s, &w, 0, e);
	return r ? read_session(r, ret, e) : -1;
}

int qt_store_session_each(struct qt_store *s, const struct qt_id *tenant, void (*fn)(const struct qt_session *x, void *arg), void *arg,
			  struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;

	begin(&w, "qt_session_list", true, tenant);
	qt_words_names(&w, &qt_session_table);
	r = qt_call(s, &w, 0, e);
	if (!r)
		return -1;
	if (r->type != REDIS_REPLY_ARRAY)
		return qt_reply_bad(e);
	for (size_t i = 0; i < r->elements; i++) {
		struct qt_session x;

		if (read_session(r->element[i], &x, e) < 0)
			return -1;
		fn(&x, arg);
	}
	return 0;
}

int qt_store_session_remove(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	begin(&w, "qt_session_remove", false, tenant);
	qt_word(&w, id->s);
	return qt_call_ok(s, &w, e);
}

int qt_store_sessions_due(struct qt_store *s, const char *node, int64_t now_ms, struct qt_session_name *ret, unsigned most, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;

	qt_fcall(&w, "qt_sessions_due", true, "");
	qt_word(&w, node);
	qt_word_i64(&w, now_ms);
	qt_word_i64(&w, most);
	r = qt_call(s, &w, 0, e);
	if (!r)
		return -1;
	if (r->type != REDIS_REPLY_ARRAY || r->elements % 2 || r->elements / 2 > most)
		return qt_reply_bad(e);
	for (size_t i = 0; i < r->elements; i += 2) {
		char tenant[QT_ID_MAX + 1], id[QT_ID_MAX + 1];

		if (qt_reply_text(r->element[i], tenant, sizeof(tenant), e) < 0 || qt_reply_text(r->element[i + 1], id, sizeof(id), e) < 0)
			return -1;
		if (!qt_id_parse(&ret[i / 2].tenant, "ten", tenant) || !qt_id_parse(&ret[i / 2].id, "sess", id))
			return qt_reply_bad(e);
	}
	return (int)(r->elements / 2);
}

int qt_store_sessions_reset(struct qt_store *s, const char *node, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	qt_fcall(&w, "qt_sessions_reset", false, "");
	qt_word(&w, node);
	return qt_call_ok(s, &w, e);
}
