#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "handlers.h"
#include "life/gui.h"
#include "images.h"
#include "query.h"
#include "str.h"

#define RETRIES 3 /* of a create whose image is replaced under it */

bool qt_h_async(const struct qt_call *c)
{
	return qt_streq(qt_query_str(c, "execution", "sync"), "async");
}

int qt_h_receipt(struct qt_call *c, enum qt_op_type type, const struct qt_ctr *k, json_t *args, bool more, struct qt_err *e)
{
	struct qt_op op;
	int r;

	qt_op_init(&op);
	op.tenant = k->tenant;
	op.type = type;
	op.container = k->id;
	(void)qt_copy(op.node, sizeof(op.node), k->node);
	json_decref(op.args);
	op.args = args;
	r = qt_h_receipt_op(c, &op, e);
	if (r == 0 && more) {
		json_object_set_new(c->reply, "name", json_string(k->name));
		json_object_set_new(c->reply, "state", json_string(qt_state_name(k->state)));
	}
	qt_op_done(&op);
	return r;
}

/* Their shape. Whether the plan has GPUs and which are free, the store says when the container is reserved, and so before anything exists. */
static int take_gpus(const struct qt_call *c, const struct qt_create_req *q, struct qt_ctr *k, struct qt_err *e)
{
	size_t ids = q->gpu_ids ? json_array_size(q->gpu_ids) : 0;
	char cdi[QT_GPU_ID_MAX + 1], id[QT_GPU_ID_MAX + 1], field[32];

	if (ids > 0 && (int64_t)ids != q->gpu_count)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/gpu_ids", "as many as gpu_count says",
				     "gpu_ids has %zu entries, gpu_count is %d", ids, (int)q->gpu_count);
	k->gpu_count = (uint32_t)q->gpu_count;
	for (size_t i = 0; i < ids; i++) {
		(void)qt_fmt(field, sizeof(field), "/gpu_ids/%zu", i);
		if (!qt_gpu_cdi(cdi, c->life->conf, json_string_value(json_array_get(q->gpu_ids, i))))
			return qt_fail_field(e, QT_E_VALIDATION_ERROR, field, "nvidia0, or the name of a device: 0, GPU-…, nvidia.com/gpu=0",
					     "that is not the name of one GPU");
		qt_gpu_id(id, c->life->conf, cdi);
		for (size_t j = 0; j < i; j++)
			if (qt_streq(json_string_value(json_array_get(k->gpu_ids, j)), id))
				return qt_fail_field(e, QT_E_VALIDATION_ERROR, field, "each GPU once", "the GPU is there twice");
		if (json_array_append_new(k->gpu_ids, json_string(id)) < 0)
			return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	}
	return 0;
}

static int check_image(const struct qt_create_req *q, struct qt_err *e)
{
	if (q->oci || !qt_streq(q->image, QT_GUI_IMAGE) || !q->command)
		return 0;
	(void)qt_fail_field(e, QT_E_VALIDATION_ERROR, "/command", "no command", "prod-gui does not take a command");
	e->hint = "Leave command out: the image starts its desktop itself. Run programs in it with exec, or use the image prod.";
	return -1;
}

static void replace(json_t **to, const json_t *from)
{
	if (!from)
		return;
	json_decref(*to);
	*to = json_incref((json_t *)(uintptr_t)from);
}

static int take_image(const struct qt_call *c, const struct qt_create_req *q, struct qt_ctr *k, struct qt_err *e)
{
	auto_img struct qt_img i = {0};

	if (qt_life_img_get(c->life, &c->tenant, "/image", q->image, &i, e) < 0)
		return -1;
	qt_ctr_take_image(k, &i);
	return 0;
}

int qt_h_create_take(const struct qt_call *c, const struct qt_create_req *q, struct qt_ctr *k, struct qt_err *e)
{
	qt_ctr_init(k);
	if (take_gpus(c, q, k, e) < 0 || check_image(q, e) < 0 || qt_life_fits(c->life, q->memory_mb, q->cpu_percent, e) < 0 ||
	    qt_check_volumes("/volumes", q->volumes, e) < 0) {
		qt_ctr_done(k);
		return -1;
	}
	k->id = qt_id_new("ctr");
	k->tenant = c->tenant;
	(void)qt_copy(k->name, sizeof(k->name), q->name);
	(void)qt_copy(k->image, sizeof(k->image), q->image);
	(void)qt_copy(k->workdir, sizeof(k->workdir), q->workdir);
	k->memory_mb = (uint32_t)q->memory_mb;
	k->cpu_centi = (uint32_t)(q->cpu_percent * 100.0 + 0.5);
	if (k->cpu_centi == 0)
		k->cpu_centi = 1;
	k->strict = q->strict;
	replace(&k->labels, q->labels);
	replace(&k->environment, q->environment);
	replace(&k->command, q->command);
	replace(&k->volumes, q->volumes);
	if (q->oci && take_image(c, q, k, e) < 0) {
		qt_ctr_done(k);
		return -1;
	}
	if (!k->workdir[0])
		(void)qt_copy(k->workdir, sizeof(k->workdir), "/");
	return 0;
}

