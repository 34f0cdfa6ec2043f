#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "fields.h"
#include "num.h"
#include "str.h"

#define CTR(member, type, flags, max, prefix, name, doc) QT_MFIELD(qt_ctr, member, type, flags, max, prefix, name, doc)
#define OP(member, type, flags, max, prefix, name, doc)	QT_MFIELD(qt_op, member, type, flags, max, prefix, name, doc)

#define VOL(member, type, flags, max, prefix, name, doc) QT_MFIELD(qt_vol, member, type, flags, max, prefix, name, doc)

/* clang-format off */
static const struct qt_mfield ctr_fields[] = {
	CTR(id,          QT_FT_ID,    QT_CF_REQUIRED, 0, "ctr",  "id",                "ctr_…"),
	CTR(tenant,      QT_FT_ID,    QT_CF_REQUIRED, 0, "ten",  "tenant_id",         "ten_…"),
	CTR(name,        QT_FT_STR,   QT_CF_REQUIRED, 0, NULL,   "name",              "unique within the tenant"),
	CTR(node,        QT_FT_STR,   0,              0, NULL,   "node",              "the machine that it lives on"),
	CTR(state,       QT_FT_STATE, QT_CF_RUN,      0, NULL,   "state",             "created, starting, running, exited or error"),
	CTR(pid,         QT_FT_U32,   QT_CF_RUN,      0, NULL,   "pid",               "of its init on the node; 0: none"),
	CTR(exit_code,   QT_FT_EXIT,  QT_CF_RUN,      0, NULL,   "exit_code",         "empty until it exited"),
	CTR(ip,          QT_FT_STR,   QT_CF_RUN,      0, NULL,   "ip_address",        "empty: none"),
	CTR(created_ms,  QT_FT_MS,    0,              0, NULL,   "created_ms",        "milliseconds since 1970, as all that end in _ms"),
	CTR(started_ms,  QT_FT_MS,    QT_CF_RUN,      0, NULL,   "started_ms",        "the last start; 0: never"),
	CTR(exited_ms,   QT_FT_MS,    QT_CF_RUN,      0, NULL,   "exited_ms",         "the last end; 0: never, or running again"),
	CTR(deadline_ms, QT_FT_MS,    QT_CF_RUN,      0, NULL,   "deadline_ms",       "in created and starting: when whoever brings it up has failed; 0: none"),
	CTR(deleting_ms, QT_FT_MS,    0,              0, NULL,   "deleting_ms",       "when a delete began, which the agent finishes if need be; 0: none"),
	CTR(image,       QT_FT_STR,   QT_CF_SPEC,     0, NULL,   "image",             "as it was asked for"),
	CTR(oci,         QT_FT_BOOL,  QT_CF_SPEC,     0, NULL,   "oci",               "1: image is an OCI reference"),
	CTR(image_id,    QT_FT_ID,    QT_CF_SPEC,     0, "img",  "image_id",          "the pulled image that it was then; empty: a managed one"),
	CTR(user,        QT_FT_STR,   QT_CF_SPEC,     0, NULL,   "user",              "that the image wants; empty: root"),
	CTR(stop_signal, QT_FT_U32,   QT_CF_SPEC,     0, NULL,   "stop_signal",       "that the image wants; 0: SIGTERM"),
	CTR(image_env,   QT_FT_MAP,   QT_CF_SPEC, QT_ENV_MAX,    NULL,    "image_environment", "JSON object of strings: what the image says, below environment"),
	CTR(workdir,     QT_FT_STR,   QT_CF_SPEC,     0, NULL,   "working_directory", ""),
	CTR(memory_mb,   QT_FT_U32,   QT_CF_SPEC,     0, NULL,   "memory_limit_mb",   ""),
	CTR(cpu_centi,   QT_FT_U32,   QT_CF_SPEC,     0, NULL,   "cpu_limit_centi",   "hundredths of a percent of one cpu: 50 % is 5000"),
	CTR(strict,      QT_FT_BOOL,  QT_CF_SPEC,     0, NULL,   "strict",            "1 or 0"),
	CTR(gpu_count,   QT_FT_U32,   QT_CF_SPEC,     0, NULL,   "gpu_count",         ""),
	CTR(error,       QT_FT_STR,   QT_CF_RUN,      0, NULL,   "error",             "why, in state error"),
	CTR(labels,      QT_FT_MAP,   QT_CF_SPEC, QT_LABELS_MAX, NULL,    "labels",            "JSON object of strings"),
	CTR(environment, QT_FT_MAP,   QT_CF_SPEC, QT_ENV_MAX,    NULL,    "environment",       "JSON object of strings"),
	CTR(command,     QT_FT_LIST,  QT_CF_SPEC, QT_ARGV_MAX,   NULL,    "command",           "JSON array of strings; empty: the container idles"),
	CTR(volumes,     QT_FT_LIST,  QT_CF_SPEC, 64,            NULL,    "volumes",           "JSON array of \"name:/target[:ro]\""),
	CTR(copied_from, QT_FT_ID,    0, 0,             NULL,    "copied_from",       "ctr_… or snap_…, whose data it began with; empty: none"),
	CTR(snapshot,    QT_FT_ID,    0, 0,             "snap",  "from_snapshot",     "the snapshot that it was cloned from, or that of the container that it was forked from; empty: none"),
	CTR(gpu_ids,     QT_FT_LIST,  0, 64,            NULL,    "gpu_ids",           "JSON array of strings: those that it has, gpu_count of them"),
	CTR(build,       QT_FT_ID,    0, 0,             "op",    "build",             "the operation whose build this container is a part of: in no list, and of no event; empty: none"),
	CTR(routes,      QT_FT_LIST,  0, QT_ROUTES_MAX, NULL,    "routes",            "JSON array of IPv4 networks: further routes inside"),
};

