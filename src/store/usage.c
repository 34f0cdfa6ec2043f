#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "conn.h"
#include "num.h"
#include "str.h"

#define PAGE 1000

int qt_store_usage_sample(struct qt_store *s, const char *node, unsigned period_s, struct qt_err *e)
{
	char cursor[96] = "";

	do {
		auto_words struct qt_words w = {0};
		auto_reply redisReply *r = NULL;

		qt_fcall(&w, "qt_usage_sample", false, "");
		qt_word(&w, node);
		qt_word_i64(&w, period_s);
		qt_word_own(&w, strdup(cursor));
		r = qt_call(s, &w, 0, e);
		if (!r || qt_reply_text(r, cursor, sizeof(cursor), e) < 0)
			return -1;
	} while (cursor[0]);
	return 0;
}

/* --- reading ------------------------------------------------------------------------------------------ */

static void read_metadata(struct qt_usage *u, const char *text)
{
	json_t *m = json_loads(text, 0, NULL);
	const char *volume = json_string_value(json_object_get(m, "volume_id"));

	if (json_is_integer(json_object_get(m, "from_ms")) && json_is_integer(json_object_get(m, "until_ms"))) {
		u->from_ms = json_integer_value(json_object_get(m, "from_ms"));
		u->until_ms = json_integer_value(json_object_get(m, "until_ms"));
	}
	if (volume)
		(void)qt_copy(u->subject, sizeof(u->subject), volume);
	u->max_bytes = (uint64_t)json_integer_value(json_object_get(m, "max_bytes"));
	json_decref(m);
}

/* { id, { name, value, ... } }. What a record lacks is nothing. */
static int read_record(const redisReply *r, char id[48], struct qt_usage *u, struct qt_err *e)
{
	const redisReply *f;
	double seconds = 0;

	memset(u, 0, sizeof(*u));
	if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 || qt_reply_text(r->element[0], id, 48, e) < 0)
		return qt_reply_bad(e);
	f = r->element[1];
	if (f->type != REDIS_REPLY_ARRAY || f->elements % 2 != 0)
		return qt_reply_bad(e);
	u->from_ms = u->until_ms = strtoll(id, NULL, 10);
	for (size_t i = 0; i < f->elements; i += 2) {
		char name[32], value[1024];

		if (qt_reply_text(f->element[i], name, sizeof(name), e) < 0 || qt_reply_text(f->element[i + 1], value, sizeof(value), e) < 0)
			return -1;
		if (qt_streq(name, "event_type"))
			(void)qt_copy(u->event_type, sizeof(u->event_type), value);
		else if (qt_streq(name, "container_id") && value[0])
			(void)qt_copy(u->subject, sizeof(u->subject), value);
		else if (qt_streq(name, "duration_seconds"))
			seconds = strtod(value, NULL);
		else if (qt_streq(name, "memory_mb"))
			(void)qt_u64(&u->memory_mb, value, 0, UINT64_MAX);
		else if (qt_streq(name, "cpu_percent"))
			u->cpu_percent = strtod(value, NULL);
		else if (qt_streq(name, "metadata"))
			read_metadata(u, value);
	}
	if (u->from_ms == u->until_ms && seconds > 0)
		u->from_ms -= (int64_t)(seconds * 1000);
	return 0;
}

static redisReply *page(struct qt_store *s, const char *key, const char *from, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	redisReply *r;

	qt_word(&w, "XRANGE");
	qt_word(&w, key);
	qt_word(&w, from);
	qt_word(&w, "+");
	qt_word(&w, "COUNT");
	qt_word_i64(&w, PAGE);
	r = qt_call(s, &w, 0, e);
	if (!r || r->type == REDIS_REPLY_ARRAY)
		return r;
	freeReplyObject(r);
	(void)qt_reply_bad(e);
	return NULL;
}

/* Nothing was cut off the old end, or what is left reaches back to before FROM_MS. */
static int is_whole(struct qt_store *s, const char *key, int64_t from_ms, bool *ret, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	long long length = 0, added = 0, first = 0;

	*ret = true;
	qt_word(&w, "XINFO");
	qt_word(&w, "STREAM");
	qt_word(&w, key);
	r = qt_call(s, &w, 0, e);
	if (!r) {
		if (!qt_streq(s->word, "ERR"))
			return -1;
		qt_err_reset(e); /* there is no such stream */
		return 0;
	}
	for (size_t i = 0; r->type == REDIS_REPLY_ARRAY && i + 1 < r->elements; i += 2) {
		const redisReply *name = r->element[i], *v = r->element[i + 1];

		if (name->type != REDIS_REPLY_STRING)
			continue;
		if (qt_streq(name->str, "length"))
			length = v->integer;
		else if (qt_streq(name->str, "entries-added"))
			added = v->integer;
		else if (qt_streq(name->str, "recorded-first-entry-id") && v->type == REDIS_REPLY_STRING)
			first = strtoll(v->str, NULL, 10);
	}
	*ret = added <= length || first < from_ms;
	return 0;
}

int qt_store_usage_each(struct qt_store *s, const struct qt_id *tenant, int64_t from_ms, void (*fn)(const struct qt_usage *u, void *arg),
			void *arg, bool *ret_whole, struct qt_err *e)
{
	char key[80], from[64], id[48];
	size_t n;

	(void)qt_fmt(key, sizeof(key), "quilt:{%s}:usage", tenant->s);
	(void)qt_fmt(from, sizeof(from), "%" PRIi64 "-0", from_ms);
	do {
		auto_reply redisReply *r = page(s, key, from, e);

		if (!r)
			return -1;
		n = r->elements;
		for (size_t i = 0; i < n; i++) {
			struct qt_usage u;

			if (read_record(r->element[i], id, &u, e) < 0)
				return -1;
			fn(&u, arg);
		}
		if (n > 0)
			(void)qt_fmt(from, sizeof(from), "(%s", id);
	} while (n == PAGE);
	return is_whole(s, key, from_ms, ret_whole, e);
}
