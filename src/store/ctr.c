#include <string.h>

#include "conn.h"
#include "keys.h"
#include "str.h"

#define PAGE 1000

static int unknown(struct qt_err *e)
{
	return qt_fail(e, QT_E_CONTAINER_NOT_FOUND, "there is no such container");
}

static void call_for(struct qt_words *w, const char *function, bool ro, const struct qt_id *tenant, const char *who)
{
	qt_fcall(w, function, ro, qt_key_tenant(tenant).s);
	qt_word(w, tenant->s);
	if (who)
		qt_word(w, who);
}

static int read_ctr(const redisReply *r, struct qt_ctr *ret, struct qt_err *e)
{
	qt_ctr_init(ret);
	if (qt_reply_fields(r, &qt_ctr_table, ret, e) == 0)
		return 0;
	qt_ctr_done(ret);
	return -1;
}

/* A call that answers one record. */
static int call_ctr(struct qt_store *s, struct qt_words *w, struct qt_ctr *ret, struct qt_err *e)
{
	auto_reply redisReply *r = NULL;

	qt_words_names(w, &qt_ctr_table);
	r = qt_call(s, w, 0, e);
	return r ? read_ctr(r, ret, e) : -1;
}

static int not_reserved(const struct qt_store *s, struct qt_err *e)
{
	if (e->code == QT_E_VOLUME_NOT_FOUND) {
		(void)qt_fmt(e->msg, sizeof(e->msg), "there is no volume \"%s\"", s->rest);
		(void)qt_copy(e->field, sizeof(e->field), "/volumes");
	}
	return -1;
}

static int take_gpus(struct qt_ctr *c, const redisReply *r, struct qt_err *e)
{
	json_t *ids = r->type == REDIS_REPLY_STRING ? json_loadb(r->str, r->len, 0, NULL) : NULL;

	if (!qt_strings_ok(ids, false, QT_GPUS_MAX) || json_array_size(ids) != c->gpu_count) {
		json_decref(ids);
		return qt_reply_bad(e);
	}
	json_decref(c->gpu_ids);
	c->gpu_ids = ids;
	return 0;
}

int qt_store_ctr_reserve(struct qt_store *s, struct qt_ctr *c, int64_t deadline_ms, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	struct qt_ctr reserved = *c; /* borrows the JSON */

	reserved.state = QT_ST_CREATED;
	reserved.deadline_ms = deadline_ms;
	call_for(&w, "qt_ctr_reserve", false, &c->tenant, c->id.s);
	qt_words_fields(&w, &qt_ctr_table, &reserved, 0);
	r = qt_call(s, &w, 0, e);
	if (!r)
		return not_reserved(s, e);
	return c->gpu_count > 0 ? take_gpus(c, r, e) : 0;
}

