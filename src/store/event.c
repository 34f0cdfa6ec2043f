#include <string.h>

#include "conn.h"
#include "keys.h"
#include "num.h"
#include "str.h"

static int give(const redisReply *r, void (*fn)(const struct qt_event *ev, void *arg), void *arg, struct qt_err *e)
{
	char id[40], at[24];
	struct qt_event ev = {.id = id};
	json_t *data;

	if (r->type != REDIS_REPLY_ARRAY || r->elements != 3 || qt_reply_text(r->element[0], id, sizeof(id), e) < 0 ||
	    qt_reply_text(r->element[2], at, sizeof(at), e) < 0 || r->element[1]->type != REDIS_REPLY_STRING || !qt_i64(&ev.at_ms, at, 0, INT64_MAX))
		return qt_reply_bad(e);
	data = json_loadb(r->element[1]->str, r->element[1]->len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(data)) {
		json_decref(data);
		return qt_reply_bad(e);
	}
	ev.data = data;
	fn(&ev, arg);
	json_decref(data);
	return 0;
}

int qt_store_events(struct qt_store *s, const struct qt_id *tenant, unsigned most, enum qt_event_kind kind,
		    void (*fn)(const struct qt_event *ev, void *arg), void *arg, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;

	qt_fcall(&w, "qt_events", true, qt_key_tenant(tenant).s);
	qt_word(&w, tenant->s);
	qt_word_i64(&w, most);
	qt_word(&w, qt_event_name(kind));
	r = qt_call(s, &w, 0, e);
	if (!r)
		return -1;
	if (r->type != REDIS_REPLY_ARRAY || r->elements > most)
		return qt_reply_bad(e);
	for (size_t i = 0; i < r->elements; i++)
		if (give(r->element[i], fn, arg, e) < 0)
			return -1;
	return 0;
}
