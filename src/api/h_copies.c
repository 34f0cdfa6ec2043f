/* snapshot, fork and clone: what is asked for is checked and reserved here, and the agent does it. */
#include "cleanup.h"
#include "handlers.h"
#include "query.h"
#include "snaps.h"
#include "str.h"

/* The place of a word that the body's table has let through, in that table. */
static unsigned word(const char *const *words, const char *text)
{
	unsigned i = 0;

	(void)qt_word_parse(&i, words, text);
	return i;
}

/* What a dry run found, besides that it could be done. */
static int dry(struct qt_call *c)
{
	c->status = 200;
	c->reply = json_pack("{s:b, s:b}", "success", 1, "dry_run", 1);
	return 0;
}

int qt_h_snap_create(struct qt_call *c, struct qt_err *e)
{
	const struct qt_copy_req *q = c->req;
	auto_snap struct qt_snap s = {0};
	auto_ctr struct qt_ctr k = {0};
	struct qt_op op;

	if (qt_h_container(c, &k, e) < 0)
		return -1;
	qt_snap_init(&s);
	(void)qt_copy(s.name, sizeof(s.name), q->name);
	s.consistency = (enum qt_consistency)word(qt_consistency_words, q->consistency);
	s.network = (enum qt_network_mode)word(qt_network_words, q->network);
	s.volumes = (enum qt_volume_mode)word(qt_volume_words, q->volumes);
	s.ttl_s = q->ttl_s;
	if (q->labels)
		json_object_update(s.labels, (json_t *)(uintptr_t)q->labels);
	if (qt_life_snap_take(c->life, &k, &s, q->dry, &op, e) < 0)
		return -1;
	if (!q->dry) {
		qt_h_receipt_of(c, &op);
		json_object_set_new(c->reply, "source_container_id", json_string(k.id.s));
		json_object_set_new(c->reply, "source_container_name", json_string(k.name));
		json_object_set_new(c->reply, "status", json_string("creating"));
	}
	qt_op_done(&op);
	return q->dry ? dry(c) : 0;
}

static struct qt_copy wanted(const struct qt_copy_req *q)
{
	return (struct qt_copy){.name = q->name,
				.labels = q->labels,
				.dry = q->dry,
				.start = word(qt_resume_words, q->resume) == QT_RESUME_IMMEDIATE,
				.consistency = (enum qt_consistency)word(qt_consistency_words, q->consistency),
				.network = (enum qt_network_mode)word(qt_network_words, q->network),
				.volumes = (enum qt_volume_mode)word(qt_volume_words, q->volumes)};
}

static int made(struct qt_call *c, const struct qt_copy *how, struct qt_ctr *k, struct qt_op *op)
{
	if (!how->dry) {
		qt_h_receipt_of(c, op);
		json_object_set_new(c->reply, "name", json_string(k->name));
		json_object_set_new(c->reply, "state", json_string(qt_state_name(k->state)));
	}
	qt_op_done(op);
	qt_ctr_done(k);
	return how->dry ? dry(c) : 0;
}

int qt_h_ctr_fork(struct qt_call *c, struct qt_err *e)
{
	struct qt_copy how = wanted(c->req);
	auto_ctr struct qt_ctr source = {0};
	struct qt_ctr k;
	struct qt_op op;

	if (qt_h_container(c, &source, e) < 0 || qt_life_fork(c->life, &source, &how, &k, &op, e) < 0)
		return -1;
	return made(c, &how, &k, &op);
}

int qt_h_snap_clone(struct qt_call *c, struct qt_err *e)
{
	struct qt_copy how = wanted(c->req);
	auto_snap struct qt_snap s = {0};
	struct qt_ctr k;
	struct qt_op op;

	if (qt_store_snap_get(c->life->store, &c->tenant, c->params[0], &s, e) < 0 || qt_life_clone(c->life, &s, &how, &k, &op, e) < 0)
		return -1;
	return made(c, &how, &k, &op);
}