/* Field, value … of C: what qt_words_fields() would send. */
static json_t *flat(const struct qt_ctr *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < qt_ctr_table.n; i++) {
		auto_free char *text = qt_field_text(c, &qt_ctr_table.v[i]);

		if (!text || json_array_append_new(list, json_string(qt_ctr_table.v[i].name)) < 0 ||
		    json_array_append_new(list, json_string(text)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

int qt_store_ctr_reserve_all(struct qt_store *s, const struct qt_ctr *v, size_t n, int64_t deadline_ms, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	json_t *all = json_array();
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		struct qt_ctr reserved = v[i]; /* borrows the JSON */

		reserved.state = QT_ST_CREATED;
		reserved.deadline_ms = deadline_ms;
		r = json_array_append_new(all, flat(&reserved));
	}
	if (n == 0 || r < 0) {
		json_decref(all);
		return n == 0 ? 0 : qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	}
	call_for(&w, "qt_ctr_reserve_all", false, &v[0].tenant, NULL);
	qt_word_own(&w, json_dumps(all, JSON_COMPACT));
	json_decref(all);
	if (qt_call_ok(s, &w, e) == 0)
		return 0;
	if (e->code == QT_E_CONTAINER_NAME_CONFLICT || e->code == QT_E_VOLUME_NOT_FOUND)
		(void)qt_copy(e->received, sizeof(e->received), s->rest);
	return not_reserved(s, e);
}

/* "created,running" of the bits in FROM. */
static void states_text(char *out, size_t size, unsigned from, const char *sep)
{
	size_t len = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < QT_ST_COUNT; i++) {
		if (!(from & (1U << i)))
			continue;
		if (!qt_fmt(out + len, size - len, "%s%s", len ? sep : "", qt_state_name((enum qt_state)i)))
			return;
		len += strlen(out + len);
	}
}

static void move_words(struct qt_words *w, const struct qt_ctr *c, unsigned from, enum qt_state to, const char *event, const char *usage)
{
	struct qt_ctr moved = *c; /* borrows the JSON */
	char states[64];

	moved.state = to;
	states_text(states, sizeof(states), from, ",");
	call_for(w, "qt_ctr_move", false, &c->tenant, c->id.s);
	qt_word(w, event ? event : "");
	qt_word(w, usage ? usage : "");
	qt_word_own(w, strdup(states));
	qt_word(w, qt_state_name(to));
	qt_words_fields(w, &qt_ctr_table, &moved, QT_CF_RUN);
}

int qt_store_ctr_move_post(struct qt_store *s, const struct qt_ctr *c, unsigned from, enum qt_state to, const char *event,
			   const char *usage, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	move_words(&w, c, from, to, event, usage);
	return qt_post(s, &w, e);
}

int qt_store_ctr_move(struct qt_store *s, const struct qt_ctr *c, unsigned from, enum qt_state to, const char *event,
		      const char *usage, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	int r;

	move_words(&w, c, from, to, event, usage);
	r = qt_call_ok(s, &w, e);
	if (r < 0 && e->code == QT_E_INVALID_STATE && e->expected[0] == '\0')
		states_text(e->expected, sizeof(e->expected), from, "; ");
	return r;
}

int qt_store_ctr_get(struct qt_store *s, const struct qt_id *tenant, const char *who, struct qt_ctr *ret, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	if (strlen(who) > QT_NAME_MAX)
		return unknown(e);
	call_for(&w, "qt_ctr_get", true, tenant, who);
	return call_ctr(s, &w, ret, e);
}

int qt_store_ctr_by_name(struct qt_store *s, const struct qt_id *tenant, const char *name, struct qt_id *ret, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	char text[QT_ID_MAX + 1];

	if (strlen(name) > QT_NAME_MAX)
		return unknown(e);
	call_for(&w, "qt_ctr_by_name", true, tenant, name);
	r = qt_call(s, &w, 0, e);
	if (!r || qt_reply_text(r, text, sizeof(text), e) < 0)
		return -1;
	return qt_id_parse(ret, "ctr", text) ? 0 : qt_reply_bad(e);
}

/* --- lists -------------------------------------------------------------------------------------------- */

void qt_ctr_list_done(struct qt_ctr_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		qt_ctr_done(&l->v[i]);
	free(l->v);
	memset(l, 0, sizeof(*l));
}

/* The reply is the next cursor and then records, at most MOST. */
static int add_page(struct qt_ctr_list *l, const redisReply *r, size_t most, struct qt_err *e)
{
	struct qt_ctr *v;

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
		if (read_ctr(r->element[i], &l->v[l->n], e) < 0)
			return -1;
		l->n++;
	}
	return 0;
}

/* Pages of NODE, or of TENANT in STATE ("": any), after the list's cursor. */
struct query {
	const struct qt_id *tenant;
	const char *state, *node;
};

static int get_page(struct qt_store *s, const struct query *q, unsigned most, struct qt_ctr_list *l, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;

	if (q->node) {
		qt_fcall(&w, "qt_ctr_of_node", true, "");
		qt_word(&w, q->node);
	} else {
		call_for(&w, "qt_ctr_list", true, q->tenant, q->state);
	}
	qt_word_i64(&w, most);
	qt_word_own(&w, strdup(l->cursor));
	qt_words_names(&w, &qt_ctr_table);
	r = qt_call(s, &w, 0, e);
	return r ? add_page(l, r, most, e) : -1;
}

static int get_pages(struct qt_store *s, const struct query *q, unsigned limit, struct qt_ctr_list *ret, struct qt_err *e)
{
	size_t left = limit ? limit : SIZE_MAX;

	do {
		size_t before = ret->n;

		if (get_page(s, q, left < PAGE ? (unsigned)left : PAGE, ret, e) < 0) {
			qt_ctr_list_done(ret);
			return -1;
		}
		left -= ret->n - before;
	} while (left > 0 && ret->cursor[0]);
	return 0;
}

