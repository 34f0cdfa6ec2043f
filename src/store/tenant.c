#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "clock.h"
#include "str.h"

#define TENANT(m, type, flags, prefix, name, doc) QT_MFIELD(qt_tenant, m, type, flags, 0, prefix, name, doc)

/* clang-format off */
static const struct qt_mfield fields[] = {
	TENANT(id,             QT_FT_ID,  QT_CF_REQUIRED, "ten", "id",             "ten_…"),
	TENANT(name,           QT_FT_STR, QT_CF_REQUIRED, NULL,  "name",           "for people; the id is what counts"),
	TENANT(plan,           QT_FT_STR, 0,              NULL,  "plan",           ""),
	TENANT(created_ms,     QT_FT_MS,  0,              NULL,  "created_ms",     ""),
#define QT_QUOTA(name, standard, large, unlimited, doc) TENANT(max_##name, QT_FT_U64, 0, NULL, "max_" #name, doc),
#include "quotas.def"
#undef QT_QUOTA
};
/* clang-format on */
const struct qt_mtable qt_tenant_table = {"tenant", fields, QT_LEN(fields)};

static const char *const plans[] = {
#define QT_PLAN(name, doc) name,
#include "plans.def"
#undef QT_PLAN
};

/* A row of quotas.def, a column a plan. */
static const struct quota {
	const char *name, *doc;
	size_t off;
	uint64_t of_plan[QT_LEN(plans)];
} quotas[] = {
#define QT_QUOTA(name, standard, large, unlimited, doc) {#name, doc, offsetof(struct qt_tenant, max_##name), {standard, large, unlimited}},
#include "quotas.def"
#undef QT_QUOTA
};

int qt_tenant_set_plan(struct qt_tenant *t, const char *plan, struct qt_err *e)
{
	struct qt_err full = {0};

	for (size_t i = 0; i < QT_LEN(plans); i++) {
		if (qt_streq(plans[i], plan)) {
			for (size_t q = 0; q < QT_LEN(quotas); q++)
				*(uint64_t *)((uintptr_t)t + quotas[q].off) = quotas[q].of_plan[i];
			return qt_copy(t->plan, sizeof(t->plan), plan) ? 0 : -1;
		}
		(void)qt_fmt(full.expected + strlen(full.expected), sizeof(full.expected) - strlen(full.expected), "%s%s",
			     i ? "; " : "", plans[i]);
	}
	return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/plan", full.expected, "there is no such plan; there are: %s", full.expected);
}

int qt_store_tenant_create(struct qt_store *s, const char *name, const char *plan, struct qt_tenant *ret, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	struct qt_tenant t = {.id = qt_id_new("ten"), .created_ms = qt_now_ms()};

	if (qt_tenant_set_plan(&t, plan ? plan : plans[0], e) < 0 || qt_check_name("/name", name, e) < 0)
		return -1;
	(void)qt_copy(t.name, sizeof(t.name), name);
	qt_fcall(&w, "qt_tenant_create", false, "");
	qt_word(&w, t.id.s);
	qt_words_fields(&w, &qt_tenant_table, &t, 0);
	if (qt_call_ok(s, &w, e) < 0)
		return -1;
	*ret = t;
	return 0;
}

int qt_store_tenant_get(struct qt_store *s, const char *id, struct qt_tenant *ret, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	struct qt_tenant t = {0};

	if (!qt_id_parse(&t.id, "ten", id))
		return qt_fail(e, QT_E_NOT_FOUND, "there is no such tenant");
	qt_fcall(&w, "qt_tenant_get", true, "");
	qt_word(&w, t.id.s);
	qt_words_names(&w, &qt_tenant_table);
	r = qt_call(s, &w, 0, e);
	if (!r || qt_reply_fields(r, &qt_tenant_table, &t, e) < 0)
		return -1;
	*ret = t;
	return 0;
}

#define PAGE 500

int qt_account_each(struct qt_store *s, const char *function, const struct qt_mtable *t, size_t size,
		    void (*fn)(const void *record, void *arg), void *arg, struct qt_err *e)
{
	auto_free void *record = malloc(size);
	int64_t offset = 0;
	bool more = true;

	if (!record)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	while (more) {
		auto_words struct qt_words w = {0};
		auto_reply redisReply *r = NULL;

		qt_fcall(&w, function, true, "");
		qt_word_i64(&w, offset);
		qt_word_i64(&w, PAGE);
		qt_words_names(&w, t);
		r = qt_call(s, &w, 0, e);
		if (!r)
			return -1;
		if (r->type != REDIS_REPLY_ARRAY || r->elements < 1 || r->element[0]->type != REDIS_REPLY_INTEGER)
			return qt_reply_bad(e);
		for (size_t i = 1; i < r->elements; i++) {
			memset(record, 0, size);
			if (qt_reply_fields(r->element[i], t, record, e) < 0)
				return -1;
			fn(record, arg);
		}
		more = r->element[0]->integer == 1;
		offset += PAGE;
	}
	return 0;
}

