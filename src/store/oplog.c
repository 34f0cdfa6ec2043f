#include <string.h>

#include "conn.h"
#include "keys.h"
#include "num.h"
#include "str.h"

int qt_store_op_log(struct qt_store *s, const struct qt_op *o, const char *stream, unsigned step, const char *text, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	int64_t until_deadline = (o->deadline_ms - o->created_ms) / 1000;

	qt_fcall(&w, "qt_op_log", false, qt_key_tenant(&o->tenant).s);
	qt_word(&w, o->tenant.s);
	qt_word(&w, o->id.s);
	qt_word_i64(&w, (until_deadline > 0 ? until_deadline : 0) + (int64_t)s->operation_keep_s);
	qt_word(&w, stream);
	qt_word_i64(&w, step);
	qt_word(&w, text);
	return qt_call_ok(s, &w, e);
}

/* "1700000000000-3": milliseconds, and a number among those. */
static bool cursor_ok(const char *text, int64_t *ret_ms)
{
	size_t n = strspn(text, "0123456789");
	char ms[24];

	return n > 0 && n < 20 && (text[n] == '\0' || (text[n] == '-' && text[n + 1] && strspn(text + n + 1, "0123456789") == strlen(text + n + 1) &&
						      strlen(text + n + 1) < 20)) &&
	       qt_fmt(ms, sizeof(ms), "%.*s", (int)n, text) && qt_i64(ret_ms, ms, 0, INT64_MAX / 2);
}

int qt_store_op_log_read(struct qt_store *s, const struct qt_id *tenant, const char *id, const char *after, unsigned most, enum qt_op_status *ret_status,
			 json_t **ret, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	struct qt_id op;
	json_t *lines;
	int64_t ms;

	if (!qt_id_parse(&op, "op", id))
		return qt_fail(e, QT_E_OPERATION_NOT_FOUND, "there is no such operation");
	if (*after && !cursor_ok(after, &ms))
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "after", "the member \"next\" of an answer before", "this is no place in a log");
	qt_fcall(&w, "qt_op_log_read", true, qt_key_tenant(tenant).s);
	qt_word(&w, tenant->s);
	qt_word(&w, op.s);
	qt_word_i64(&w, most);
	qt_word(&w, *after ? after : "0-0");
	r = qt_call(s, &w, 0, e);
	if (!r)
		return -1;
	if (r->type != REDIS_REPLY_ARRAY || r->elements % 4 != 1 || r->element[0]->type != REDIS_REPLY_STRING ||
	    !qt_op_status_parse(ret_status, r->element[0]->str))
		return qt_reply_bad(e);
	lines = json_array();
	for (size_t i = 1; i < r->elements; i += 4) {
		const redisReply *const *v = (const redisReply *const *)&r->element[i];
		uint32_t step;

		if (v[0]->type != REDIS_REPLY_STRING || v[1]->type != REDIS_REPLY_STRING || v[2]->type != REDIS_REPLY_STRING ||
		    v[3]->type != REDIS_REPLY_STRING || !cursor_ok(v[0]->str, &ms) || !qt_u32(&step, v[2]->str, 0, UINT32_MAX)) {
			json_decref(lines);
			return qt_reply_bad(e);
		}
		json_array_append_new(lines, json_pack("{s:s, s:I, s:s, s:I, s:o}", "cursor", v[0]->str, "timestamp_ms", (json_int_t)ms, "stream", v[1]->str,
						       "step", (json_int_t)step, "message", json_stringn(v[3]->str, v[3]->len)));
	}
	*ret = lines;
	return 0;
}
