/* The requests that end a container. Which privileges each uses, and what it would be worth to a hostile worker, stands in its row in ops.c. */
#include "copy.h"
#include "life.h"
#include "peer.h"

#define STOP_MAX_MS 600000

int rt_op_stop(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_stop_req *req = req_;
	uint32_t timeout_ms = req->timeout_ms < STOP_MAX_MS ? req->timeout_ms : STOP_MAX_MS;

	(void)rt;
	if (rt_life_wait(c, &a->call, e) < 0)
		return -1;
	a->extra_ms = timeout_ms;
	if (!c->ending)
		rt_life_stop(c, timeout_ms);
	return RT_LATER;
}

int rt_op_kill(struct rt *rt, struct rt_ctr *c, const void *req, struct rt_answer *a, struct qt_err *e)
{
	(void)rt;
	(void)req;
	if (rt_life_wait(c, &a->call, e) < 0)
		return -1;
	rt_life_kill(c);
	return RT_LATER;
}

int rt_op_delete(struct rt *rt, struct rt_ctr *c, const void *req, struct rt_answer *a, struct qt_err *e)
{
	(void)req;
	if (rt_life_wait(c, &a->call, e) < 0)
		return -1;
	c->deleting = true;
	if (c->phase == RT_PH_MAKING) {
		struct rt_copy *copy = rt_copy_of(rt, &c->id);

		if (copy)
			rt_copy_end(copy);
		return RT_LATER;
	}
	if (c->state == RT_ST_RUNNING)
		rt_life_kill(c);
	else if (!c->ending)
		rt_life_remove(c);
	return RT_LATER;
}
