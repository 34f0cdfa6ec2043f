#include <stdlib.h>
#include <string.h>

#include "conn.h"
#include "keys.h"
#include "str.h"

static bool ends(enum qt_op_type type)
{
	return type == QT_OPT_CTR_STOP || type == QT_OPT_CTR_DELETE || type == QT_OPT_VOL_DELETE;
}

int qt_store_op_submit(struct qt_store *s, const struct qt_op *o, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	int64_t until_deadline = (o->deadline_ms - o->created_ms) / 1000;

	qt_fcall(&w, ends(o->type) ? "qt_op_submit_end" : "qt_op_submit", false, qt_key_tenant(&o->tenant).s);
	qt_word(&w, o->tenant.s);
	qt_word(&w, o->id.s);
	qt_word(&w, o->node);
	/* Longer than it may take, so that one that no agent ever ends does not stay for good. */
	qt_word_i64(&w, (until_deadline > 0 ? until_deadline : 0) + (int64_t)s->operation_keep_s);
	qt_words_fields(&w, &qt_op_table, o, 0);
	return qt_call_ok(s, &w, e);
}

int qt_reply_op(const redisReply *r, struct qt_op *ret, struct qt_err *e)
{
	qt_op_init(ret);
	if (qt_reply_fields(r, &qt_op_table, ret, e) == 0)
		return 0;
	qt_op_done(ret);
	return -1;
}

int qt_store_op_get(struct qt_store *s, const struct qt_id *tenant, const char *id, struct qt_op *ret, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	struct qt_id op;

	if (!qt_id_parse(&op, "op", id))
		return qt_fail(e, QT_E_OPERATION_NOT_FOUND, "there is no such operation");
	qt_fcall(&w, "qt_op_get", true, qt_key_tenant(tenant).s);
	qt_word(&w, tenant->s);
	qt_word(&w, op.s);
	qt_words_names(&w, &qt_op_table);
	r = qt_call(s, &w, 0, e);
	return r ? qt_reply_op(r, ret, e) : -1;
}

int qt_store_op_cancel(struct qt_store *s, const struct qt_id *tenant, const char *id, struct qt_op *ret, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	struct qt_id op;

	if (!qt_id_parse(&op, "op", id))
		return qt_fail(e, QT_E_OPERATION_NOT_FOUND, "there is no such operation");
	qt_fcall(&w, "qt_op_cancel", false, qt_key_tenant(tenant).s);
	qt_word(&w, tenant->s);
	qt_word(&w, op.s);
	qt_word_i64(&w, (int64_t)s->operation_keep_s);
	qt_words_names(&w, &qt_op_table);
	r = qt_call(s, &w, 0, e);
	if (!r)
		return -1;
	if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 || r->element[0]->type != REDIS_REPLY_INTEGER)
		return qt_reply_bad(e);
	return qt_reply_op(r->element[1], ret, e);
}

/* --- lists -------------------------------------------------------------------------------------------- */

#define LOOKS 4096 /* at one call, so that a rare status does not hold up Redis; the cursor goes on from there */

void qt_op_list_done(struct qt_op_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		qt_op_done(&l->v[i]);
	free(l->v);
	memset(l, 0, sizeof(*l));
}

static int read_list(struct qt_op_list *l, const redisReply *r, unsigned limit, struct qt_err *e)
{
	if (r->type != REDIS_REPLY_ARRAY || r->elements < 1 || r->elements - 1 > limit)
		return qt_reply_bad(e);
	if (qt_reply_text(r->element[0], l->cursor, sizeof(l->cursor), e) < 0)
		return -1;
	l->v = calloc(r->elements, sizeof(*l->v));
	if (!l->v)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	for (size_t i = 1; i < r->elements; i++) {
		if (qt_reply_op(r->element[i], &l->v[l->n], e) < 0)
			return -1;
		l->n++;
	}
	return 0;
}

int qt_store_op_list(struct qt_store *s, const struct qt_id *tenant, int status, unsigned limit, const char *cursor,
		     struct qt_op_list *ret, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;

	memset(ret, 0, sizeof(*ret));
	qt_fcall(&w, "qt_op_list", true, qt_key_tenant(tenant).s);
	qt_word(&w, tenant->s);
	qt_word(&w, status < 0 ? "" : qt_op_status_name((enum qt_op_status)status));
	qt_word_i64(&w, limit);
	qt_word_i64(&w, LOOKS);
	qt_word(&w, cursor);
	qt_words_names(&w, &qt_op_table);
	r = qt_call(s, &w, 0, e);
	if (!r)
		return -1;
	if (read_list(ret, r, limit, e) == 0)
		return 0;
	qt_op_list_done(ret);
	return -1;
}
