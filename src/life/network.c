/* The network of a container, as its tenant sees and changes it (contract 10). Redis keeps the further routes; the runtime has addresses, and
 * routes for as long as a run lasts. */
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "inner.h"
#include "netaddr.h"
#include "str.h"

#define LOOK_BUDGET_MS	 5000
#define CHANGE_BUDGET_MS 5000
#define WHOLE		 (RT_NET_HOST_LINK | RT_NET_LINK | RT_NET_ADDRESS | RT_NET_ROUTE | RT_NET_FILTER)

/* 1: RET is what the runtime says. 0: it has no such container (lost, or not made yet). -1. */
static int look(struct qt_life *l, const struct qt_ctr *c, struct rt_net_rep *ret, struct qt_err *e)
{
	struct rt_net_req req = {.id = c->id};

	if (rt_net(&l->rt, &req, ret, LOOK_BUDGET_MS, e) == 0)
		return 1;
	if (e->code != QT_E_CONTAINER_NOT_FOUND)
		return -1;
	qt_err_reset(e);
	memset(ret, 0, sizeof(*ret));
	return 0;
}

static const char *status_of(const struct qt_ctr *c, int there, const struct rt_net_rep *n)
{
	if (c->deleting_ms > 0)
		return "cleanup_pending";
	if (!there)
		return "cleaned";
	return (n->checks & WHOLE) == WHOLE ? "active" : "allocated";
}

static json_t *text_or_null(const char *s)
{
	return s && s[0] ? json_string(s) : json_null();
}

json_t *qt_life_network(struct qt_life *l, const struct qt_ctr *c, struct qt_err *e)
{
	struct rt_net_rep n;
	int there = look(l, c, &n, e);
	char when[32];
	json_t *j;

	if (there < 0)
		return NULL;
	qt_iso8601(when, sizeof(when), c->created_ms);
	j = json_pack("{s:s, s:s, s:o, s:n, s:o, s:s, s:o, s:b, s:s, s:s, s:O}", "container_id", c->id.s, "container_name", c->name,
		      "ip_address", text_or_null(there ? n.ip.s : ""), "bridge_interface", "veth_host",
		      text_or_null(there ? n.link.s : ""), "veth_container", "eth0", "gateway", text_or_null(there ? n.gateway.s : ""),
		      "setup_completed", (int)((n.checks & WHOLE) == WHOLE), "status", status_of(c, there, &n), "allocation_time", when,
		      "routes", c->routes);
	return j ? j : ((void)qt_fail(e, QT_E_UNAVAILABLE, "out of memory"), NULL);
}

/* --- diagnostics --------------------------------------------------------------------------------------- */

static const struct check {
	const char *name, *good, *bad;
	unsigned bit;
	bool of_the_node; /* says nothing of this container */
} checks[] = {
	{"host_link", "the host's end of the link is up", "the host's end of the link is missing or down", RT_NET_HOST_LINK, false},
	{"link", "eth0 and lo are up", "eth0 or lo is missing or down", RT_NET_LINK, false},
	{"address", "eth0 has the address", "eth0 does not have the address", RT_NET_ADDRESS, false},
	{"default_route", "the default route leads to the gateway", "the default route is missing or leads elsewhere", RT_NET_ROUTE, false},
	{"filter", "the packet filter knows the container", "the packet filter does not know the container", RT_NET_FILTER, false},
	{"dns", "the node's resolver is at work", "the node's resolver is not at work", RT_NET_DNS, true},
	{"egress", "the node has a way out", "the node has no uplink: only containers of the tenant can be reached", RT_NET_EGRESS, true},
};

