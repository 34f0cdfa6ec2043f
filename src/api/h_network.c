/* Networks, routes and names of containers (contract 10). */
#include <string.h>

#include "cleanup.h"
#include "handlers.h"
#include "netaddr.h"
#include "str.h"

#define DNS_TTL_S 2

/* A handler of one container: FN makes the reply. */
static int answer(struct qt_call *c, json_t *(*fn)(struct qt_life *l, const struct qt_ctr *k, struct qt_err *e), struct qt_err *e)
{
	struct qt_ctr k;

	if (qt_h_container(c, &k, e) < 0)
		return -1;
	c->reply = fn(c->life, &k, e);
	qt_ctr_done(&k);
	return c->reply ? 0 : -1;
}

int qt_h_net_get(struct qt_call *c, struct qt_err *e)
{
	return answer(c, qt_life_network, e);
}

int qt_h_net_diagnostics(struct qt_call *c, struct qt_err *e)
{
	return answer(c, qt_life_net_diagnose, e);
}

int qt_h_net_egress(struct qt_call *c, struct qt_err *e)
{
	return answer(c, qt_life_egress, e);
}

int qt_h_net_allocations(struct qt_call *c, struct qt_err *e)
{
	struct qt_ctr_list list;
	json_t *items;

	if (qt_store_ctr_list(c->life->store, &c->tenant, -1, 0, "", &list, e) < 0)
		return -1;
	items = json_array();
	for (size_t i = 0; i < list.n; i++) {
		json_t *one = qt_life_network(c->life, &list.v[i], e);

		if (!one)
			break;
		json_array_append_new(items, one);
	}
	qt_ctr_list_done(&list);
	if (e->code != QT_OK) {
		json_decref(items);
		return -1;
	}
	c->reply = json_pack("{s:o}", "allocations", items);
	return 0;
}

/* The network of K after a change of it. */
static int changed(struct qt_call *c, const struct qt_ctr *k, struct qt_err *e)
{
	c->reply = qt_life_network(c->life, k, e);
	return c->reply ? json_object_set_new(c->reply, "success", json_true()) : -1;
}

int qt_h_net_put(struct qt_call *c, struct qt_err *e)
{
	const struct qt_address_req *q = c->req;
	struct qt_ctr k;
	int rc;

	if (qt_h_container(c, &k, e) < 0)
		return -1;
	rc = qt_life_address(c->life, &k, q->ip, e);
	if (rc == 0)
		rc = changed(c, &k, e);
	qt_ctr_done(&k);
	return rc;
}

int qt_h_net_setup(struct qt_call *c, struct qt_err *e)
{
	struct qt_ctr k;
	int rc;

	if (qt_h_container(c, &k, e) < 0)
		return -1;
	rc = qt_life_net_setup(c->life, &k, e);
	if (rc == 0)
		rc = changed(c, &k, e);
	qt_ctr_done(&k);
	return rc;
}

static int route(struct qt_call *c, bool remove, struct qt_err *e)
{
	const struct qt_route_req *q = c->req;
	struct qt_ctr k;
	int rc;

	if (qt_h_container(c, &k, e) < 0)
		return -1;
	rc = qt_life_route(c->life, &k, q->destination, remove, e);
	if (rc == 0)
		c->reply = json_pack("{s:b, s:s, s:s, s:O}", "success", 1, "container_id", k.id.s, "destination", q->destination,
				     "routes", k.routes);
	qt_ctr_done(&k);
	return rc;
}

int qt_h_route_add(struct qt_call *c, struct qt_err *e)
{
	return route(c, false, e);
}

int qt_h_route_remove(struct qt_call *c, struct qt_err *e)
{
	return route(c, true, e);
}

int qt_h_dns_entries(struct qt_call *c, struct qt_err *e)
{
	struct qt_ctr_list list;
	json_t *items;

	if (qt_store_ctr_list(c->life->store, &c->tenant, QT_ST_RUNNING, 0, "", &list, e) < 0)
		return -1;
	items = json_array();
	for (size_t i = 0; i < list.n; i++)
		json_array_append_new(items, json_pack("{s:s, s:s, s:s, s:i}", "container_id", list.v[i].id.s, "container_name",
						       list.v[i].name, "ip_address", list.v[i].ip, "ttl", DNS_TTL_S));
	qt_ctr_list_done(&list);
	c->reply = json_pack("{s:s, s:o}", "domain", c->life->conf->dns_domain, "entries", items);
	return 0;
}

int qt_h_dns_rename(struct qt_call *c, struct qt_err *e)
{
	const struct qt_dns_rename_req *q = c->req;
	char old_name[QT_NAME_MAX + 1];
	struct qt_id id;
	struct qt_ctr k;
	int rc;

	/* Its name, and nothing else: an id is no entry of the DNS. */
	if (qt_store_ctr_by_name(c->life->store, &c->tenant, c->params[0], &id, e) < 0 ||
	    qt_store_ctr_get(c->life->store, &c->tenant, id.s, &k, e) < 0)
		return -1;
	rc = qt_life_rename(c->life, &k, q->new_name, old_name, e);
	if (rc == 0)
		c->reply = json_pack("{s:b, s:s, s:s, s:s}", "success", 1, "container_id", k.id.s, "old_name", old_name, "new_name",
				     q->new_name);
	qt_ctr_done(&k);
	return rc;
}
