#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "fields.h"
#include "num.h"
#include "str.h"

#define ROW(member, type, flags, max, prefix, name, doc) \
	{name, type, flags, offsetof(struct qt_ctr, member), sizeof(((struct qt_ctr *)0)->member), max, prefix, doc}

/* clang-format off */
const struct qt_cfield qt_ctr_fields[] = {
	ROW(id,          QT_FT_ID,    QT_CF_REQUIRED, 0, "ctr",  "id",                "ctr_…"),
	ROW(tenant,      QT_FT_ID,    QT_CF_REQUIRED, 0, "ten",  "tenant_id",         "ten_…"),
	ROW(name,        QT_FT_STR,   QT_CF_REQUIRED, 0, NULL,   "name",              "unique within the tenant"),
	ROW(node,        QT_FT_STR,   0,              0, NULL,   "node",              "the machine that it lives on"),
	ROW(state,       QT_FT_STATE, QT_CF_RUN,      0, NULL,   "state",             "created, starting, running, exited or error"),
	ROW(pid,         QT_FT_U32,   QT_CF_RUN,      0, NULL,   "pid",               "of its init on the node; 0: none"),
	ROW(exit_code,   QT_FT_EXIT,  QT_CF_RUN,      0, NULL,   "exit_code",         "empty until it exited"),
	ROW(ip,          QT_FT_STR,   QT_CF_RUN,      0, NULL,   "ip_address",        "empty: none"),
	ROW(created_ms,  QT_FT_MS,    0,              0, NULL,   "created_ms",        "milliseconds since 1970, as all that end in _ms"),
	ROW(started_ms,  QT_FT_MS,    QT_CF_RUN,      0, NULL,   "started_ms",        "the last start; 0: never"),
	ROW(exited_ms,   QT_FT_MS,    QT_CF_RUN,      0, NULL,   "exited_ms",         "the last end; 0: never, or running again"),
	ROW(image,       QT_FT_STR,   0,              0, NULL,   "image",             "as it was asked for"),
	ROW(oci,         QT_FT_BOOL,  0,              0, NULL,   "oci",               "1: image is an OCI reference"),
	ROW(workdir,     QT_FT_STR,   0,              0, NULL,   "working_directory", ""),
	ROW(memory_mb,   QT_FT_U32,   0,              0, NULL,   "memory_limit_mb",   ""),
	ROW(cpu_centi,   QT_FT_U32,   0,              0, NULL,   "cpu_limit_centi",   "hundredths of a percent of one cpu: 50 % is 5000"),
	ROW(strict,      QT_FT_BOOL,  0,              0, NULL,   "strict",            "1 or 0"),
	ROW(gpu_count,   QT_FT_U32,   0,              0, NULL,   "gpu_count",         ""),
	ROW(error,       QT_FT_STR,   QT_CF_RUN,      0, NULL,   "error",             "why, in state error"),
	ROW(labels,      QT_FT_MAP,   0, QT_LABELS_MAX, NULL,    "labels",            "JSON object of strings"),
	ROW(environment, QT_FT_MAP,   0, QT_ENV_MAX,    NULL,    "environment",       "JSON object of strings"),
	ROW(command,     QT_FT_LIST,  0, QT_ARGV_MAX,   NULL,    "command",           "JSON array of strings; empty: the container idles"),
	ROW(volumes,     QT_FT_LIST,  0, 64,            NULL,    "volumes",           "JSON array of \"name:/target[:ro]\""),
	ROW(gpu_ids,     QT_FT_LIST,  0, 64,            NULL,    "gpu_ids",           "JSON array of strings"),
};
/* clang-format on */
const size_t qt_ctr_field_count = QT_LEN(qt_ctr_fields);

static const void *at(const struct qt_ctr *c, const struct qt_cfield *f)
{
	return (const char *)c + f->off;
}

static void *place(struct qt_ctr *c, const struct qt_cfield *f)
{
	return (char *)c + f->off;
}