/* Reserved and, if the operation cannot be submitted, released. */
static int create_later(struct qt_call *c, struct qt_ctr *k, struct qt_err *e)
{
	if (qt_life_reserve(c->life, k, e) < 0)
		return -1;
	if (qt_h_receipt(c, QT_OPT_CTR_CREATE, k, json_object(), true, e) == 0)
		return 0;
	qt_life_undo_create(c->life, k);
	return -1;
}

static int create_now(struct qt_call *c, struct qt_ctr *k, struct qt_err *e)
{
	struct qt_ready ready;

	if (qt_life_create(c->life, k, &ready, e) < 0)
		return -1;
	c->reply = qt_ctr_view(k);
	qt_ready_add(&ready, c->reply);
	return 0;
}

int qt_h_ctr_create(struct qt_call *c, struct qt_err *e)
{
	const struct qt_create_req *q = c->req;
	bool again = true;
	int rc = -1;

	/* A pull that makes the reference mean another image takes away the one that was found here: then the other is meant. */
	for (int tries = 0; again; tries++) {
		struct qt_ctr k;

		if (qt_h_create_take(c, q, &k, e) < 0)
			return -1;
		rc = qt_h_async(c) ? create_later(c, &k, e) : create_now(c, &k, e);
		qt_ctr_done(&k);
		again = rc < 0 && q->oci && e->code == QT_E_IMAGE_NOT_FOUND && tries < RETRIES;
		if (again)
			qt_err_reset(e);
	}
	return rc;
}

static int submit(struct qt_call *c, enum qt_verb verb, enum qt_op_type type, json_t *args, struct qt_err *e)
{
	struct qt_ctr k;
	int rc;

	if (qt_h_container(c, &k, e) < 0) {
		json_decref(args);
		return -1;
	}
	rc = qt_life_may(&k, verb, e);
	if (rc == 0)
		rc = qt_h_receipt(c, type, &k, args, false, e);
	else
		json_decref(args);
	qt_ctr_done(&k);
	return rc;
}

int qt_h_ctr_start(struct qt_call *c, struct qt_err *e)
{
	return submit(c, QT_V_START, QT_OPT_CTR_START, json_object(), e);
}

int qt_h_ctr_resume(struct qt_call *c, struct qt_err *e)
{
	return submit(c, QT_V_START, QT_OPT_CTR_RESUME, json_object(), e);
}

static json_t *ended(const struct qt_ctr *k)
{
	char when[32];

	qt_iso8601(when, sizeof(when), k->exited_ms);
	return json_pack("{s:b, s:s, s:s, s:i, s:s}", "success", 1, "container_id", k->id.s, "state", qt_state_name(k->state),
			 "exit_code", k->exit_code, "exited_at", when);
}

int qt_h_ctr_stop(struct qt_call *c, struct qt_err *e)
{
	const struct qt_stop_req *q = c->req;
	uint64_t timeout_ms = c->seen & 1 ? q->timeout_s * 1000 : c->life->conf->stop_timeout_ms;
	struct qt_ctr k;
	int rc;

	if (qt_h_async(c))
		return submit(c, QT_V_STOP, QT_OPT_CTR_STOP, json_pack("{s:I}", "timeout_ms", (json_int_t)timeout_ms), e);
	if (qt_h_container(c, &k, e) < 0)
		return -1;
	rc = qt_life_stop(c->life, &k, (uint32_t)timeout_ms, e);
	if (rc == 0)
		c->reply = ended(&k);
	qt_ctr_done(&k);
	return rc;
}

int qt_h_ctr_kill(struct qt_call *c, struct qt_err *e)
{
	struct qt_ctr k;
	int rc;

	if (qt_h_container(c, &k, e) < 0)
		return -1;
	rc = qt_life_kill(c->life, &k, e);
	if (rc == 0)
		c->reply = ended(&k);
	qt_ctr_done(&k);
	return rc;
}

int qt_h_ctr_delete(struct qt_call *c, struct qt_err *e)
{
	struct qt_ctr k;
	int rc;

	if (qt_h_async(c))
		return submit(c, QT_V_DELETE, QT_OPT_CTR_DELETE, json_object(), e);
	if (qt_h_container(c, &k, e) < 0)
		return -1;
	rc = qt_life_delete(c->life, &k, e);
	if (rc == 0)
		c->reply = json_pack("{s:b, s:s, s:s}", "success", 1, "container_id", k.id.s, "message", "Container removed");
	qt_ctr_done(&k);
	return rc;
}

int qt_h_ctr_rename(struct qt_call *c, struct qt_err *e)
{
	const struct qt_rename_req *q = c->req;
	char old_name[QT_NAME_MAX + 1];
	struct qt_ctr k;
	int rc;

	if (qt_h_container(c, &k, e) < 0)
		return -1;
	rc = qt_life_rename(c->life, &k, q->new_name, old_name, e);
	if (rc == 0)
		c->reply = json_pack("{s:b, s:s, s:s, s:s, s:b}", "success", 1, "container_id", k.id.s, "old_name", old_name,
				     "new_name", q->new_name, "dns_updated", (int)(c->life->conf->dns != 0));
	qt_ctr_done(&k);
	return rc;
}
