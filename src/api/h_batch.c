/* POST /api/containers/batch: all of it is checked and reserved, or nothing is. */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "handlers.h"
#include "str.h"

struct batch {
	struct qt_ctr *v;
	size_t n;
};

static void batch_done(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		qt_ctr_done(&b->v[i]);
	free(b->v);
}
#define auto_batch QT_AUTO(batch_done)

/* The error is item I's: its pointer begins there. */
static int of_item(struct qt_err *e, size_t i)
{
	char field[sizeof(e->field)];

	(void)qt_fmt(field, sizeof(field), "/items/%zu%.80s", i, e->field);
	memcpy(e->field, field, sizeof(field));
	return -1;
}

static int take_item(const struct qt_call *c, const json_t *item, struct batch *b, struct qt_err *e)
{
	struct qt_create_req q;
	uint64_t seen;

	if (qt_decode(item, qt_create_body, &q, sizeof(q), &qt_create_defaults, &seen, e) < 0)
		return -1;
	for (size_t i = 0; i < b->n; i++)
		if (qt_streq(b->v[i].name, q.name))
			return qt_fail_field(e, QT_E_CONTAINER_NAME_CONFLICT, "/name", "a name that no other item has",
					     "item %zu of the batch is named \"%s\" as well", i, q.name);
	if (qt_h_create_take(c, &q, &b->v[b->n], e) < 0)
		return -1;
	b->n++;
	return 0;
}

static int take_items(const struct qt_call *c, const json_t *items, struct batch *b, struct qt_err *e)
{
	b->v = calloc(json_array_size(items), sizeof(*b->v));
	if (!b->v)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	for (size_t i = 0; i < json_array_size(items); i++)
		if (take_item(c, json_array_get(items, i), b, e) < 0)
			return of_item(e, i);
	return 0;
}

static int reserve(struct qt_life *l, struct batch *b, struct qt_err *e)
{
	size_t bad;

	if (qt_life_reserve_all(l, b->v, b->n, &bad, e) == 0)
		return 0;
	if (bad == b->n)
		return -1;
	if (e->code == QT_E_CONTAINER_NAME_CONFLICT)
		(void)qt_copy(e->field, sizeof(e->field), "/name");
	return of_item(e, bad);
}

static int submit(struct qt_life *l, const struct batch *b, struct qt_op *o, struct qt_err *e)
{
	o->tenant = b->v[0].tenant;
	o->type = QT_OPT_CTR_BATCH;
	for (size_t i = 0; i < b->n; i++)
		json_array_append_new(o->items, json_pack("{s:i, s:s, s:s, s:s, s:n}", "index", (int)i, "name", b->v[i].name, "status",
							  "accepted", "container_id", b->v[i].id.s, "error"));
	if (qt_life_submit_op(l, o, e) == 0)
		return 0;
	for (size_t i = 0; i < b->n; i++)
		qt_life_undo_create(l, &b->v[i]);
	return -1;
}

int qt_h_ctr_batch(struct qt_call *c, struct qt_err *e)
{
	const struct qt_batch_req *q = c->req;
	auto_batch struct batch b = {0};
	auto_op struct qt_op o;
	char url[80];

	qt_op_init(&o);
	if (take_items(c, q->items, &b, e) < 0 || reserve(c->life, &b, e) < 0 || submit(c->life, &b, &o, e) < 0)
		return -1;
	(void)qt_fmt(url, sizeof(url), "/api/operations/%s", o.id.s);
	c->reply = json_pack("{s:b, s:s, s:s, s:O}", "success", 1, "operation_id", o.id.s, "status_url", url, "items", o.items);
	return 0;
}
