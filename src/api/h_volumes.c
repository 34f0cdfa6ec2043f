#include <string.h>

#include "cleanup.h"
#include "handlers.h"
#include "query.h"
#include "str.h"

static int no_volume(struct qt_err *e)
{
	return qt_fail(e, QT_E_VOLUME_NOT_FOUND, "there is no such volume");
}

int qt_h_volume(struct qt_call *c, struct qt_vol *ret, struct qt_err *e)
{
	if (qt_store_vol_get(c->life->store, &c->tenant, c->params[0], ret, e) < 0)
		return -1;
	if (ret->deadline_ms == 0)
		return 0;
	qt_vol_done(ret);
	return no_volume(e);
}

int qt_h_vol_list(struct qt_call *c, struct qt_err *e)
{
	struct qt_vol_list list;
	json_t *items;

	if (qt_store_vol_list(c->life->store, &c->tenant, (unsigned)qt_query_u64(c, "limit", 0), qt_query_str(c, "cursor", ""), &list, e) < 0)
		return -1;
	items = json_array();
	for (size_t i = 0; i < list.n; i++)
		json_array_append_new(items, qt_vol_view(&list.v[i]));
	c->reply = json_pack("{s:o, s:{s:b, s:o}}", "volumes", items, "pagination", "has_next", list.cursor[0] != '\0', "next_cursor",
			     list.cursor[0] ? json_string(list.cursor) : json_null());
	qt_vol_list_done(&list);
	return 0;
}

int qt_h_vol_get(struct qt_call *c, struct qt_err *e)
{
	auto_vol struct qt_vol v = {0};

	if (qt_h_volume(c, &v, e) < 0)
		return -1;
	c->reply = qt_vol_view(&v);
	return 0;
}

int qt_h_vol_inspect(struct qt_call *c, struct qt_err *e)
{
	auto_vol struct qt_vol v = {0};
	uint64_t bytes, files;
	json_t *users;

	if (qt_h_volume(c, &v, e) < 0 || qt_life_vol_size(c->life, &v, &bytes, &files, e) < 0)
		return -1;
	users = qt_store_vol_users(c->life->store, &c->tenant, &v.id, e);
	if (!users)
		return -1;
	c->reply = qt_vol_view(&v);
	json_object_set_new(c->reply, "used_by", users);
	json_object_set_new(c->reply, "size_bytes", json_integer((json_int_t)bytes));
	json_object_set_new(c->reply, "files", json_integer((json_int_t)files));
	return 0;
}

static void replace(json_t **to, const json_t *from)
{
	if (!from)
		return;
	json_decref(*to);
	*to = json_incref((json_t *)(uintptr_t)from);
}

int qt_h_vol_create(struct qt_call *c, struct qt_err *e)
{
	const struct qt_vol_create_req *q = c->req;
	const char *size = json_string_value(json_object_get(q->options, "size"));
	auto_vol struct qt_vol v;

	qt_vol_init(&v);
	v.id = qt_id_new("vol");
	v.tenant = c->tenant;
	(void)qt_copy(v.name, sizeof(v.name), q->name);
	replace(&v.labels, q->labels);
	replace(&v.options, q->options);
	v.max_bytes = c->life->conf->volume_bytes;
	if ((size && qt_check_size("/options/size", size, &v.max_bytes, e) < 0) || qt_life_vol_create(c->life, &v, e) < 0)
		return -1;
	c->reply = qt_vol_view(&v);
	return 0;
}

int qt_h_vol_rename(struct qt_call *c, struct qt_err *e)
{
	const struct qt_vol_rename_req *q = c->req;
	char old_name[QT_VOLNAME_MAX + 1];
	auto_vol struct qt_vol v = {0};

	if (qt_h_volume(c, &v, e) < 0 || qt_life_vol_rename(c->life, &v, q->new_name, old_name, e) < 0)
		return -1;
	c->reply = json_pack("{s:b, s:s, s:s}", "success", 1, "old_name", old_name, "new_name", v.name);
	return 0;
}

/* Refused now rather than by the operation; a container that is made in between is seen by the operation. */
static int check_unused(struct qt_call *c, const struct qt_vol *v, struct qt_err *e)
{
	json_t *users = qt_store_vol_users(c->life->store, &c->tenant, &v->id, e);
	size_t n = json_array_size(users);

	if (n > 0)
		(void)qt_fail(e, QT_E_VOLUME_IN_USE, "container %s has the volume", json_string_value(json_array_get(users, 0)));
	json_decref(users);
	return users && n == 0 ? 0 : -1;
}

int qt_h_vol_delete(struct qt_call *c, struct qt_err *e)
{
	auto_vol struct qt_vol v = {0};
	auto_op struct qt_op o = {0};

	if (qt_h_volume(c, &v, e) < 0)
		return -1;
	if (qt_streq(qt_query_str(c, "execution", "async"), "sync")) {
		if (qt_life_vol_delete(c->life, &v, e) < 0)
			return -1;
		c->status = 200;
		c->reply = json_pack("{s:b}", "success", 1);
		return 0;
	}
	if (check_unused(c, &v, e) < 0)
		return -1;
	qt_op_init(&o);
	o.tenant = c->tenant;
	o.type = QT_OPT_VOL_DELETE;
	(void)qt_copy(o.volume, sizeof(o.volume), v.name);
	(void)qt_copy(o.node, sizeof(o.node), v.node);
	json_object_set_new(o.args, "volume_id", json_string(v.id.s));
	return qt_h_receipt_op(c, &o, e);
}