int qt_store_ctr_list(struct qt_store *s, const struct qt_id *tenant, int state, unsigned limit, const char *cursor,
		      struct qt_ctr_list *ret, struct qt_err *e)
{
	struct query q = {.tenant = tenant, .state = state < 0 ? "" : qt_state_name((enum qt_state)state)};

	memset(ret, 0, sizeof(*ret));
	if (!qt_copy(ret->cursor, sizeof(ret->cursor), cursor))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "the cursor is not one that a list gave out");
	return get_pages(s, &q, limit, ret, e);
}

int qt_store_ctr_of_node(struct qt_store *s, const char *node, struct qt_ctr_list *ret, struct qt_err *e)
{
	struct query q = {.node = node};

	memset(ret, 0, sizeof(*ret));
	return get_pages(s, &q, 0, ret, e);
}

/* --- changes ------------------------------------------------------------------------------------------ */

int qt_store_ctr_rename(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, const char *new_name, char *old_name,
			struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;

	call_for(&w, "qt_ctr_rename", false, tenant, id->s);
	qt_word(&w, new_name);
	r = qt_call(s, &w, 0, e);
	return r ? qt_reply_text(r, old_name, QT_NAME_MAX + 1, e) : -1;
}

int qt_store_ctr_env(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, const json_t *env, bool merge,
		     struct qt_ctr *ret, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	const char *key;
	json_t *v;

	if (!json_is_object(env))
		return qt_fail(e, QT_E_UNPROCESSABLE_ENTITY, "the environment is an object of strings");
	json_object_foreach((json_t *)(uintptr_t)env, key, v)
		if (!json_is_string(v) && !(merge && json_is_null(v)))
			return qt_fail(e, QT_E_UNPROCESSABLE_ENTITY, "the environment is an object of strings");
	call_for(&w, "qt_ctr_env", false, tenant, id->s);
	qt_word(&w, merge ? "merge" : "replace");
	qt_word_own(&w, json_dumps(env, JSON_COMPACT));
	qt_word_i64(&w, QT_ENV_MAX);
	qt_word_i64(&w, QT_ARGV_BYTES);
	qt_word_i64(&w, QT_RECORD_MAX);
	if (call_ctr(s, &w, ret, e) == 0)
		return 0;
	if (e->code == QT_E_VALIDATION_ERROR) {
		(void)qt_copy(e->field, sizeof(e->field), "/environment");
		(void)qt_fmt(e->expected, sizeof(e->expected), "at most %d variables and %d bytes; less with a long command or many labels",
			     QT_ENV_MAX, QT_ARGV_BYTES);
	}
	return -1;
}

int qt_store_ctr_volumes(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, const json_t *volumes, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	call_for(&w, "qt_ctr_volumes", false, tenant, id->s);
	qt_word_own(&w, json_dumps(volumes, JSON_COMPACT));
	return qt_call_ok(s, &w, e);
}

int qt_store_ctr_route(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, const char *net, bool remove,
		       struct qt_ctr *ret, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	call_for(&w, "qt_ctr_route", false, tenant, id->s);
	qt_word(&w, remove ? "remove" : "add");
	qt_word(&w, net);
	qt_word_i64(&w, QT_ROUTES_MAX);
	return call_ctr(s, &w, ret, e);
}

int qt_store_ctr_address(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, const char *ip, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	call_for(&w, "qt_ctr_address", false, tenant, id->s);
	qt_word(&w, ip);
	return qt_call_ok(s, &w, e);
}

int qt_store_ctr_deleting(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	call_for(&w, "qt_ctr_deleting", false, tenant, id->s);
	return qt_call_ok(s, &w, e);
}

int qt_store_ctr_remove(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	call_for(&w, "qt_ctr_remove", false, tenant, id->s);
	return qt_call_ok(s, &w, e);
}

int qt_store_ctr_restore(struct qt_store *s, const struct qt_ctr *c, struct qt_err *e)
{
	auto_words struct qt_words w = {0};

	call_for(&w, "qt_ctr_restore", false, &c->tenant, c->id.s);
	qt_words_fields(&w, &qt_ctr_table, c, 0);
	return qt_call_ok(s, &w, e);
}
