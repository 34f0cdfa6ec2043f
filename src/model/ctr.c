#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "fields.h"
#include "model.h"

#define RECORD_MAX 16384

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
char *qt_ctr_dump(const struct qt_ctr *c, struct qt_err *e)
{
	json_t *o = json_object();
	char *text = NULL;

	for (size_t i = 0; i < qt_ctr_field_count; i++) {
		const struct qt_cfield *f = &qt_ctr_fields[i];
		json_t *v;

		if (f->type == QT_FT_MAP || f->type == QT_FT_LIST) {
			v = json_incref(*(json_t *const *)(const void *)((const char *)c + f->off));
		} else {
			auto_free char *s = qt_ctr_field_text(c, f);

			v = s ? json_string(s) : NULL;
		}
		if (json_object_set_new(o, f->name, v) < 0) {
			json_decref(o);
			(void)qt_fail(e, QT_E_INTERNAL_ERROR, "a container's %s cannot be written", f->name);
			return NULL;
		}
	}
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (!text) {
		(void)qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	} else if (strlen(text) > RECORD_MAX) {
		(void)qt_fail(e, QT_E_PAYLOAD_TOO_LARGE,
			      "command, environment, labels and volumes together are too large: the container's record takes %d bytes",
			      RECORD_MAX);
		free(text);
		text = NULL;
	}
	return text;
}

static int load_member(struct qt_ctr *c, const struct qt_cfield *f, const json_t *v, struct qt_err *e)
{
	if (f->type == QT_FT_MAP || f->type == QT_FT_LIST) {
		json_t **p = (json_t **)(void *)((char *)c + f->off);

		if (!qt_strings_ok(v, f->type == QT_FT_MAP, f->max))
			return qt_fail(e, QT_E_INTERNAL_ERROR, "a container's record has a bad %s", f->name);
		json_decref(*p);
		*p = json_incref((json_t *)(uintptr_t)v);
		return 0;
	}
	if (!json_is_string(v))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a container's record has a bad %s", f->name);
	return qt_ctr_field_parse(c, f, json_string_value(v), json_string_length(v), e);
}

int qt_ctr_load(struct qt_ctr *ret, const char *text, size_t len, struct qt_err *e)
{
	json_t *o = len <= RECORD_MAX ? json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const char *key;
	json_t *v;
	int r = 0;

	if (!json_is_object(o)) {
		json_decref(o);
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a container's record is not a JSON object");
	}
	qt_ctr_init(ret);
	/* A member that this version does not know is another version's, and no reason to lose the container. */
	json_object_foreach(o, key, v) {
		const struct qt_cfield *f = qt_ctr_field_find(key, strlen(key));

		if (f && r == 0)
			r = load_member(ret, f, v, e);
	}
	json_decref(o);
	if (r == 0)
		r = qt_ctr_complete(ret, e);
	if (r < 0)
		qt_ctr_done(ret);
	return r;
}
