#include <string.h>

#include "conn.h"
#include "keys.h"
#include "snap_store.h"
#include "str.h"

#define PAGE	    500
#define LINEAGE_MAX 256
#define EXPIRED_MAX 100

static void call_for(struct qt_words *w, const char *function, bool ro, const struct qt_id *tenant, const char *id)
{
	qt_fcall(w, function, ro, qt_key_tenant(tenant).s);
	qt_word(w, tenant->s);
	qt_word(w, id);
}

static int read_snap(const redisReply *r, struct qt_snap *ret, struct qt_err *e)
{
	qt_snap_init(ret);
	if (qt_reply_fields(r, &qt_snap_table, ret, e) == 0)
		return 0;
	qt_snap_done(ret);
	return -1;
}

/* A call that answers one record. */
static int call_snap(struct qt_store *s, struct qt_words *w, struct qt_snap *ret, struct qt_err *e)
{
	auto_reply redisReply *r = NULL;

	qt_words_names(w, &qt_snap_table);
	r = qt_call(s, w, 0, e);
	return r ? read_snap(r, ret, e) : -1;
}

/* --- changes ------------------------------------------------------------------------------------------ */

static int write_whole(struct qt_store *s, const char *function, const struct qt_snap *x, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	call_for(&w, function, false, &x->tenant, x->id.s);
	qt_words_fields(&w, &qt_snap_table, x, 0);
	return qt_call_ok(s, &w, e);
}

int qt_store_snap_reserve(struct qt_store *s, const struct qt_snap *x, struct qt_err *e)
{
	return write_whole(s, "qt_snap_reserve", x, e);
}

int qt_store_snap_restore(struct qt_store *s, const struct qt_snap *x, struct qt_err *e)
{
	return write_whole(s, "qt_snap_restore", x, e);
}

int qt_store_snap_ready(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, uint64_t size, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	call_for(&w, "qt_snap_ready", false, tenant, id->s);
	qt_word_i64(&w, (int64_t)size);
	return qt_call_ok(s, &w, e);
}

int qt_store_snap_pin(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, bool pinned, struct qt_snap *ret,
		      struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	call_for(&w, "qt_snap_pin", false, tenant, id->s);
	qt_word(&w, pinned ? "1" : "0");
	return call_snap(s, &w, ret, e);
}

int qt_store_snap_saved(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, bool pinned, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	call_for(&w, "qt_snap_saved", false, tenant, id->s);
	qt_word(&w, pinned ? "1" : "0");
	return qt_call_ok(s, &w, e);
}

int qt_store_snap_deleting(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, enum qt_snap_why why, struct qt_err *e)
{
	static const char *const whys[] = {
		[QT_SNAP_ASKED] = "asked", [QT_SNAP_EXPIRED] = "expired", [QT_SNAP_FAILED] = "failed"};
	auto_words struct qt_words w = {0};

	call_for(&w, "qt_snap_deleting", false, tenant, id->s);
	qt_word(&w, whys[why]);
	return qt_call_ok(s, &w, e);
}

int qt_store_snap_remove(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, const char *event, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	call_for(&w, "qt_snap_remove", false, tenant, id->s);
	qt_word(&w, event);
	return qt_call_ok(s, &w, e);
}

/* --- reading ------------------------------------------------------------------------------------------ */

static int no_snap(struct qt_err *e)
{
	return qt_fail(e, QT_E_SNAPSHOT_NOT_FOUND, "there is no such snapshot");
}

int qt_store_snap_get(struct qt_store *s, const struct qt_id *tenant, const char *id, struct qt_snap *ret, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	struct qt_id snap;

	if (!qt_id_parse(&snap, "snap", id))
		return no_snap(e);
	call_for(&w, "qt_snap_get", true, tenant, snap.s);
	return call_snap(s, &w, ret, e);
}

void qt_snap_list_done(struct qt_snap_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		qt_snap_done(&l->v[i]);
	free(l->v);
	memset(l, 0, sizeof(*l));
}

