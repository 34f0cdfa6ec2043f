#include "handlers.h"
#include "replies.h"
#include "str.h"

/* clang-format off */
static const struct qt_rfield pagination_fields[] = {{"has_next", "boolean", 0, NULL}, {"next_cursor", "string|null", 0, NULL}, {0}};
const struct qt_reply qt_reply_pagination = {"Pagination", pagination_fields};
static const struct qt_rfield receipt_fields[] = {
	{"success", "boolean", 0, NULL}, {"operation_id", "string", 0, NULL}, {"status_url", "string", 0, NULL}, {"container_id", "string", 1, NULL},
	{"snapshot_id", "string", 1, NULL}, {"volume", "string", 1, NULL}, {"name", "string", 1, NULL}, {"state", "string", 1, NULL}, {0}};
const struct qt_reply qt_reply_receipt = {"Receipt", receipt_fields};
static const struct qt_rfield success_fields[] = {{"success", "boolean", 0, NULL}, {0}};
const struct qt_reply qt_reply_success = {"Success", success_fields};

static const char *const execution_words[] = {"sync", "async", NULL};
const struct qt_qfield qt_query_execution[] = {
	{"execution", QT_Q_WORD, 0, 0, execution_words, "sync, or async for a 202 and an operation"}, {0}};
const struct qt_qfield qt_query_page[] = {
	{"limit", QT_Q_U64, 1, 1000, NULL, "at most so many; default all"},
	{"cursor", QT_Q_STR, 0, 63, NULL, "next_cursor of the page before"}, {0}};
/* clang-format on */

int qt_h_receipt_op(struct qt_call *c, struct qt_op *o, struct qt_err *e)
{
	if (qt_life_submit_op(c->life, o, e) < 0)
		return -1;
	qt_h_receipt_of(c, o);
	return 0;
}

void qt_h_receipt_of(struct qt_call *c, const struct qt_op *o)
{
	char url[80];

	(void)qt_fmt(url, sizeof(url), "/api/operations/%s", o->id.s);
	c->status = 202;
	c->reply = json_pack("{s:b, s:s, s:s}", "success", 1, "operation_id", o->id.s, "status_url", url);
	if (o->container.s[0])
		json_object_set_new(c->reply, "container_id", json_string(o->container.s));
	if (o->snapshot.s[0])
		json_object_set_new(c->reply, "snapshot_id", json_string(o->snapshot.s));
	if (o->volume[0])
		json_object_set_new(c->reply, "volume", json_string(o->volume));
}
