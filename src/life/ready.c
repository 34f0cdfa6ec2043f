#include <string.h>

#include "clock.h"
#include "gui.h"

#define CHECK_BUDGET_MS 8000 /* twice PING_MS of the runtime, and below the route's 10 s */

bool qt_ready_exec(const struct qt_ready *r)
{
	return r->state_running && r->minit_responsive && r->managed_image_valid;
}

static bool ready_gui(const struct qt_ready *r)
{
	return qt_ready_exec(r) && r->network_configured && r->gui_reachable;
}

static json_t *checks(const struct qt_ready *r)
{
	return json_pack("{s:b, s:b, s:b, s:b, s:o}", "state_running", (int)r->state_running, "minit_responsive",
			 (int)r->minit_responsive, "network_configured", (int)r->network_configured, "managed_image_valid",
			 (int)r->managed_image_valid, "gui_backend_reachable", r->has_gui ? json_boolean(r->gui_reachable) : json_null());
}

json_t *qt_ready_view(const struct qt_ready *r, const char *container_id)
{
	bool ready = qt_ready_exec(r) && r->network_configured && (!r->has_gui || ready_gui(r));
	json_t *view = json_pack("{s:s, s:s, s:I, s:b}", "container_id", container_id, "state", qt_state_name(r->state), "uptime_seconds",
				 (json_int_t)(r->uptime_ms / 1000), "ready", (int)ready);

	qt_ready_add(r, view);
	return view;
}

void qt_ready_add(const struct qt_ready *r, json_t *container)
{
	json_object_set_new(container, "exec_ready", json_boolean(qt_ready_exec(r)));
	json_object_set_new(container, "network_ready", json_boolean(r->network_configured));
	if (r->has_gui)
		json_object_set_new(container, "gui_ready", json_boolean(ready_gui(r)));
	json_object_set_new(container, "checks", checks(r));
}

int qt_life_ready(struct qt_life *l, const struct qt_ctr *c, struct qt_ready *ret, struct qt_err *e)
{
	struct rt_check_req req = {.id = c->id};
	struct qt_err look = {0};
	struct rt_check_rep rep;

	memset(ret, 0, sizeof(*ret));
	ret->state = c->state;
	ret->has_gui = qt_ctr_has_gui(c);
	if (c->state != QT_ST_RUNNING)
		return 0;
	if (rt_check(&l->rt, &req, &rep, CHECK_BUDGET_MS, &look) < 0) {
		/* It ended a moment ago, or the runtime is busy or away: the first is an answer, the others are not. */
		if (look.code == QT_E_CONTAINER_NOT_FOUND || look.code == QT_E_INVALID_STATE)
			return 0;
		*e = look;
		return -1;
	}
	ret->uptime_ms = c->started_ms ? qt_now_ms() - c->started_ms : 0;
	ret->state_running = rep.checks & RT_CHECK_RUNNING;
	ret->minit_responsive = rep.checks & RT_CHECK_INIT;
	ret->network_configured = rep.checks & RT_CHECK_NETWORK;
	ret->managed_image_valid = rep.checks & RT_CHECK_IMAGE;
	ret->gui_reachable = ret->has_gui && ret->minit_responsive && qt_life_gui_answers(l, c);
	return 0;
}
