#include "handlers.h"

int qt_h_env_get(struct qt_call *c, struct qt_err *e)
{
	struct qt_ctr k;

	if (qt_h_container(c, &k, e) < 0)
		return -1;
	c->reply = json_pack("{s:s, s:O}", "container_id", k.id.s, "environment", k.environment);
	qt_ctr_done(&k);
	return 0;
}

static int change(struct qt_call *c, bool merge, struct qt_err *e)
{
	const struct qt_env_req *q = c->req;
	struct qt_ctr k;
	int rc;

	if (qt_h_container(c, &k, e) < 0)
		return -1;
	rc = qt_life_env(c->life, &k, q->environment, merge, e);
	if (rc == 0)
		c->reply = json_pack("{s:b}", "success", 1);
	qt_ctr_done(&k);
	return rc;
}

int qt_h_env_patch(struct qt_call *c, struct qt_err *e)
{
	return change(c, true, e);
}

int qt_h_env_put(struct qt_call *c, struct qt_err *e)
{
	return change(c, false, e);
}