static const struct qt_mfield op_fields[] = {
	OP(id,           QT_FT_ID,        QT_CF_REQUIRED, 0, "op",  "id",           "op_…"),
	OP(tenant,       QT_FT_ID,        QT_CF_REQUIRED, 0, "ten", "tenant_id",    "ten_…"),
	OP(type,         QT_FT_OP_TYPE,   0, 0, NULL,  "type",         "container.start …"),
	OP(status,       QT_FT_OP_STATUS, QT_CF_RUN, 0, NULL,  "status",       "accepted, queued, running, succeeded, failed, cancelled or timed_out"),
	OP(container,    QT_FT_ID,        QT_CF_RUN, 0, "ctr", "container_id", "empty: none"),
	OP(snapshot,     QT_FT_ID,        QT_CF_RUN, 0, "snap", "snapshot_id", "empty: none"),
	OP(volume,       QT_FT_STR,       0, 0, NULL,  "volume",       "its name; empty: none"),
	OP(image,        QT_FT_STR,       0, 0, NULL,  "image",        "the reference that is pulled; empty: none"),
	OP(node,         QT_FT_STR,       0, 0, NULL,  "node",         "whose agent runs it"),
	OP(message,      QT_FT_STR,       QT_CF_RUN, 0, NULL,  "message",      ""),
	OP(progress_pct, QT_FT_U32,       QT_CF_RUN, 0, NULL,  "progress_pct", "0 to 100"),
	OP(error_code,   QT_FT_STR,       QT_CF_RUN, 0, NULL,  "error_code",   "of a failed one"),
	OP(error,        QT_FT_STR,       QT_CF_RUN, 0, NULL,  "error",        "of a failed one"),
	OP(args,         QT_FT_JSON,      0, 0, NULL,  "args",         "JSON object: what the executor needs"),
	OP(result,       QT_FT_JSON,      QT_CF_RUN, 0, NULL,  "result",       "JSON object"),
	OP(warnings,     QT_FT_LIST,      QT_CF_RUN, QT_OP_WARNINGS_MAX, NULL, "warnings", "JSON array of strings"),
	OP(downgrades,   QT_FT_LIST,      QT_CF_RUN, QT_OP_WARNINGS_MAX, NULL, "downgrades", "JSON array of strings: what was asked for and not done"),
	OP(items,        QT_FT_ITEMS,     QT_CF_RUN, QT_OP_ITEMS_MAX, NULL, "items", "JSON array of objects: of a batch, each container"),
	OP(created_ms,   QT_FT_MS,        0, 0, NULL,  "created_ms",   ""),
	OP(started_ms,   QT_FT_MS,        0, 0, NULL,  "started_ms",   ""),
	OP(updated_ms,   QT_FT_MS,        0, 0, NULL,  "updated_ms",   ""),
	OP(completed_ms, QT_FT_MS,        0, 0, NULL,  "completed_ms", ""),
	OP(deadline_ms,  QT_FT_MS,        0, 0, NULL,  "deadline_ms",  ""),
	OP(cancel_ms,    QT_FT_MS,        0, 0, NULL,  "cancel_ms",    "when a client asked for its end; 0: nobody did"),
	OP(attempts,     QT_FT_U32,       0, 0, NULL,  "attempts",     "how often an agent took it"),
};

