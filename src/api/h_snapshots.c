#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "clock.h"
#include "handlers.h"
#include "query.h"
#include "snaps.h"
#include "str.h"

#define IN_USE_WAIT_MS 2000 /* most are taken in less, and clients take one and delete it in one breath */
#define LOOK_GAP_MS    50

/* The label parameters as an object. */
static json_t *labels_of(const struct qt_call *c)
{
	json_t *labels = json_object();

	for (unsigned i = 0; i < c->n_query; i++) {
		const char *value = c->query[i].value;
		size_t n = strcspn(value, "=");
		char key[513]; /* as long as the whole may be */

		if (qt_streq(c->query[i].name, "label") && value[n] == '=' && qt_fmt(key, sizeof(key), "%.*s", (int)n, value))
			json_object_set_new(labels, key, json_string(value + n + 1));
	}
	return labels;
}

/* container_id is an id, also of one that is gone; or the name of one that is there. */
static int source_of(struct qt_call *c, struct qt_id *ret, struct qt_err *e)
{
	const char *who = qt_query_str(c, "container_id", "");

	if (qt_id_parse(ret, "ctr", who))
		return 0;
	return qt_store_ctr_by_name(c->life->store, &c->tenant, who, ret, e);
}

static json_t *list_view(const struct qt_snap_list *list)
{
	json_t *items = json_array();

	for (size_t i = 0; i < list->n; i++)
		json_array_append_new(items, qt_snap_view(&list->v[i]));
	return json_pack("{s:o, s:{s:b, s:o}}", "snapshots", items, "pagination", "has_next", list->cursor[0] != '\0', "next_cursor",
			 list->cursor[0] ? json_string(list->cursor) : json_null());
}

int qt_h_snap_list(struct qt_call *c, struct qt_err *e)
{
	bool of_one = qt_query_str(c, "container_id", NULL) != NULL;
	struct qt_snap_list list = {0};
	auto_json json_t *labels = NULL;
	struct qt_id source;
	int r = 0;

	if (c->life->conf->snapshot_list_needs_tenant && !*c->tenant_header)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "X-Tenant-Id", "the tenant of the API key",
				     "the header X-Tenant-Id is required here");
	labels = labels_of(c);
	if (of_one && source_of(c, &source, e) < 0) {
		if (e->code != QT_E_CONTAINER_NOT_FOUND)
			return -1;
		qt_err_reset(e); /* of nobody there is nothing */
	} else {
		r = qt_store_snap_list(c->life->store, &c->tenant, of_one ? &source : NULL, labels, (unsigned)qt_query_u64(c, "limit", 0),
				       qt_query_str(c, "cursor", ""), &list, e);
	}
	if (r == 0)
		c->reply = list_view(&list);
	qt_snap_list_done(&list);
	return r;
}

int qt_h_snap_get(struct qt_call *c, struct qt_err *e)
{
	auto_snap struct qt_snap s = {0};

	if (qt_store_snap_get(c->life->store, &c->tenant, c->params[0], &s, e) < 0)
		return -1;
	c->reply = qt_snap_view(&s);
	return 0;
}

static json_t *node_view(const struct qt_snap *s, size_t depth)
{
	return json_pack("{s:s, s:o, s:s, s:s, s:s, s:I, s:I}", "snapshot_id", s->id.s, "parent_snapshot_id",
			 s->parent.s[0] ? json_string(s->parent.s) : json_null(), "container_id", s->source.s, "source_container_id",
			 s->source.s, "source_container_name", s->source_name, "created_at", (json_int_t)(s->created_ms / 1000), "depth",
			 (json_int_t)depth);
}

int qt_h_snap_lineage(struct qt_call *c, struct qt_err *e)
{
	struct qt_snap_list list;
	json_t *nodes;

	if (qt_store_snap_lineage(c->life->store, &c->tenant, c->params[0], &list, e) < 0)
		return -1;
	nodes = json_array();
	for (size_t i = 0; i < list.n; i++)
		json_array_append_new(nodes, node_view(&list.v[i], i));
	c->reply = json_pack("{s:s, s:o}", "snapshot_id", c->params[0], "nodes", nodes);
	qt_snap_list_done(&list);
	return 0;
}

static int pin(struct qt_call *c, bool pinned, struct qt_err *e)
{
	auto_snap struct qt_snap s = {0};

	if (qt_life_snap_pin(c->life, &c->tenant, c->params[0], pinned, &s, e) < 0)
		return -1;
	c->reply = json_pack("{s:b, s:s, s:b}", "success", 1, "snapshot_id", s.id.s, "pinned", (int)s.pinned);
	return 0;
}

int qt_h_snap_pin(struct qt_call *c, struct qt_err *e)
{
	return pin(c, true, e);
}

int qt_h_snap_unpin(struct qt_call *c, struct qt_err *e)
{
	return pin(c, false, e);
}

int qt_h_snap_delete(struct qt_call *c, struct qt_err *e)
{
	const struct timespec gap = {.tv_nsec = LOOK_GAP_MS * 1000000L};
	int64_t until = qt_mono_ms() + IN_USE_WAIT_MS;
	auto_snap struct qt_snap s = {0};

	if (qt_store_snap_get(c->life->store, &c->tenant, c->params[0], &s, e) < 0)
		return -1;
	while (qt_life_snap_delete(c->life, &s, QT_SNAP_ASKED, "removed", e) < 0) {
		if (e->code != QT_E_SNAPSHOT_IN_USE || qt_left_ms(until) == 0)
			return -1;
		qt_err_reset(e);
		(void)nanosleep(&gap, NULL);
	}
	c->reply = json_pack("{s:b}", "success", 1);
	return 0;
}
