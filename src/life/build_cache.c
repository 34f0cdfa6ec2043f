/* What steps made, found again by all that it depends on. The runtime has the records; nothing of it is in Redis. */
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "cleanup.h"
#include "clock.h"
#include "rnd.h"
#include "settle_in.h"
#include "steps.h"
#include "str.h"

#define BUDGET_MS 15000

void qt_build_sha(char *out, const void *data, size_t len)
{
	unsigned char sum[32] = {0};

	(void)EVP_Digest(data, len, sum, NULL, EVP_sha256(), NULL);
	qt_hex(out, sum, sizeof(sum));
}

void qt_build_key(char *out, const char *key, ...)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	unsigned char sum[32] = {0};
	const char *part = key;
	va_list ap;

	if (!c || EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1)
		abort(); /* out of memory */
	va_start(ap, key);
	for (; part; part = va_arg(ap, const char *))
		(void)EVP_DigestUpdate(c, part, strlen(part) + 1);
	va_end(ap);
	(void)EVP_DigestFinal_ex(c, sum, NULL);
	EVP_MD_CTX_free(c);
	qt_hex(out, sum, sizeof(sum));
}

char *qt_build_step_dump(const struct qt_build *b, const struct qt_id *id, const char *key, const json_t *layers, const json_t *taken, uint64_t size)
{
	json_t *r = json_pack("{s:s, s:s, s:s, s:O, s:O, s:I, s:I}", "step", id->s, "tenant", b->o->tenant.s, "key", key, "layers", layers, "taken", taken,
			      "size_bytes", (json_int_t)size, "used_ms", (json_int_t)qt_now_ms());
	char *text = json_dumps(r, JSON_COMPACT);

	json_decref(r);
	return text;
}

json_t *qt_step_load(const char *text, size_t len)
{
	json_t *r = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	struct qt_id id;

	if (json_is_string(json_object_get(r, "step")) && qt_id_parse(&id, "img", json_string_value(json_object_get(r, "step"))) &&
	    json_is_string(json_object_get(r, "tenant")) && json_is_string(json_object_get(r, "key")) && json_is_array(json_object_get(r, "layers")) &&
	    json_is_array(json_object_get(r, "taken")) && json_is_integer(json_object_get(r, "used_ms")))
		return r;
	json_decref(r);
	return NULL;
}

bool qt_step_old(const struct qt_conf *conf, const json_t *step)
{
	return json_integer_value(json_object_get(step, "used_ms")) + (json_int_t)conf->build_cache_ttl_s * 1000 < qt_now_ms();
}

static int read_one(struct qt_build *b, const struct qt_id *id, struct qt_err *e)
{
	struct rt_obj_get_req req = {.id = *id};
	struct rt_obj_get_rep rep;
	json_t *r;

	if (rt_obj_get(&b->l->rt, &req, &rep, BUDGET_MS, e) < 0) {
		if (e->code != QT_E_IMAGE_NOT_FOUND)
			return -1;
		qt_err_reset(e); /* it went meanwhile */
		return 0;
	}
	if (!qt_streq(rep.tenant.s, b->o->tenant.s))
		return 0;
	r = qt_step_load(rep.record.s, rep.record.len);
	if (r && qt_streq(json_string_value(json_object_get(r, "step")), id->s))
		json_array_append(b->steps, r);
	json_decref(r);
	return 0;
}

static int read_all(struct qt_build *b, struct qt_err *e)
{
	auto_ids struct qt_ids ids = {0};

	b->steps = json_array();
	if (qt_ids_list(b->l, "img", &ids, e) < 0)
		return -1;
	for (size_t i = 0; i < ids.n; i++)
		if (read_one(b, &ids.v[i], e) < 0)
			return -1;
	return 0;
}

/* It is the last one to go from now on. False: it is gone. */
static bool touch(struct qt_build *b, json_t *step)
{
	struct rt_obj_record_req req = {0};
	struct rt_obj_record_rep rep;
	struct qt_err ignored = {0};
	auto_free char *text = NULL;

	json_object_set_new(step, "used_ms", json_integer(qt_now_ms()));
	text = json_dumps(step, JSON_COMPACT);
	if (!text || !qt_id_parse(&req.id, "img", json_string_value(json_object_get(step, "step"))))
		return false;
	req.record = rt_str(text);
	return rt_obj_record(&b->l->rt, &req, &rep, BUDGET_MS, &ignored) == 0;
}

int qt_build_cached(struct qt_build *b, struct qt_stage *st, const char *key, struct qt_err *e)
{
	json_t *x;
	size_t i;

	if (!b->steps && read_all(b, e) < 0)
		return -1;
	json_array_foreach(b->steps, i, x) {
		if (!qt_streq(json_string_value(json_object_get(x, "key")), key) || !touch(b, x))
			continue;
		(void)qt_id_parse(&st->image, "img", json_string_value(json_object_get(x, "step")));
		json_decref(st->layers);
		json_decref(st->taken);
		st->layers = json_incref(json_object_get(x, "layers"));
		st->taken = json_incref(json_object_get(x, "taken"));
		if (key != st->key)
			(void)qt_copy(st->key, sizeof(st->key), key);
		return 1;
	}
	return 0;
}

static void drop(struct qt_build *b, const json_t *step)
{
	struct rt_obj_delete_req req = {0};
	struct rt_obj_delete_rep rep;

	if (qt_id_parse(&req.id, "img", json_string_value(json_object_get(step, "step"))))
		(void)rt_obj_delete(&b->l->rt, &req, &rep, BUDGET_MS, &(struct qt_err){0});
}

/* What other builds of the tenant have just made is theirs until they are done, unless there is far too much. */
void qt_build_evict(struct qt_build *b)
{
	int64_t young = qt_now_ms() - (int64_t)qt_op_type_deadline_s(QT_OPT_IMG_BUILD) * 1000;
	uint64_t keep = b->l->conf->build_cache_steps;

	while (b->steps && json_array_size(b->steps) > keep) {
		size_t oldest = 0, i;
		json_t *x;

		json_array_foreach(b->steps, i, x)
			if (json_integer_value(json_object_get(x, "used_ms")) <
			    json_integer_value(json_object_get(json_array_get(b->steps, oldest), "used_ms")))
				oldest = i;
		x = json_array_get(b->steps, oldest);
		if (json_integer_value(json_object_get(x, "used_ms")) > young && json_array_size(b->steps) < 4 * keep)
			break;
		drop(b, x);
		json_array_remove(b->steps, oldest);
	}
}