struct each {
	void (*fn)(const struct qt_tenant *t, void *arg);
	void *arg;
};

static void one(const void *record, void *arg)
{
	const struct each *x = arg;

	x->fn(record, x->arg);
}

int qt_store_tenant_each(struct qt_store *s, void (*fn)(const struct qt_tenant *t, void *arg), void *arg, struct qt_err *e)
{
	struct each x = {fn, arg};

	return qt_account_each(s, "qt_tenant_list", &qt_tenant_table, sizeof(struct qt_tenant), one, &x, e);
}

/* --- quotas ------------------------------------------------------------------------------------------- */

int qt_store_tenant_quota(struct qt_store *s, const struct qt_id *tenant, const char *name, uint64_t value, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	struct qt_err known = {0};
	char field[32];

	for (size_t i = 0; i < QT_LEN(quotas); i++) {
		(void)qt_fmt(known.expected + strlen(known.expected), sizeof(known.expected) - strlen(known.expected), "%s%s", i ? "; " : "",
			     quotas[i].name);
		if (!qt_streq(quotas[i].name, name))
			continue;
		(void)qt_fmt(field, sizeof(field), "max_%s", name);
		qt_fcall(&w, "qt_tenant_quota", false, "");
		qt_word(&w, tenant->s);
		qt_word(&w, field);
		qt_word_i64(&w, (int64_t)value);
		return qt_call_ok(s, &w, e);
	}
	return qt_fail(e, QT_E_VALIDATION_ERROR, "there is no such quota; there are: %s", known.expected);
}

/* The number behind NAME in R, a list of name, number, ...; 0 if it is not there. */
static uint64_t number_of(const redisReply *r, const char *name)
{
	for (size_t i = 0; i + 1 < r->elements; i += 2)
		if (r->element[i]->type == REDIS_REPLY_STRING && qt_streq(r->element[i]->str, name) &&
		    r->element[i + 1]->type == REDIS_REPLY_STRING)
			return (uint64_t)ceil(strtod(r->element[i + 1]->str, NULL));
	return 0;
}

int qt_store_tenant_quotas(struct qt_store *s, const struct qt_id *tenant,
			   void (*fn)(const char *name, uint64_t limit, uint64_t used, const char *doc, void *arg), void *arg, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	struct qt_tenant t;

	if (qt_store_tenant_get(s, tenant->s, &t, e) < 0)
		return -1;
	qt_fcall(&w, "qt_tenant_used", true, "");
	qt_word(&w, tenant->s);
	r = qt_call(s, &w, 0, e);
	if (!r)
		return -1;
	if (r->type != REDIS_REPLY_ARRAY)
		return qt_reply_bad(e);
	for (size_t i = 0; i < QT_LEN(quotas); i++)
		fn(quotas[i].name, *(const uint64_t *)((uintptr_t)&t + quotas[i].off), number_of(r, quotas[i].name), quotas[i].doc, arg);
	return 0;
}

struct mending {
	struct qt_store *s;
	struct qt_err *e;
	int r;
};

static void mend(const struct qt_tenant *t, void *arg)
{
	auto_words struct qt_words w = {0};
	struct qt_tenant as_planned = *t;
	struct mending *m = arg;
	char field[QT_LEN(quotas)][32];

	/* A plan that this version does not know: nothing is added. */
	if (m->r < 0 || qt_tenant_set_plan(&as_planned, t->plan, &(struct qt_err){0}) < 0)
		return;
	qt_fcall(&w, "qt_tenant_mend", false, "");
	qt_word(&w, t->id.s);
	for (size_t i = 0; i < QT_LEN(quotas); i++) {
		(void)qt_fmt(field[i], sizeof(field[i]), "max_%s", quotas[i].name);
		qt_word(&w, field[i]);
		qt_word_i64(&w, (int64_t)*(const uint64_t *)((uintptr_t)&as_planned + quotas[i].off));
	}
	m->r = qt_call_ok(m->s, &w, m->e);
}

struct ids {
	struct qt_tenant *v;
	size_t n;
	bool bad;
};

static void collect(const struct qt_tenant *t, void *arg)
{
	struct ids *i = arg;
	struct qt_tenant *v = reallocarray(i->v, i->n + 1, sizeof(*v));

	if (!v) {
		i->bad = true;
		return;
	}
	i->v = v;
	i->v[i->n++] = *t;
}

int qt_store_tenants_mend(struct qt_store *s, struct qt_err *e)
{
	struct mending m = {s, e, 0};
	struct ids all = {0};

	m.r = qt_store_tenant_each(s, collect, &all, e);
	if (m.r == 0 && all.bad)
		m.r = qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	for (size_t i = 0; i < all.n; i++)
		mend(&all.v[i], &m);
	free(all.v);
	return m.r;
}