json_t *qt_life_net_diagnose(struct qt_life *l, const struct qt_ctr *c, struct qt_err *e)
{
	struct rt_net_rep n;
	int there = look(l, c, &n, e);
	json_t *list;

	if (there < 0)
		return NULL;
	list = json_array();
	for (size_t i = 0; i < QT_LEN(checks); i++) {
		bool ok = n.checks & checks[i].bit;
		const char *why = ok ? checks[i].good : checks[i].bad;

		if (!ok && !checks[i].of_the_node && c->state != QT_ST_RUNNING)
			why = "the container does not run";
		json_array_append_new(list, json_pack("{s:s, s:b, s:s}", "name", checks[i].name, "ok", (int)ok, "detail", why));
	}
	return json_pack("{s:s, s:s, s:b, s:o}", "container_id", c->id.s, "state", qt_state_name(c->state), "healthy",
			 (int)((n.checks & WHOLE) == WHOLE), "checks", list);
}

json_t *qt_life_egress(struct qt_life *l, const struct qt_ctr *c, struct qt_err *e)
{
	struct rt_stats_req req = {.id = c->id};
	struct rt_stats_rep s = {0};
	char when[32];

	if (c->state == QT_ST_RUNNING && rt_stats(&l->rt, &req, &s, LOOK_BUDGET_MS, e) < 0)
		return NULL;
	qt_iso8601(when, sizeof(when), c->started_ms);
	return json_pack("{s:s, s:I, s:n, s:n, s:o}", "container_id", c->id.s, "egress_bytes", (json_int_t)s.network_tx_bytes,
			 "egress_limit_bytes", "limit_mbit", "period_start", c->started_ms ? json_string(when) : json_null());
}

/* --- changes ------------------------------------------------------------------------------------------- */

static int must_run(const struct qt_ctr *c, bool run, const char *what, const char *hint, struct qt_err *e)
{
	bool runs = c->state == QT_ST_RUNNING || c->state == QT_ST_STARTING;

	if (runs == run)
		return 0;
	(void)qt_fail(e, QT_E_INVALID_STATE, "%s is not possible: the container is %s", what, qt_state_name(c->state));
	(void)qt_copy(e->state, sizeof(e->state), qt_state_name(c->state));
	e->hint = hint;
	return -1;
}

int qt_life_address(struct qt_life *l, struct qt_ctr *c, const char *ip, struct qt_err *e)
{
	struct rt_address_req req = {.id = c->id, .ip = rt_str(ip)};
	struct rt_address_rep rep;

	if (must_run(c, false, "another address", "Stop it first: a running container keeps its address.", e) < 0 ||
	    rt_address(&l->rt, &req, &rep, CHANGE_BUDGET_MS, e) < 0)
		return -1;
	(void)qt_copy(c->ip, sizeof(c->ip), rep.ip.s);
	/* If this is not heard any more, the next start tells Redis the address. */
	return qt_store_ctr_address(l->store, &c->tenant, &c->id, c->ip, e);
}

int qt_life_net_setup(struct qt_life *l, const struct qt_ctr *c, struct qt_err *e)
{
	struct rt_net_mend_req req = {.id = c->id};
	struct rt_net_mend_rep rep;

	if (must_run(c, true, "network setup", "Start it: that sets its network up.", e) < 0 ||
	    rt_net_mend(&l->rt, &req, &rep, CHANGE_BUDGET_MS, e) < 0)
		return -1;
	return qt_life_routes(l, c, e);
}

int qt_life_route(struct qt_life *l, struct qt_ctr *c, const char *net, bool remove, struct qt_err *e)
{
	struct rt_route_req req = {.id = c->id, .destination = rt_str(net), .remove = remove};
	struct rt_route_rep rep;
	struct rt_cidr parsed;
	struct qt_ctr now;

	if (rt_route_parse(&parsed, net, e) < 0 ||
	    qt_store_ctr_route(l->store, &c->tenant, &c->id, net, remove, &now, e) < 0)
		return -1;
	qt_ctr_done(c);
	*c = now;
	qt_life_copy(l, c);
	if (c->state != QT_ST_RUNNING || rt_route(&l->rt, &req, &rep, CHANGE_BUDGET_MS, e) == 0)
		return 0;
	/* It ended a moment ago: the next start sets the routes. */
	if (e->code != QT_E_INVALID_STATE)
		return -1;
	qt_err_reset(e);
	return 0;
}
