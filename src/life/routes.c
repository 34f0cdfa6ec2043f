#include "inner.h"

#define ROUTE_BUDGET_MS 5000

int qt_life_routes(struct qt_life *l, const struct qt_ctr *c, struct qt_err *e)
{
	for (size_t i = 0; i < json_array_size(c->routes); i++) {
		struct rt_route_req req = {.id = c->id, .destination = rt_str(json_string_value(json_array_get(c->routes, i)))};
		struct rt_route_rep rep;

		if (rt_route(&l->rt, &req, &rep, ROUTE_BUDGET_MS, e) < 0)
			return -1;
	}
	return 0;
}
