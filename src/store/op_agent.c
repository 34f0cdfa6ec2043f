/* Operations, the agent's side: entries of the node's stream, claims, leases. */
#include <string.h>

#include "clock.h"
#include "conn.h"
#include "keys.h"
#include "str.h"

#define GROUP "agent"

static int make_group(struct qt_store *s, const char *stream, struct qt_err *e)
{
	static const char *const words[] = {"XGROUP", "CREATE"};
	auto_words struct qt_words w = {0};

	for (size_t i = 0; i < QT_LEN(words); i++)
		qt_word(&w, words[i]);
	qt_word(&w, stream);
	qt_word(&w, GROUP);
	qt_word(&w, "0"); /* from the first entry on: what was submitted before there was a group */
	qt_word(&w, "MKSTREAM");
	if (qt_call_ok(s, &w, e) == 0)
		return 0;
	if (!qt_streq(s->word, "BUSYGROUP"))
		return -1;
	qt_err_reset(e);
	return 0;
}

/* What is in an entry: { id, { "tenant", t, "op", o } }. One of another form has empty texts, and goes when it is claimed. */
struct place {
	char entry[40], tenant[QT_ID_MAX + 1], op[QT_ID_MAX + 1];
};

static int read_place(const redisReply *r, struct place *p, struct qt_err *e)
{
	struct qt_err off = {0};
	const redisReply *f;
	struct qt_id id;

	memset(p, 0, sizeof(*p));
	if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 ||
	    qt_reply_text(r->element[0], p->entry, sizeof(p->entry), &off) < 0)
		return qt_reply_bad(e);
	f = r->element[1];
	if (f->type == REDIS_REPLY_ARRAY && f->elements == 4 &&
	    qt_reply_text(f->element[1], p->tenant, sizeof(p->tenant), &off) == 0 &&
	    qt_reply_text(f->element[3], p->op, sizeof(p->op), &off) == 0 && qt_id_parse(&id, "ten", p->tenant) &&
	    qt_id_parse(&id, "op", p->op))
		return 1;
	p->tenant[0] = p->op[0] = '\0';
	return 1;
}

/* Element I of R, which is an array that has one; NULL otherwise. */
static const redisReply *element(const redisReply *r, size_t i)
{
	return r && r->type == REDIS_REPLY_ARRAY && r->elements > i ? r->element[i] : NULL;
}

static int abandoned(struct qt_store *s, const char *stream, const char *consumer, int lease_ms, struct place *p, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	const redisReply *list;

	qt_word(&w, "XAUTOCLAIM");
	qt_word(&w, stream);
	qt_word(&w, GROUP);
	qt_word(&w, consumer);
	qt_word_i64(&w, lease_ms);
	qt_word(&w, "0-0");
	qt_word(&w, "COUNT");
	qt_word(&w, "1");
	r = qt_call(s, &w, 0, e);
	if (!r)
		return -1;
	list = element(r, 1);
	if (!list || list->type != REDIS_REPLY_ARRAY)
		return qt_reply_bad(e);
	return list->elements == 0 ? 0 : read_place(list->element[0], p, e);
}

static int fresh(struct qt_store *s, const char *stream, const char *consumer, int wait_ms, struct place *p, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	const redisReply *entry;

	qt_word(&w, "XREADGROUP");
	qt_word(&w, "GROUP");
	qt_word(&w, GROUP);
	qt_word(&w, consumer);
	qt_word(&w, "COUNT");
	qt_word(&w, "1");
	if (wait_ms > 0) {
		qt_word(&w, "BLOCK");
		qt_word_i64(&w, wait_ms);
	}
	qt_word(&w, "STREAMS");
	qt_word(&w, stream);
	qt_word(&w, ">");
	r = qt_call(s, &w, wait_ms, e);
	if (!r)
		return -1;
	if (r->type == REDIS_REPLY_NIL)
		return 0;
	entry = element(element(element(r, 0), 1), 0);
	return entry ? read_place(entry, p, e) : qt_reply_bad(e);
}

/* Abandoned entries first when it is time to look for them, so that a steady flow of new ones cannot hide them. */
static int find(struct qt_store *s, const char *stream, const char *consumer, int wait_ms, int lease_ms, struct place *p,
		struct qt_err *e)
{
	bool looked = false;
	int r = 0;

	if (s->claimed_at == 0 || qt_mono_ms() - s->claimed_at >= lease_ms) {
		r = abandoned(s, stream, consumer, lease_ms, p, e);
		looked = true;
		if (r == 0)
			s->claimed_at = qt_mono_ms();
	}
	if (r == 0)
		r = fresh(s, stream, consumer, wait_ms, p, e);
	if (r == 0 && !looked)
		r = abandoned(s, stream, consumer, lease_ms, p, e);
	return r;
}

