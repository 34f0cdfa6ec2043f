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
	size_t off;
	uint64_t of_plan[QT_LEN(plans)];
} quotas[] = {
#define QT_QUOTA(name, standard, large, unlimited, doc) {offsetof(struct qt_tenant, max_##name), {standard, large, unlimited}},
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
