#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "settle_in.h"

#define LIST_BUDGET_MS 15000

void qt_ids_done(struct qt_ids *i)
{
	free(qt_take(&i->v));
}

int qt_ids_add(struct qt_ids *i, const struct qt_id *id, struct qt_err *e)
{
	if (i->n == i->cap) {
		size_t cap = i->cap ? 2 * i->cap : 64;
		struct qt_id *v = reallocarray(i->v, cap, sizeof(*v));

		if (!v)
			return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
		i->v = v;
		i->cap = cap;
	}
	i->v[i->n++] = *id;
	return 0;
}

int qt_ids_add_page(struct qt_ids *i, const struct rt_strv *page, const char *prefix, char *after, struct qt_err *e)
{
	const char *p = NULL;
	struct qt_id id;

	while ((p = rt_strv_next(page, p))) {
		if (!qt_id_parse(&id, prefix, p) || strcmp(id.s, after) <= 0)
			return qt_fail(e, QT_E_RUNTIME_UNAVAILABLE, "the runtime's list is not one");
		if (qt_ids_add(i, &id, e) < 0)
			return -1;
		memcpy(after, id.s, sizeof(id.s));
	}
	return page->n > 0;
}

int qt_ids_list(struct qt_life *l, const char *kind, struct qt_ids *ret, struct qt_err *e)
{
	char after[QT_ID_MAX + 1] = "";
	int r = 1;

	while (r > 0) {
		struct rt_obj_list_req req = {.kind = rt_str(kind), .after = rt_str(after)};
		struct rt_obj_list_rep rep;

		r = rt_obj_list(&l->rt, &req, &rep, LIST_BUDGET_MS, e) < 0 ? -1 : qt_ids_add_page(ret, &rep.ids, kind, after, e);
	}
	return r;
}

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct qt_id *)a)->s, ((const struct qt_id *)b)->s);
}

void qt_ids_sort(struct qt_ids *i)
{
	if (i->n > 0)
		qsort(i->v, i->n, sizeof(*i->v), by_id);
}

bool qt_ids_have(const struct qt_ids *i, const struct qt_id *id)
{
	return i->n > 0 && bsearch(id, i->v, i->n, sizeof(*i->v), by_id);
}
