#include "cleanup.h"
#include "handlers.h"
#include "query.h"

int qt_h_op_get(struct qt_call *c, struct qt_err *e)
{
	struct qt_op op;

	if (qt_store_op_get(c->life->store, &c->tenant, c->params[0], &op, e) < 0)
		return -1;
	c->reply = qt_op_view(&op);
	qt_op_done(&op);
	return 0;
}

int qt_h_op_list(struct qt_call *c, struct qt_err *e)
{
	const char *text = qt_query_str(c, "status", NULL);
	enum qt_op_status status;
	struct qt_op_list list;
	json_t *items;

	if (qt_store_op_list(c->life->store, &c->tenant, text && qt_op_status_parse(&status, text) ? (int)status : -1,
			     (unsigned)qt_query_u64(c, "limit", 100), qt_query_str(c, "cursor", ""), &list, e) < 0)
		return -1;
	items = json_array();
	for (size_t i = 0; i < list.n; i++)
		json_array_append_new(items, qt_op_view(&list.v[i]));
	c->reply = json_pack("{s:o, s:{s:b, s:o}}", "operations", items, "pagination", "has_next", list.cursor[0] != '\0',
			     "next_cursor", list.cursor[0] ? json_string(list.cursor) : json_null());
	qt_op_list_done(&list);
	return 0;
}

int qt_h_op_cancel(struct qt_call *c, struct qt_err *e)
{
	struct qt_op op;

	if (qt_life_op_cancel(c->life, &c->tenant, c->params[0], &op, e) < 0)
		return -1;
	c->status = qt_op_final(op.status) ? 200 : 202; /* whoever executes it is asked to end it */
	c->reply = qt_op_view(&op);
	qt_op_done(&op);
	return 0;
}
