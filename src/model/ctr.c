#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "fields.h"
#include "model.h"

void qt_ctr_init(struct qt_ctr *c)
{
	memset(c, 0, sizeof(*c));
	c->labels = json_object();
	c->environment = json_object();
	c->command = json_array();
	c->volumes = json_array();
	c->gpu_ids = json_array();
}

void qt_ctr_done(struct qt_ctr *c)
{
	json_decref(c->labels);
	json_decref(c->environment);
	json_decref(c->command);
	json_decref(c->volumes);
	json_decref(c->gpu_ids);
	memset(c, 0, sizeof(*c));
}

static json_t *time_or_null(int64_t ms)
{
	char text[32];

	if (ms <= 0)
		return json_null();
	qt_iso8601(text, sizeof(text), ms);
	return json_string(text);
}

/* 50 rather than 50.0: clients compare it with what they sent. */
static json_t *percent(uint32_t centi)
{
	return centi % 100 == 0 ? json_integer(centi / 100) : json_real((double)centi / 100.0);
}

json_t *qt_ctr_view(const struct qt_ctr *c)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:I, s:o, s:b, s:I, s:O, s:O}", "container_id",
			 c->id.s, "tenant_id", c->tenant.s, "name", c->name, "state", qt_state_name(c->state), "pid",
			 c->pid ? json_integer(c->pid) : json_null(), "exit_code",
			 c->has_exit_code ? json_integer(c->exit_code) : json_null(), "ip_address",
			 c->ip[0] ? json_string(c->ip) : json_null(), "created_at", time_or_null(c->created_ms), "started_at",
			 time_or_null(c->started_ms), "exited_at", time_or_null(c->exited_ms), "working_directory", c->workdir,
			 "memory_limit_mb", (json_int_t)c->memory_mb, "cpu_limit_percent", percent(c->cpu_centi), "strict",
			 (int)c->strict, "gpu_count", (json_int_t)c->gpu_count, "gpu_ids", c->gpu_ids, "labels", c->labels);
}

/* The record is the fields as the Redis hash has them, save that JSON stays JSON: one form to learn, and to mend by. */
static json_t *record_of(const struct qt_ctr *c)
{
	json_t *o = json_object();

	for (size_t i = 0; i < qt_ctr_table.n; i++) {
		const struct qt_mfield *f = &qt_ctr_table.v[i];
		auto_free char *s = NULL;
		json_t *v;

		if (qt_field_is_json(f)) {
			v = json_incref(*qt_field_json(c, f));
		} else {
			s = qt_field_text(c, f);
			v = s ? json_string(s) : NULL;
		}
		if (json_object_set_new(o, f->name, v) < 0) {
			json_decref(o);
			return NULL;
		}
	}
	return o;
}

char *qt_ctr_dump(const struct qt_ctr *c, struct qt_err *e)
{
	json_t *o = record_of(c);
	auto_free char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	if (!text) {
		(void)qt_fail(e, QT_E_INTERNAL_ERROR, "the record of container %s cannot be written", c->id.s);
		return NULL;
	}
	if (strlen(text) > QT_RECORD_MAX) {
		(void)qt_fail(e, QT_E_PAYLOAD_TOO_LARGE,
			      "command, environment, labels and volumes are too large together: a container's record has at most %d bytes",
			      QT_RECORD_MAX);
		return NULL;
	}
	return qt_take(&text);
}

static int load_member(struct qt_ctr *c, const struct qt_mfield *f, json_t *v, struct qt_err *e)
{
	if (qt_field_is_json(f)) {
		json_t **p = qt_field_json(c, f);

		if (!qt_field_fits(f, v))
			return qt_fail(e, QT_E_INTERNAL_ERROR, "a record has a bad %s", f->name);
		json_decref(*p);
		*p = json_incref(v);
		return 0;
	}
	if (!json_is_string(v))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a record has a bad %s", f->name);
	return qt_field_parse(c, f, json_string_value(v), json_string_length(v), e);
}

int qt_ctr_load(struct qt_ctr *ret, const char *text, size_t len, struct qt_err *e)
{
	json_t *o = len <= QT_RECORD_MAX ? json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const char *key;
	json_t *v;
	int r = 0;

	if (!json_is_object(o)) {
		json_decref(o);
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the record of a container is not a JSON object");
	}
	qt_ctr_init(ret);
	/* A member that this version does not know is another version's, and no reason to lose the container. */
	json_object_foreach(o, key, v) {
		const struct qt_mfield *f = qt_field_find(&qt_ctr_table, key);

		if (f && r == 0)
			r = load_member(ret, f, v, e);
	}
	json_decref(o);
	if (r == 0)
		r = qt_fields_complete(&qt_ctr_table, ret, e);
	if (r < 0)
		qt_ctr_done(ret);
	return r;
}
