/* Builds of images: contexts, the build itself, and what its steps write (contract 14). */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builds.h"
#include "cleanup.h"
#include "contexts.h"
#include "handlers.h"
#include "query.h"
#include "spool.h"
#include "str.h"

int qt_h_build_context(struct qt_call *c, struct qt_err *e)
{
	char id[QT_CONTEXT_ID + 1];
	struct stat st;

	if (qt_h_looks_like_archive(c->upload, e) < 0)
		return -1;
	if (fstat(c->upload, &st) < 0)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the upload cannot be looked at");
	if (qt_context_keep(c->life->conf, c->upload, &c->tenant, id, e) < 0)
		return -1;
	c->reply = json_pack("{s:s, s:I, s:I}", "context_id", id, "size_bytes", (json_int_t)st.st_size, "expires_at",
			     (json_int_t)st.st_mtime + (json_int_t)c->life->conf->build_context_ttl_s);
	return 0;
}

int qt_h_img_build(struct qt_call *c, struct qt_err *e)
{
	const struct qt_img_build_req *q = c->req;
	const struct qt_build_want w = {.context_id = q->context_id, .reference = q->reference, .dockerfile = q->dockerfile, .target = q->target,
					.args = q->args, .memory_mb = (uint32_t)q->memory_mb, .cpu_centi = (uint32_t)(q->cpu_percent * 100 + 0.5)};
	auto_op struct qt_op o = {0};
	auto_close int hold = -1;

	if (qt_life_img_build(c->life, &c->tenant, &w, &o, &hold, e) < 0)
		return -1;
	if (qt_h_receipt_op(c, &o, e) == 0)
		return 0;
	qt_spool_drop(c->life->conf, &o);
	return -1;
}

int qt_h_op_logs(struct qt_call *c, struct qt_err *e)
{
	const char *after = qt_query_str(c, "after", "");
	enum qt_op_status status;
	json_t *logs, *last;

	if (qt_store_op_log_read(c->life->store, &c->tenant, c->params[0], after, (unsigned)qt_query_u64(c, "limit", 100), &status, &logs, e) < 0)
		return -1;
	last = json_object_get(json_array_get(logs, json_array_size(logs) - 1), "cursor");
	c->reply = json_pack("{s:s, s:o, s:o, s:b}", "operation_id", c->params[0], "next",
			     last ? json_incref(last) : *after ? json_string(after) : json_null(), "logs", logs, "complete",
			     qt_op_final(status) && json_array_size(logs) == 0);
	return 0;
}
