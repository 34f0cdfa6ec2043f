#include <string.h>

#include "conn.h"
#include "keys.h"
#include "str.h"

#define PAGE 1000

static void call_for(struct qt_words *w, const char *function, bool ro, const struct qt_id *tenant, const char *who)
{
	qt_fcall(w, function, ro, qt_key_tenant(tenant).s);
	qt_word(w, tenant->s);
	if (who)
		qt_word(w, who);
}

static int read_vol(const redisReply *r, struct qt_vol *ret, struct qt_err *e)
{
	qt_vol_init(ret);
	if (qt_reply_fields(r, &qt_vol_table, ret, e) == 0)
		return 0;
	qt_vol_done(ret);
	return -1;
}

int qt_store_vol_reserve(struct qt_store *s, const struct qt_vol *v, int64_t deadline_ms, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	struct qt_vol reserved = *v; /* borrows the JSON */

	reserved.deadline_ms = deadline_ms;
	reserved.deleting_ms = 0;
	call_for(&w, "qt_vol_reserve", false, &v->tenant, v->id.s);
	qt_words_fields(&w, &qt_vol_table, &reserved, 0);
	return qt_call_ok(s, &w, e);
}

int qt_store_vol_restore(struct qt_store *s, const struct qt_vol *v, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	call_for(&w, "qt_vol_restore", false, &v->tenant, v->id.s);
	qt_words_fields(&w, &qt_vol_table, v, 0);
	return qt_call_ok(s, &w, e);
}

int qt_store_vol_get(struct qt_store *s, const struct qt_id *tenant, const char *who, struct qt_vol *ret, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;

	if (strlen(who) > QT_VOLNAME_MAX)
		return qt_fail(e, QT_E_VOLUME_NOT_FOUND, "there is no such volume");
	call_for(&w, "qt_vol_get", true, tenant, who);
	qt_words_names(&w, &qt_vol_table);
	r = qt_call(s, &w, 0, e);
	return r ? read_vol(r, ret, e) : -1;
}

/* --- lists -------------------------------------------------------------------------------------------- */

void qt_vol_list_done(struct qt_vol_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		qt_vol_done(&l->v[i]);
	free(l->v);
	memset(l, 0, sizeof(*l));
}

/* The reply is the next cursor and then records, at most MOST. */
static int add_page(struct qt_vol_list *l, const redisReply *r, unsigned most, struct qt_err *e)
{
	struct qt_vol *v;

	if (r->type != REDIS_REPLY_ARRAY || r->elements < 1 || r->elements - 1 > most)
		return qt_reply_bad(e);
	v = reallocarray(l->v, l->n + r->elements, sizeof(*v));
	if (!v)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	l->v = v;
	for (size_t i = 1; i < r->elements; i++) {
		if (read_vol(r->element[i], &l->v[l->n], e) < 0)
			return -1;
		l->n++;
	}
	return qt_reply_text(r->element[0], l->cursor, sizeof(l->cursor), e);
}

/* FUNCTION's pages of OF (a tenant or a node), from CURSOR on: LIMIT records, or all if it is 0. */
static int get_pages(struct qt_store *s, const char *function, const char *key, const char *of, unsigned limit, const char *cursor,
		     struct qt_vol_list *ret, struct qt_err *e)
{
	memset(ret, 0, sizeof(*ret));
	(void)qt_copy(ret->cursor, sizeof(ret->cursor), cursor);
	do {
		auto_words struct qt_words w = {0};
		auto_reply redisReply *r = NULL;
		unsigned most = limit && limit - ret->n < PAGE ? limit - (unsigned)ret->n : PAGE;

		qt_fcall(&w, function, true, key);
		qt_word(&w, of);
		qt_word_i64(&w, most);
		qt_word_own(&w, strdup(ret->cursor));
		qt_words_names(&w, &qt_vol_table);
		r = qt_call(s, &w, 0, e);
		if (!r || add_page(ret, r, most, e) < 0) {
			qt_vol_list_done(ret);
			return -1;
		}
	} while (ret->cursor[0] && (limit == 0 || ret->n < limit));
	return 0;
}

int qt_store_vol_list(struct qt_store *s, const struct qt_id *tenant, unsigned limit, const char *cursor, struct qt_vol_list *ret,
		      struct qt_err *e)
{
	if (strlen(cursor) >= sizeof(ret->cursor))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "the cursor is not one that a list gave out");
	return get_pages(s, "qt_vol_list", qt_key_tenant(tenant).s, tenant->s, limit, cursor, ret, e);
}

int qt_store_vol_of_node(struct qt_store *s, const char *node, struct qt_vol_list *ret, struct qt_err *e)
{
	return get_pages(s, "qt_vol_of_node", "", node, 0, "", ret, e);
}

/* --- changes ------------------------------------------------------------------------------------------ */

static int change(struct qt_store *s, const char *function, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	call_for(&w, function, false, tenant, id->s);
	return qt_call_ok(s, &w, e);
}

int qt_store_vol_commit(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e)
{
	return change(s, "qt_vol_commit", tenant, id, e);
}

int qt_store_vol_deleting(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e)
{
	return change(s, "qt_vol_deleting", tenant, id, e);
}

int qt_store_vol_remove(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e)
{
	return change(s, "qt_vol_remove", tenant, id, e);
}

int qt_store_vol_rename(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, const char *new_name, char *old_name,
			struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;

	call_for(&w, "qt_vol_rename", false, tenant, id->s);
	qt_word(&w, new_name);
	r = qt_call(s, &w, 0, e);
	return r ? qt_reply_text(r, old_name, QT_VOLNAME_MAX + 1, e) : -1;
}

json_t *qt_store_vol_users(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	json_t *ids = json_array();

	call_for(&w, "qt_vol_users", true, tenant, id->s);
	r = qt_call(s, &w, 0, e);
	for (size_t i = 0; r && r->type == REDIS_REPLY_ARRAY && i < r->elements; i++) {
		char text[QT_ID_MAX + 1];

		if (qt_reply_text(r->element[i], text, sizeof(text), e) < 0 || json_array_append_new(ids, json_string(text)) < 0)
			break;
	}
	if (r && r->type == REDIS_REPLY_ARRAY && json_array_size(ids) == r->elements)
		return ids;
	if (r)
		(void)qt_reply_bad(e);
	json_decref(ids);
	return NULL;
}
