/* Archives into running containers and volumes: the upload lies in the spool, and quilt-files unpacks it. */
#include "cleanup.h"
#include "clock.h"
#include "files/files_client.h"
#include "inner.h"
#include "spool.h"
#include "str.h"

#define STEP_PCT 5 /* the record is written so often */

struct talk {
	struct qt_life *l;
	struct qt_op *o;
};

static bool heard(void *arg, unsigned percent)
{
	struct talk *t = arg;

	if (percent >= t->o->progress_pct + STEP_PCT)
		qt_op_progress(t->l, t->o, percent, "unpacking");
	return !t->l->op_cancelled && !t->l->op_lost;
}

static int unpack(struct qt_life *l, struct qt_op *o, const struct qt_id *tree, int fd, struct qt_err *e)
{
	const char *path = json_string_value(json_object_get(o->args, "path"));
	const struct ft_extract_req req = {.path = rt_str(path ? path : ""),
					   .name = rt_str(""),
					   .strip = (uint32_t)json_integer_value(json_object_get(o->args, "strip_components"))};
	struct talk t = {l, o};
	auto_files struct qt_files f = {.sock = -1};
	struct ft_extract_rep rep;

	if (qt_op_go_on(l, o, e) < 0 || qt_files_open(&f, &l->rt, tree, e) < 0)
		return -1;
	o->progress_pct = 0;
	if (qt_files_call(&f, FT_EXTRACT, &req, fd, &rep, sizeof(rep), heard, &t,
			  (int)(o->deadline_ms > qt_now_ms() ? o->deadline_ms - qt_now_ms() : 0), e) < 0)
		return -1;
	json_object_set_new(o->result, "path", json_string(path ? path : "/"));
	json_object_set_new(o->result, "entries", json_integer((json_int_t)rep.entries));
	json_object_set_new(o->result, "bytes", json_integer((json_int_t)rep.bytes));
	return 0;
}

/* The archive stays for the next try exactly when there will be one. */
static int with_archive(struct qt_life *l, struct qt_op *o, const struct qt_id *tree, struct qt_err *e)
{
	auto_close int fd = qt_spool_open(l->conf, o, e);
	int r;

	if (fd < 0 && e->code == QT_E_FILE_NOT_FOUND && o->progress_pct >= 99) {
		qt_err_reset(e); /* an earlier try unpacked it, and only its end was not written down */
		return 0;
	}
	r = fd < 0 ? -1 : unpack(l, o, tree, fd, e);
	if (r == 0)
		qt_op_progress(l, o, 99, "unpacked");
	if (r == 0 || (e->code != QT_E_RUNTIME_UNAVAILABLE && e->code != QT_E_STORE_UNAVAILABLE && !l->op_lost))
		qt_spool_drop(l->conf, o);
	return r;
}

int qt_op_ctr_archive(struct qt_life *l, struct qt_op *o, struct qt_err *e)
{
	auto_ctr struct qt_ctr c = {0};

	json_object_set_new(o->result, "container_id", json_string(o->container.s));
	if (qt_store_ctr_get(l->store, &o->tenant, o->container.s, &c, e) < 0)
		return -1;
	return with_archive(l, o, &c.id, e);
}

int qt_op_vol_archive(struct qt_life *l, struct qt_op *o, struct qt_err *e)
{
	const char *id = json_string_value(json_object_get(o->args, "volume_id"));
	auto_vol struct qt_vol v = {0};

	json_object_set_new(o->result, "volume", json_string(o->volume));
	if (qt_store_vol_get(l->store, &o->tenant, id ? id : "", &v, e) < 0)
		return -1;
	return with_archive(l, o, &v.id, e);
}