/* The reply is the next cursor and then records, at most MOST. */
static int add_page(struct qt_snap_list *l, const redisReply *r, size_t most, struct qt_err *e)
{
	struct qt_snap *v;

	if (r->type != REDIS_REPLY_ARRAY || r->elements < 1 || r->elements - 1 > most)
		return qt_reply_bad(e);
	if (qt_reply_text(r->element[0], l->cursor, sizeof(l->cursor), e) < 0)
		return -1;
	if (r->elements == 1)
		return 0;
	v = reallocarray(l->v, l->n + r->elements - 1, sizeof(*v));
	if (!v)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	l->v = v;
	for (size_t i = 1; i < r->elements; i++) {
		if (read_snap(r->element[i], &l->v[l->n], e) < 0)
			return -1;
		l->n++;
	}
	return 0;
}

/* One of the calls below, up to where it names the cursor. */
struct query {
	const char *function;
	const struct qt_id *tenant; /* NULL: of all */
	const char *who;	    /* the node, the source or "", the snapshot */
	const json_t *labels;	    /* with a list only */
};

static int get_page(struct qt_store *s, const struct query *q, bool paged, size_t most, struct qt_snap_list *l, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	const char *key;
	json_t *v;

	qt_fcall(&w, q->function, true, q->tenant ? qt_key_tenant(q->tenant).s : "");
	if (q->tenant)
		qt_word(&w, q->tenant->s);
	qt_word(&w, q->who);
	qt_word_i64(&w, (int64_t)most);
	if (paged)
		qt_word_own(&w, strdup(l->cursor));
	if (q->labels) {
		qt_word_i64(&w, (int64_t)json_object_size(q->labels));
		json_object_foreach((json_t *)(uintptr_t)q->labels, key, v) {
			qt_word(&w, key);
			qt_word(&w, json_string_value(v));
		}
	}
	qt_words_names(&w, &qt_snap_table);
	r = qt_call(s, &w, 0, e);
	return r ? add_page(l, r, most, e) : -1;
}

/* MOST 0: all, page by page. */
static int get(struct qt_store *s, const struct query *q, bool paged, size_t most, struct qt_snap_list *ret, struct qt_err *e)
{
	size_t left = most ? most : SIZE_MAX;

	do {
		size_t before = ret->n;

		if (get_page(s, q, paged, left < PAGE ? left : PAGE, ret, e) < 0) {
			qt_snap_list_done(ret);
			return -1;
		}
		left -= ret->n - before;
	} while (paged && left > 0 && ret->cursor[0]);
	return 0;
}

int qt_store_snap_list(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *source, const json_t *labels, unsigned limit,
		       const char *cursor, struct qt_snap_list *ret, struct qt_err *e)
{
	json_t *none = json_object();
	struct query q = {"qt_snap_list", tenant, source ? source->s : "", labels ? labels : none};
	int r;

	memset(ret, 0, sizeof(*ret));
	if (!qt_copy(ret->cursor, sizeof(ret->cursor), cursor))
		r = qt_fail(e, QT_E_VALIDATION_ERROR, "the cursor is not one that a list gave out");
	else
		r = get(s, &q, true, limit, ret, e);
	json_decref(none);
	return r;
}

int qt_store_snap_lineage(struct qt_store *s, const struct qt_id *tenant, const char *id, struct qt_snap_list *ret, struct qt_err *e)
{
	struct query q = {"qt_snap_lineage", tenant, id, NULL};
	struct qt_id snap;

	memset(ret, 0, sizeof(*ret));
	return qt_id_parse(&snap, "snap", id) ? get(s, &q, false, LINEAGE_MAX, ret, e) : no_snap(e);
}

int qt_store_snap_of_node(struct qt_store *s, const char *node, struct qt_snap_list *ret, struct qt_err *e)
{
	struct query q = {"qt_snap_of_node", NULL, node, NULL};

	memset(ret, 0, sizeof(*ret));
	return get(s, &q, true, 0, ret, e);
}

int qt_store_snap_expired(struct qt_store *s, const char *node, struct qt_snap_list *ret, struct qt_err *e)
{
	struct query q = {"qt_snap_expired", NULL, node, NULL};

	memset(ret, 0, sizeof(*ret));
	return get(s, &q, false, EXPIRED_MAX, ret, e);
}
