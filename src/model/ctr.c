#include <string.h>

#include "clock.h"
#include "fields.h"
#include "model.h"

void qt_ctr_init(struct qt_ctr *c)
{
	memset(c, 0, sizeof(*c));
	c->labels = json_object();
	c->environment = json_object();
	c->image_env = json_object();
	c->command = json_array();
	c->volumes = json_array();
	c->gpu_ids = json_array();
	c->routes = json_array();
}

void qt_ctr_done(struct qt_ctr *c)
{
	json_decref(c->labels);
	json_decref(c->environment);
	json_decref(c->image_env);
	json_decref(c->command);
	json_decref(c->volumes);
	json_decref(c->gpu_ids);
	json_decref(c->routes);
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

json_t *qt_ctr_spec(const struct qt_ctr *c)
{
	return qt_fields_json(&qt_ctr_table, c, QT_CF_SPEC);
}

int qt_ctr_from_spec(struct qt_ctr *ret, const json_t *spec, struct qt_err *e)
{
	qt_ctr_init(ret);
	if (qt_fields_take(&qt_ctr_table, ret, spec, QT_CF_SPEC, e) == 0)
		return 0;
	qt_ctr_done(ret);
	return -1;
}

char *qt_ctr_dump(const struct qt_ctr *c, struct qt_err *e)
{
	return qt_record_dump(&qt_ctr_table, c, QT_RECORD_MAX, e);
}

int qt_ctr_load(struct qt_ctr *ret, const char *text, size_t len, struct qt_err *e)
{
	qt_ctr_init(ret);
	if (qt_record_load(&qt_ctr_table, ret, text, len, QT_RECORD_MAX, e) == 0)
		return 0;
	qt_ctr_done(ret);
	return -1;
}
