#include <string.h>

#include "conn.h"
#include "imgs.h"
#include "keys.h"
#include "str.h"

#define PAGE 500

static void call_for(struct qt_words *w, const char *function, bool ro, const struct qt_id *tenant, const char *who)
{
	qt_fcall(w, function, ro, qt_key_tenant(tenant).s);
	qt_word(w, tenant->s);
	if (who)
		qt_word(w, who);
}

static int read_img(const redisReply *r, struct qt_img *ret, struct qt_err *e)
{
	qt_img_init(ret);
	if (qt_reply_fields(r, &qt_img_table, ret, e) == 0)
		return 0;
	qt_img_done(ret);
	return -1;
}

int qt_store_img_room(struct qt_store *s, const struct qt_id *tenant, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	call_for(&w, "qt_img_room", true, tenant, NULL);
	return qt_call_ok(s, &w, e);
}

static int write_whole(struct qt_store *s, const char *function, const struct qt_img *i, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	call_for(&w, function, false, &i->tenant, i->id.s);
	qt_words_fields(&w, &qt_img_table, i, 0);
	return qt_call_ok(s, &w, e);
}

int qt_store_img_put(struct qt_store *s, const struct qt_img *i, struct qt_err *e)
{
	return write_whole(s, "qt_img_put", i, e);
}

int qt_store_img_restore(struct qt_store *s, const struct qt_img *i, struct qt_err *e)
{
	return write_whole(s, "qt_img_restore", i, e);
}

int qt_store_img_remove(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	call_for(&w, "qt_img_remove", false, tenant, id->s);
	return qt_call_ok(s, &w, e);
}

int qt_store_img_get(struct qt_store *s, const struct qt_id *tenant, const char *who, struct qt_img *ret, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;

	call_for(&w, "qt_img_get", true, tenant, who);
	qt_words_names(&w, &qt_img_table);
	r = qt_call(s, &w, 0, e);
	return r ? read_img(r, ret, e) : -1;
}

/* --- lists -------------------------------------------------------------------------------------------- */

void qt_img_list_done(struct qt_img_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		qt_img_done(&l->v[i]);
	free(l->v);
	memset(l, 0, sizeof(*l));
}

/* The reply is the next cursor and then records. */
static int add_page(struct qt_img_list *l, const redisReply *r, struct qt_err *e)
{
	struct qt_img *v;

	if (r->type != REDIS_REPLY_ARRAY || r->elements < 1 || r->elements - 1 > PAGE)
		return qt_reply_bad(e);
	v = reallocarray(l->v, l->n + r->elements, sizeof(*v));
	if (!v)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	l->v = v;
	for (size_t i = 1; i < r->elements; i++) {
		if (read_img(r->element[i], &l->v[l->n], e) < 0)
			return -1;
		l->n++;
	}
	return qt_reply_text(r->element[0], l->cursor, sizeof(l->cursor), e);
}

static int get_all(struct qt_store *s, const char *function, const char *key, const char *of, struct qt_img_list *ret, struct qt_err *e)
{
	memset(ret, 0, sizeof(*ret));
	do {
		auto_words struct qt_words w = {0};
		auto_reply redisReply *r = NULL;

		qt_fcall(&w, function, true, key);
		qt_word(&w, of);
		qt_word_i64(&w, PAGE);
		qt_word_own(&w, strdup(ret->cursor));
		qt_words_names(&w, &qt_img_table);
		r = qt_call(s, &w, 0, e);
		if (!r || add_page(ret, r, e) < 0) {
			qt_img_list_done(ret);
			return -1;
		}
	} while (ret->cursor[0]);
	return 0;
}

int qt_store_img_list(struct qt_store *s, const struct qt_id *tenant, struct qt_img_list *ret, struct qt_err *e)
{
	return get_all(s, "qt_img_list", qt_key_tenant(tenant).s, tenant->s, ret, e);
}

int qt_store_img_of_node(struct qt_store *s, const char *node, struct qt_img_list *ret, struct qt_err *e)
{
	return get_all(s, "qt_img_of_node", "", node, ret, e);
}