static char *text_of(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *text_of(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	return s;
}

char *qt_ctr_field_text(const struct qt_ctr *c, const struct qt_cfield *f)
{
	const void *p = at(c, f);

	switch (f->type) {
	case QT_FT_ID:
		return strdup(((const struct qt_id *)p)->s);
	case QT_FT_STR:
		return strdup(p);
	case QT_FT_STATE:
		return strdup(qt_state_name(*(const enum qt_state *)p));
	case QT_FT_U32:
		return text_of("%" PRIu32, *(const uint32_t *)p);
	case QT_FT_MS:
		return text_of("%" PRIi64, *(const int64_t *)p);
	case QT_FT_BOOL:
		return strdup(*(const bool *)p ? "1" : "0");
	case QT_FT_EXIT:
		return c->has_exit_code ? text_of("%d", c->exit_code) : strdup("");
	case QT_FT_MAP:
	case QT_FT_LIST:
		return json_dumps(*(json_t *const *)p, JSON_COMPACT);
	}
	return NULL;
}

bool qt_strings_ok(const json_t *j, bool map, size_t max)
{
	if (map) {
		const char *key;
		json_t *v;

		if (!json_is_object(j) || json_object_size(j) > max)
			return false;
		json_object_foreach((json_t *)(uintptr_t)j, key, v)
			if (!json_is_string(v))
				return false;
		return true;
	}
	if (!json_is_array(j) || json_array_size(j) > max)
		return false;
	for (size_t i = 0; i < json_array_size(j); i++)
		if (!json_is_string(json_array_get(j, i)))
			return false;
	return true;
}

json_t *qt_strings_parse(bool map, size_t max, const char *text, size_t len)
{
	json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);

	if (!j || qt_strings_ok(j, map, max))
		return j;
	json_decref(j);
	return NULL;
}

static int bad(const struct qt_cfield *f, struct qt_err *e)
{
	return qt_fail(e, QT_E_INTERNAL_ERROR, "a container's record has a bad %s", f->name);
}

int qt_ctr_field_parse(struct qt_ctr *c, const struct qt_cfield *f, const char *text, size_t len, struct qt_err *e)
{
	bool map = f->type == QT_FT_MAP;
	char buf[1024];
	void *p = place(c, f);
	int64_t i;
	json_t *j;

	if (map || f->type == QT_FT_LIST) {
		j = qt_strings_parse(map, f->max, text, len);
		if (!j)
			return bad(f, e);
		json_decref(*(json_t **)p);
		*(json_t **)p = j;
		return 0;
	}
	if (len >= sizeof(buf) || memchr(text, '\0', len))
		return bad(f, e);
	memcpy(buf, text, len);
	buf[len] = '\0';
	switch (f->type) {
	case QT_FT_ID:
		return qt_id_parse(p, f->prefix, buf) ? 0 : bad(f, e);
	case QT_FT_STR:
		return qt_utf8_span(buf, len) == len && qt_copy(p, f->size, buf) ? 0 : bad(f, e);
	case QT_FT_STATE:
		return qt_state_parse(p, buf) ? 0 : bad(f, e);
	case QT_FT_U32:
		return qt_u32(p, buf, 0, UINT32_MAX) ? 0 : bad(f, e);
	case QT_FT_MS:
		return qt_i64(p, buf, 0, INT64_MAX) ? 0 : bad(f, e);
	case QT_FT_BOOL:
		if (!qt_i64(&i, buf, 0, 1))
			return bad(f, e);
		*(bool *)p = i == 1;
		return 0;
	case QT_FT_EXIT:
		c->has_exit_code = len > 0;
		c->exit_code = 0;
		if (len == 0)
			return 0;
		if (!qt_i64(&i, buf, -255, 65535))
			return bad(f, e);
		c->exit_code = (int)i;
		return 0;
	case QT_FT_MAP:
	case QT_FT_LIST:
		break;
	}
	return bad(f, e);
}

const struct qt_cfield *qt_ctr_field_find(const char *name, size_t len)
{
	for (size_t i = 0; i < QT_LEN(qt_ctr_fields); i++)
		if (strlen(qt_ctr_fields[i].name) == len && memcmp(qt_ctr_fields[i].name, name, len) == 0)
			return &qt_ctr_fields[i];
	return NULL;
}

int qt_ctr_complete(const struct qt_ctr *c, struct qt_err *e)
{
	for (size_t i = 0; i < QT_LEN(qt_ctr_fields); i++) {
		const struct qt_cfield *f = &qt_ctr_fields[i];

		if ((f->flags & QT_CF_REQUIRED) && *(const char *)at(c, f) == '\0')
			return qt_fail(e, QT_E_INTERNAL_ERROR, "a container's record has no %s", f->name);
	}
	return 0;
}