static const struct qt_mfield vol_fields[] = {
	VOL(id,          QT_FT_ID,   QT_CF_REQUIRED, 0, "vol", "id",          "vol_…"),
	VOL(tenant,      QT_FT_ID,   QT_CF_REQUIRED, 0, "ten", "tenant_id",   "ten_…"),
	VOL(name,        QT_FT_STR,  QT_CF_REQUIRED, 0, NULL,  "name",        "unique among the tenant's volumes"),
	VOL(node,        QT_FT_STR,  0, 0, NULL,  "node",        "the machine that it lives on"),
	VOL(max_bytes,   QT_FT_U64,  0, 0, NULL,  "max_bytes",   "what it holds at most; 0: no bound"),
	VOL(created_ms,  QT_FT_MS,   0, 0, NULL,  "created_ms",  ""),
	VOL(deadline_ms, QT_FT_MS,   0, 0, NULL,  "deadline_ms", "while it is made: when whoever makes it has failed; 0: it is there"),
	VOL(deleting_ms, QT_FT_MS,   0, 0, NULL,  "deleting_ms", "when a delete began, which the agent finishes if need be; 0: none"),
	VOL(labels,      QT_FT_MAP,  0, QT_LABELS_MAX, NULL,  "labels",  "JSON object of strings"),
	VOL(options,     QT_FT_MAP,  0, QT_LABELS_MAX, NULL,  "options", "JSON object of strings, as they were asked for"),
};
/* clang-format on */

const struct qt_mtable qt_vol_table = {"volume", vol_fields, QT_LEN(vol_fields)};
const struct qt_mtable qt_ctr_table = {"container", ctr_fields, QT_LEN(ctr_fields)};
const struct qt_mtable qt_op_table = {"operation", op_fields, QT_LEN(op_fields)};

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

