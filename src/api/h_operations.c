#include "handlers.h"

int qt_h_op_get(struct qt_call *c, struct qt_err *e)
{
	struct qt_op op;

	if (qt_store_op_get(c->life->store, &c->tenant, c->params[0], &op, e) < 0)
		return -1;
	c->reply = qt_op_view(&op);
	qt_op_done(&op);
	return 0;
}