/* 1: it is ours; 0: it is over, or in other hands. */
static int claim(struct qt_store *s, const char *node, const struct place *p, const char *consumer, int lease_ms, bool now,
		 struct qt_op_entry *ret, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	const redisReply *token;

	qt_fcall(&w, "qt_op_claim", false, qt_key_node_ops(node).s);
	qt_word(&w, node);
	qt_word(&w, p->entry);
	qt_word(&w, consumer);
	qt_word_i64(&w, lease_ms);
	qt_word(&w, now ? "1" : "0");
	qt_word(&w, p->tenant);
	qt_word(&w, p->op);
	qt_words_names(&w, &qt_op_table);
	r = qt_call(s, &w, 0, e);
	if (!r && e->code == QT_E_CONFLICT) {
		qt_err_reset(e);
		return 0;
	}
	if (!r)
		return -1;
	token = element(r, 0);
	if (!token || token->type != REDIS_REPLY_INTEGER || token->integer <= 0 || !element(r, 1))
		return qt_reply_bad(e);
	if (qt_reply_op(r->element[1], &ret->op, e) < 0)
		return -1;
	ret->token = (uint64_t)token->integer;
	(void)qt_copy(ret->entry, sizeof(ret->entry), p->entry);
	ret->begun = now;
	return 1;
}

int qt_store_op_next(struct qt_store *s, const char *node, const char *consumer, int wait_ms, int lease_ms, bool now, const struct qt_op_held *held,
		     struct qt_op_entry *ret, struct qt_err *e)
{
	struct qt_key stream = qt_key_node_ops(node);
	struct place p;
	int r;

	s->word[0] = '\0';
	r = find(s, stream.s, consumer, wait_ms, lease_ms, &p, e);
	/* The first agent of this node, or somebody flushed the store. */
	if (r < 0 && (qt_streq(s->word, "NOGROUP") || qt_streq(s->word, "UNBLOCKED"))) {
		qt_err_reset(e);
		if (make_group(s, stream.s, e) < 0)
			return -1;
		r = find(s, stream.s, consumer, wait_ms, lease_ms, &p, e);
	}
	if (r > 0 && held && held->is(held->arg, p.op))
		return 0;
	return r > 0 ? claim(s, node, &p, consumer, lease_ms, now, ret, e) : r;
}

int qt_store_op_orphan(struct qt_store *s, const char *node, const char *consumer, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	qt_fcall(&w, "qt_op_orphan", false, qt_key_node_ops(node).s);
	qt_word(&w, node);
	qt_word(&w, consumer);
	return qt_call_ok(s, &w, e);
}

static void call_held(struct qt_words *w, const char *function, bool ro, const struct qt_op_entry *x)
{
	qt_fcall(w, function, ro, qt_key_node_ops(x->op.node).s);
	qt_word(w, x->op.node);
	qt_word(w, x->entry);
	qt_word(w, x->op.tenant.s);
	qt_word(w, x->op.id.s);
	qt_word_i64(w, (int64_t)x->token);
}

int qt_store_op_begin(struct qt_store *s, struct qt_op_entry *x, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	struct qt_op now;

	if (x->begun)
		return 0;
	call_held(&w, "qt_op_begin", false, x);
	qt_words_names(&w, &qt_op_table);
	r = qt_call(s, &w, 0, e);
	if (!r || qt_reply_op(r, &now, e) < 0)
		return -1;
	qt_op_done(&x->op);
	x->op = now;
	x->begun = true;
	return 0;
}

int qt_store_op_renew(struct qt_store *s, const struct qt_op_entry *x, int lease_ms, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	call_held(&w, "qt_op_renew", false, x);
	qt_word_i64(&w, lease_ms);
	return qt_call_ok(s, &w, e);
}

static int asked(struct qt_store *s, struct qt_words *w, struct qt_err *e)
{
	auto_reply redisReply *r = qt_call(s, w, 0, e);

	if (!r)
		return -1;
	return r->type == REDIS_REPLY_INTEGER ? r->integer == 1 : qt_reply_bad(e);
}

int qt_store_op_progress(struct qt_store *s, const struct qt_op_entry *x, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	call_held(&w, "qt_op_progress", false, x);
	qt_words_fields(&w, &qt_op_table, &x->op, QT_CF_RUN);
	return asked(s, &w, e);
}

int qt_store_op_asked(struct qt_store *s, const struct qt_op_entry *x, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	call_held(&w, "qt_op_asked", true, x);
	return asked(s, &w, e);
}

int qt_store_op_finish(struct qt_store *s, const struct qt_op_entry *x, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	if (!qt_op_final(x->op.status))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "operation %s cannot end as %s", x->op.id.s,
			       qt_op_status_name(x->op.status));
	call_held(&w, "qt_op_finish", false, x);
	qt_word_i64(&w, (int64_t)s->operation_keep_s);
	qt_words_fields(&w, &qt_op_table, &x->op, QT_CF_RUN);
	return qt_call_ok(s, &w, e);
}

int qt_store_op_overdue(struct qt_store *s, int64_t grace_ms, int64_t gone_ms, unsigned *ret, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;

	qt_fcall(&w, "qt_op_overdue", false, "");
	qt_word_i64(&w, grace_ms);
	qt_word_i64(&w, gone_ms);
	qt_word_i64(&w, (int64_t)s->operation_keep_s);
	r = qt_call(s, &w, 0, e);
	if (!r)
		return -1;
	if (r->type != REDIS_REPLY_INTEGER || r->integer < 0)
		return qt_reply_bad(e);
	*ret = (unsigned)r->integer;
	return 0;
}