char *qt_field_text(const void *base, const struct qt_mfield *f)
{
	const void *p = (const char *)base + f->off;
	const struct qt_ctr *c = base;

	switch (f->type) {
	case QT_FT_ID:
		return strdup(((const struct qt_id *)p)->s);
	case QT_FT_STR:
		return strdup(p);
	case QT_FT_STATE:
		return strdup(qt_state_name(*(const enum qt_state *)p));
	case QT_FT_U32:
		return text_of("%" PRIu32, *(const uint32_t *)p);
	case QT_FT_U64:
		return text_of("%" PRIu64, *(const uint64_t *)p);
	case QT_FT_MS:
		return text_of("%" PRIi64, *(const int64_t *)p);
	case QT_FT_BOOL:
		return strdup(*(const bool *)p ? "1" : "0");
	case QT_FT_EXIT:
		return c->has_exit_code ? text_of("%d", c->exit_code) : strdup("");
	case QT_FT_MAP:
	case QT_FT_LIST:
	case QT_FT_JSON:
	case QT_FT_ITEMS:
		return json_dumps(*(json_t *const *)p, JSON_COMPACT);
	case QT_FT_OP_STATUS:
		return strdup(qt_op_status_name(*(const enum qt_op_status *)p));
	case QT_FT_OP_TYPE:
		return strdup(qt_op_type_name(*(const enum qt_op_type *)p));
	case QT_FT_WORD:
		return strdup(f->words[*(const unsigned *)p]);
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

bool qt_field_is_json(const struct qt_mfield *f)
{
	return f->type == QT_FT_MAP || f->type == QT_FT_LIST || f->type == QT_FT_JSON || f->type == QT_FT_ITEMS;
}

json_t **qt_field_json(const void *base, const struct qt_mfield *f)
{
	return (json_t **)((uintptr_t)base + f->off);
}

static bool objects_ok(const json_t *j, size_t max)
{
	if (!json_is_array(j) || json_array_size(j) > max)
		return false;
	for (size_t i = 0; i < json_array_size(j); i++)
		if (!json_is_object(json_array_get(j, i)))
			return false;
	return true;
}

bool qt_field_fits(const struct qt_mfield *f, const json_t *j)
{
	if (f->type == QT_FT_ITEMS)
		return objects_ok(j, f->max);
	return f->type == QT_FT_JSON ? json_is_object(j) : qt_strings_ok(j, f->type == QT_FT_MAP, f->max);
}

static int bad(const struct qt_mfield *f, struct qt_err *e)
{
	return qt_fail(e, QT_E_INTERNAL_ERROR, "a record has a bad %s", f->name);
}

int qt_field_parse(void *base, const struct qt_mfield *f, const char *text, size_t len, struct qt_err *e)
{
	struct qt_ctr *c = base;
	void *p = (char *)base + f->off;
	char buf[1024];
	int64_t i;

	if (qt_field_is_json(f)) {
		json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);

		if (!qt_field_fits(f, j)) {
			json_decref(j);
			return bad(f, e);
		}
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
		if (len == 0 && !(f->flags & QT_CF_REQUIRED)) {
			*(char *)p = '\0';
			return 0;
		}
		return qt_id_parse(p, f->prefix, buf) ? 0 : bad(f, e);
	case QT_FT_STR:
		return qt_utf8_span(buf, len) == len && qt_copy(p, f->size, buf) ? 0 : bad(f, e);
	case QT_FT_STATE:
		return qt_state_parse(p, buf) ? 0 : bad(f, e);
	case QT_FT_OP_STATUS:
		return qt_op_status_parse(p, buf) ? 0 : bad(f, e);
	case QT_FT_OP_TYPE:
		return qt_op_type_parse(p, buf) ? 0 : bad(f, e);
	case QT_FT_WORD:
		return qt_word_parse(p, f->words, buf) ? 0 : bad(f, e);
	case QT_FT_U32:
		return qt_u32(p, buf, 0, UINT32_MAX) ? 0 : bad(f, e);
	case QT_FT_U64:
		return qt_u64(p, buf, 0, UINT64_MAX) ? 0 : bad(f, e);
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
	case QT_FT_JSON:
	case QT_FT_ITEMS:
		break;
	}
	return bad(f, e);
}

const struct qt_mfield *qt_field_find(const struct qt_mtable *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (qt_streq(t->v[i].name, name))
			return &t->v[i];
	return NULL;
}

int qt_fields_complete(const struct qt_mtable *t, const void *base, struct qt_err *e)
{
	for (size_t i = 0; i < t->n; i++)
		if ((t->v[i].flags & QT_CF_REQUIRED) && *((const char *)base + t->v[i].off) == '\0')
			return qt_fail(e, QT_E_INTERNAL_ERROR, "the record of a %s has no %s", t->what, t->v[i].name);
	return 0;
}
