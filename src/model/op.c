#include <string.h>

#include "cleanup.h"
#include "model.h"
#include "str.h"

static const struct {
	const char *name;
	bool final;
} statuses[QT_OP_STATUS_COUNT] = {
	[QT_OP_ACCEPTED] = {"accepted", false},	   [QT_OP_QUEUED] = {"queued", false},
	[QT_OP_RUNNING] = {"running", false},	   [QT_OP_SUCCEEDED] = {"succeeded", true},
	[QT_OP_FAILED] = {"failed", true},	   [QT_OP_CANCELLED] = {"cancelled", true},
	[QT_OP_TIMED_OUT] = {"timed_out", true},
};

static const struct {
	const char *name;
	uint32_t deadline_s;
	const char *target;
} types[QT_OPT_COUNT] = {
#define QT_OPTYPE(SYM, text, deadline_s, target, doc) [QT_OPT_##SYM] = {text, deadline_s, target},
#include "optypes.def"
#undef QT_OPTYPE
};

const char *qt_op_status_name(enum qt_op_status s)
{
	return (unsigned)s < QT_OP_STATUS_COUNT ? statuses[s].name : "unknown";
}

bool qt_op_status_parse(enum qt_op_status *ret, const char *text)
{
	for (unsigned i = 0; i < QT_OP_STATUS_COUNT; i++) {
		if (qt_streq(text, statuses[i].name)) {
			*ret = (enum qt_op_status)i;
			return true;
		}
	}
	return false;
}

bool qt_op_final(enum qt_op_status s)
{
	return (unsigned)s < QT_OP_STATUS_COUNT && statuses[s].final;
}

const char *qt_op_type_name(enum qt_op_type t)
{
	return (unsigned)t < QT_OPT_COUNT ? types[t].name : "unknown";
}

bool qt_op_type_parse(enum qt_op_type *ret, const char *text)
{
	for (unsigned i = 0; i < QT_OPT_COUNT; i++) {
		if (qt_streq(text, types[i].name)) {
			*ret = (enum qt_op_type)i;
			return true;
		}
	}
	return false;
}

uint32_t qt_op_type_deadline_s(enum qt_op_type t)
{
	return (unsigned)t < QT_OPT_COUNT ? types[t].deadline_s : 0;
}

const char *qt_op_type_target(enum qt_op_type t)
{
	return (unsigned)t < QT_OPT_COUNT ? types[t].target : "";
}

void qt_op_init(struct qt_op *o)
{
	memset(o, 0, sizeof(*o));
	o->args = json_object();
	o->result = json_object();
	o->warnings = json_array();
	o->downgrades = json_array();
	o->items = json_array();
}

void qt_op_done(struct qt_op *o)
{
	json_decref(o->args);
	json_decref(o->result);
	json_decref(o->warnings);
	json_decref(o->downgrades);
	json_decref(o->items);
	memset(o, 0, sizeof(*o));
}

/* The contract wants Unix seconds here, unlike in containers. */
static json_t *seconds_or_null(int64_t ms)
{
	return ms > 0 ? json_integer(ms / 1000) : json_null();
}

static json_t *text_or_null(const char *s)
{
	return *s ? json_string(s) : json_null();
}

/* What it is about, by the kind of thing that its type is about. */
static const char *target_id(const struct qt_op *o, const char *kind)
{
	if (qt_streq(kind, "image"))
		return o->image;
	return qt_streq(kind, "snapshot") ? o->snapshot.s : qt_streq(kind, "volume") ? o->volume : o->container.s;
}

json_t *qt_op_view(const struct qt_op *o)
{
	const char *kind = qt_op_type_target(o->type), *target = target_id(o, kind);

	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:O, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:O, s:O, s:O, s:o, s:o, s:o, s:o}",
			 "operation_id", o->id.s, "operation_type", qt_op_type_name(o->type), "status",
			 qt_op_status_name(o->status), "message", o->message, "progress_pct", (json_int_t)o->progress_pct,
			 "result", o->result, "container_id", text_or_null(o->container.s), "snapshot_id",
			 text_or_null(o->snapshot.s), "result_container_id",
			 qt_streq(kind, "container") ? text_or_null(o->container.s) : json_null(), "target_resource_type",
			 *target ? json_string(kind) : json_null(), "target_resource_id", text_or_null(target), "error",
			 text_or_null(o->error), "error_message", text_or_null(o->error), "reason_code",
			 text_or_null(o->error_code), "reason_message", text_or_null(o->error), "warnings", o->warnings,
			 "capability_downgrades", o->downgrades, "items", o->items, "created_at", seconds_or_null(o->created_ms),
			 "started_at", seconds_or_null(o->started_ms), "updated_at", seconds_or_null(o->updated_ms),
			 "completed_at", seconds_or_null(o->completed_ms));
}
