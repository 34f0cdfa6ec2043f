/* Operations in a real Redis: submit, claim, lease, finish, and what a dead agent or a FLUSHALL leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "check.h"
#include "cleanup.h"
#include "clock.h"
#include "redis.h"
#include "str.h"

#define LONG_MS 600000

static struct qt_store *worker, *agent, *other;
static const struct qt_id tenant = {"ten_op"};

static int up(void **state)
{
	if (redis_up(state))
		return -1;
	worker = store_as("quilt-worker");
	agent = store_as("quilt-agent");
	other = store_as("quilt-agent");
	return 0;
}

static int down(void **state)
{
	qt_store_free(worker);
	qt_store_free(agent);
	qt_store_free(other);
	return redis_down(state);
}

static void new_op(struct qt_op *o, const char *node)
{
	qt_op_init(o);
	o->id = qt_id_new("op");
	o->tenant = tenant;
	o->type = QT_OPT_CTR_START;
	o->container = (struct qt_id){"ctr_1"};
	(void)qt_copy(o->node, sizeof(o->node), node);
	(void)qt_copy(o->message, sizeof(o->message), "accepted");
	json_object_set_new(o->args, "list", json_array());
	o->created_ms = qt_now_ms();
	o->updated_ms = o->created_ms;
	o->deadline_ms = o->created_ms + 60000;
}

static bool same_json(json_t *a, json_t *b)
{
	bool same = json_equal(a, b);

	json_decref(a);
	json_decref(b);
	return same;
}

/* The last event is this operation's record, as the API would show it. */
static void expect_event(const struct qt_op *o)
{
	redisReply *r = admin("XREVRANGE quilt:{%s}:events + - COUNT 1", tenant.s), *f;

	assert_int_equal(r->elements, 1);
	f = r->element[0]->element[1];
	assert_string_equal(f->element[1]->str, "operation_update");
	if (!same_json(json_loads(f->element[3]->str, 0, NULL), qt_op_view(o)))
		fail_msg("%s", f->element[3]->str);
	freeReplyObject(r);
}

static void test_whole(void **state)
{
	auto_op struct qt_op o, g = {0};
	struct qt_op_entry x = {0};

	(void)state;
	new_op(&o, "n1");
	must(qt_store_op_submit(worker, &o, e));
	expect_event(&o);
	must_not(qt_store_op_submit(worker, &o, e), QT_E_CONFLICT);
	must(qt_store_op_get(worker, &tenant, o.id.s, &g, e));
	assert_true(same_json(qt_op_view(&o), qt_op_view(&g)));
	assert_true(json_equal(o.args, g.args));
	assert_int_equal(g.deadline_ms, o.deadline_ms);
	qt_op_done(&g);
	must_not(qt_store_op_get(worker, &(struct qt_id){"ten_x"}, o.id.s, &g, e), QT_E_OPERATION_NOT_FOUND);
	must_not(qt_store_op_get(worker, &tenant, "op_unknown", &g, e), QT_E_OPERATION_NOT_FOUND);
	must_not(qt_store_op_get(worker, &tenant, "op_1\r\n*", &g, e), QT_E_OPERATION_NOT_FOUND);

	assert_int_equal(must(qt_store_op_next(agent, "n1", "a", 10000, LONG_MS, true, NULL, &x, e)), 1);
	assert_string_equal(x.op.id.s, o.id.s);
	assert_int_equal(x.op.status, QT_OP_RUNNING);
	assert_int_equal(x.op.attempts, 1);
	assert_true(x.op.started_ms >= o.created_ms && x.token > 0);
	assert_true(json_equal(x.op.args, o.args));
	expect_event(&x.op);
	assert_int_equal(must(qt_store_op_next(agent, "n1", "a", 0, LONG_MS, true, NULL, &x, e)), 0);
	must(qt_store_op_renew(agent, &x, LONG_MS, e));
	must_not(qt_store_op_finish(agent, &x, e), QT_E_INTERNAL_ERROR); /* running is no end */

	x.op.status = QT_OP_SUCCEEDED;
	x.op.progress_pct = 100;
	json_object_set_new(x.op.result, "container_id", json_string("ctr_1"));
	must(qt_store_op_finish(agent, &x, e));
	must_not(qt_store_op_finish(agent, &x, e), QT_E_CONFLICT);
	must_not(qt_store_op_renew(agent, &x, LONG_MS, e), QT_E_CONFLICT);
	must(qt_store_op_get(worker, &tenant, o.id.s, &g, e));
	assert_int_equal(g.status, QT_OP_SUCCEEDED);
	assert_true(g.completed_ms >= g.started_ms);
	assert_true(json_equal(g.result, x.op.result));
	expect_event(&g);
	assert_int_equal(admin_int("XLEN quilt:node:n1:ops"), 0);
	assert_true(admin_int("TTL quilt:{%s}:op:%s", tenant.s, o.id.s) > 86000);
	qt_op_done(&x.op);
}

/* Every kind of operation has the view in Redis that it has in C; and progress, which only its holder may tell. */
static void test_views(void **state)
{
	(void)state;
	for (unsigned i = 0; i < QT_OPT_COUNT; i++) {
		auto_op struct qt_op o;
		struct qt_op_entry x = {0};

		new_op(&o, "n6");
		o.type = (enum qt_op_type)i;
		o.snapshot = (struct qt_id){"snap_1"};
		(void)qt_copy(o.volume, sizeof(o.volume), "data");
		(void)qt_copy(o.image, sizeof(o.image), "docker.io/library/nginx:latest");
		json_array_append_new(o.items, json_pack("{s:i, s:s}", "index", 0, "name", "a"));
		must(qt_store_op_submit(worker, &o, e));
		expect_event(&o);
		assert_int_equal(must(qt_store_op_next(agent, "n6", "a", 10000, LONG_MS, true, NULL, &x, e)), 1);
		x.op.progress_pct = 40;
		(void)qt_copy(x.op.message, sizeof(x.op.message), "under way");
		assert_int_equal(must(qt_store_op_progress(agent, &x, e)), 0);
		assert_int_equal(must(qt_store_op_asked(agent, &x, e)), 0);
		expect_event(&x.op);
		json_array_append_new(x.op.warnings, json_string("w"));
		json_array_append_new(x.op.downgrades, json_string("d"));
		x.op.status = QT_OP_SUCCEEDED;
		x.token++;
		must_not(qt_store_op_progress(agent, &x, e), QT_E_CONFLICT);
		must_not(qt_store_op_asked(agent, &x, e), QT_E_CONFLICT);
		x.token--;
		must(qt_store_op_finish(agent, &x, e));
		qt_op_done(&o);
		must(qt_store_op_get(worker, &tenant, x.op.id.s, &o, e));
		expect_event(&o);
		assert_int_equal(json_array_size(o.warnings) + json_array_size(o.downgrades) + json_array_size(o.items), 3);
		qt_op_done(&x.op);
	}
}

static struct qt_ctr reserved(const char *name)
{
	struct qt_ctr c;

	qt_ctr_init(&c);
	c.id = qt_id_new("ctr");
	c.tenant = tenant;
	(void)qt_copy(c.name, sizeof(c.name), name);
	(void)qt_copy(c.node, sizeof(c.node), "n7");
	c.created_ms = qt_now_ms();
	return c;
}

static bool there(const struct qt_ctr *c)
{
	return admin_int("EXISTS quilt:{%s}:ctr:%s", tenant.s, c->id.s) == 1;
}

/* No slot is free: queued; then begun. */
static void test_queued(void **state)
{
	auto_op struct qt_op o, g = {0};
	struct qt_op_entry x = {0};

	(void)state;
	new_op(&o, "n7");
	must(qt_store_op_submit(worker, &o, e));
	assert_int_equal(must(qt_store_op_next(agent, "n7", "a", 10000, LONG_MS, false, NULL, &x, e)), 1);
	assert_int_equal(x.op.status, QT_OP_QUEUED);
	assert_int_equal(x.op.attempts, 0);
	expect_event(&x.op);
	must(qt_store_op_get(worker, &tenant, o.id.s, &g, e));
	assert_int_equal(g.status, QT_OP_QUEUED);
	must(qt_store_op_renew(agent, &x, LONG_MS, e));
	must(qt_store_op_begin(agent, &x, e));
	assert_int_equal(x.op.status, QT_OP_RUNNING);
	assert_int_equal(x.op.attempts, 1);
	assert_true(x.op.started_ms > 0);
	expect_event(&x.op);
	x.op.status = QT_OP_FAILED;
	must(qt_store_op_finish(agent, &x, e));
	qt_op_done(&x.op);
}

/* Cancelled while nobody works on it: over at once, and what was reserved for it is free. */
static void test_cancel(void **state)
{
	struct qt_ctr c = reserved("cancelled"), b = reserved("in-a-batch");

	(void)state;
	(void)admin_int("HSET quilt:tenant:%s max_containers 10 max_memory_mb 0 max_cpu_percent 0 max_gpus 0", tenant.s);
	for (int queued = 0; queued < 2; queued++) {
		auto_op struct qt_op o, g = {0};
		struct qt_op_entry x = {0};

		must(qt_store_ctr_reserve(worker, &c, qt_now_ms() + LONG_MS, e));
		must(qt_store_ctr_reserve(worker, &b, qt_now_ms() + LONG_MS, e));
		new_op(&o, "n8");
		o.type = queued ? QT_OPT_CTR_BATCH : QT_OPT_CTR_CREATE;
		o.container = c.id;
		if (queued)
			json_array_append_new(o.items, json_pack("{s:i, s:s, s:s, s:s, s:n}", "index", 0, "name", b.name, "status",
								 "accepted", "container_id", b.id.s, "error"));
		must(qt_store_op_submit(worker, &o, e));
		if (queued)
			assert_int_equal(must(qt_store_op_next(agent, "n8", "a", 10000, LONG_MS, false, NULL, &x, e)), 1);
		must(qt_store_op_cancel(worker, &tenant, o.id.s, &g, e));
		assert_int_equal(g.status, QT_OP_CANCELLED);
		assert_true(g.completed_ms > 0);
		expect_event(&g);
		assert_int_equal(there(&c), queued);
		assert_int_equal(there(&b), !queued);
		assert_true(admin_int("TTL quilt:{%s}:op:%s", tenant.s, o.id.s) > 86000);
		if (queued)
			must_not(qt_store_op_begin(agent, &x, e), QT_E_CONFLICT);
		else
			assert_int_equal(must(qt_store_op_next(agent, "n8", "a", 10000, LONG_MS, true, NULL, &x, e)), 0);
		assert_int_equal(admin_int("XLEN quilt:node:n8:ops"), 0);
		must_not(qt_store_op_cancel(worker, &tenant, o.id.s, &g, e), QT_E_INVALID_STATE);
		must_not(qt_store_op_cancel(worker, &(struct qt_id){"ten_x"}, o.id.s, &g, e), QT_E_OPERATION_NOT_FOUND);
		must(qt_store_ctr_remove(worker, &tenant, queued ? &c.id : &b.id, e));
		qt_op_done(&x.op);
	}
	qt_ctr_done(&c);
	qt_ctr_done(&b);
}

/* Cancelled while somebody works on it: he is asked to, and it is his to say how it ends. One that was begun is never queued again. */
static void test_cancel_running(void **state)
{
	auto_op struct qt_op o, g = {0};
	struct qt_op_entry x = {0}, heir = {0};
	struct qt_err err = {0};
	int r = 0;

	(void)state;
	new_op(&o, "n9");
	must(qt_store_op_submit(worker, &o, e));
	assert_int_equal(must(qt_store_op_next(agent, "n9", "a", 10000, 50, true, NULL, &x, e)), 1);
	must(qt_store_op_cancel(worker, &tenant, o.id.s, &g, e));
	assert_int_equal(g.status, QT_OP_RUNNING);
	assert_true(g.cancel_ms > 0);
	assert_int_equal(must(qt_store_op_asked(agent, &x, e)), 1);
	for (int64_t deadline = qt_mono_ms() + 60000; r == 0 && qt_mono_ms() < deadline;)
		r = must(qt_store_op_next(other, "n9", "heir", 10, 50, false, NULL, &heir, e));
	assert_int_equal(r, 1);
	assert_int_equal(heir.op.status, QT_OP_RUNNING);
	must(qt_store_op_begin(other, &heir, e));
	assert_int_equal(heir.op.attempts, 2);
	assert_int_equal(must(qt_store_op_progress(other, &heir, e)), 1);
	heir.op.status = QT_OP_CANCELLED;
	must(qt_store_op_finish(other, &heir, e));
	qt_op_done(&g);
	assert_int_equal(qt_store_op_cancel(worker, &tenant, o.id.s, &g, &err), -1);
	assert_int_equal(err.code, QT_E_INVALID_STATE);
	assert_string_equal(err.state, "cancelled");
	qt_op_done(&x.op);
	qt_op_done(&heir.op);
}

static unsigned ids_seen(const char *cursor, unsigned limit, int status, char *next)
{
	struct qt_op_list l;
	unsigned n;

	must(qt_store_op_list(worker, &(struct qt_id){"ten_list"}, status, limit, cursor, &l, e));
	for (size_t i = 1; i < l.n; i++)
		assert_true(l.v[i - 1].created_ms >= l.v[i].created_ms);
	(void)qt_copy(next, 64, l.cursor);
	n = (unsigned)l.n;
	qt_op_list_done(&l);
	return n;
}

/* Newest first, in pages that neither repeat nor skip, also where many came in one millisecond; expired ones leave the index. */
static void test_list(void **state)
{
	char cursor[64] = "", next[64];
	struct qt_err err = {0};
	struct qt_op_list l;
	unsigned n = 0;
	struct qt_op o;

	(void)state;
	for (int i = 0; i < 300; i++) {
		new_op(&o, "n10");
		o.tenant = (struct qt_id){"ten_list"};
		o.created_ms = 1000000 + i / 150; /* a page ends within a millisecond */
		must(qt_store_op_submit(worker, &o, e));
		qt_op_done(&o);
	}
	do {
		n += ids_seen(cursor, 70, -1, next);
		(void)qt_copy(cursor, sizeof(cursor), next);
	} while (cursor[0]);
	assert_int_equal(n, 300);
	assert_int_equal(ids_seen("", 1000, QT_OP_ACCEPTED, next), 300);
	assert_int_equal(ids_seen("", 1000, QT_OP_QUEUED, next), 0);
	assert_string_equal(next, "");
	assert_int_equal(qt_store_op_list(worker, &tenant, -1, 10, "nonsense", &l, &err), -1);
	assert_int_equal(err.code, QT_E_VALIDATION_ERROR);
	for (int i = 0; i < 3; i++) {
		redisReply *r = admin("ZRANGE quilt:{ten_list}:ops %d %d", i, i);

		(void)admin_int("DEL quilt:{ten_list}:op:%s", r->element[0]->str);
		freeReplyObject(r);
	}
	new_op(&o, "n10");
	o.tenant = (struct qt_id){"ten_list"};
	must(qt_store_op_submit(worker, &o, e));
	qt_op_done(&o);
	assert_int_equal(admin_int("ZCARD quilt:{ten_list}:ops"), 298);
}

/* Past their deadline, and nobody's: of a node whose agent is there only what nobody began, of one without also what somebody did. */
static void test_overdue(void **state)
{
	struct qt_ctr c = reserved("overdue");
	auto_op struct qt_op waits, begun, held, g = {0};
	struct qt_op_entry x = {0};
	json_t *empty = json_object();
	unsigned n = 9;

	(void)state;
	(void)admin_int("HSET quilt:tenant:%s max_containers 10 max_memory_mb 0 max_cpu_percent 0 max_gpus 0", tenant.s);
	must(qt_store_node_beat(agent, "n11", empty, e));
	json_decref(empty);
	must(qt_store_ctr_reserve(worker, &c, qt_now_ms() + LONG_MS, e));
	new_op(&waits, "n11");
	new_op(&begun, "n11");
	new_op(&held, "n11");
	waits.deadline_ms = begun.deadline_ms = held.deadline_ms = 1;
	waits.type = QT_OPT_CTR_CREATE;
	waits.container = c.id;
	must(qt_store_op_submit(worker, &begun, e));
	assert_int_equal(must(qt_store_op_next(agent, "n11", "a", 10000, 1, true, NULL, &x, e)), 1);
	qt_op_done(&x.op);
	must(qt_store_op_submit(worker, &held, e));
	assert_int_equal(must(qt_store_op_next(agent, "n11", "a", 10000, LONG_MS, true, NULL, &x, e)), 1);
	qt_op_done(&x.op);
	must(qt_store_op_submit(worker, &waits, e));
	for (int64_t until = qt_now_ms() + 5; qt_now_ms() < until;)
		; /* the lease of 1 ms is over */
	must(qt_store_op_overdue(agent, INT64_C(1) << 45, 0, &n, e));
	assert_int_equal(n, 0); /* not so late yet */
	must(qt_store_op_overdue(agent, 0, LONG_MS, &n, e));
	assert_int_equal(n, 1);
	must(qt_store_op_get(worker, &tenant, waits.id.s, &g, e));
	assert_int_equal(g.status, QT_OP_TIMED_OUT);
	assert_string_equal(g.error_code, "TIMEOUT");
	expect_event(&g);
	assert_false(there(&c));
	(void)admin_int("ZADD quilt:nodes 1 n11");
	must(qt_store_op_overdue(agent, 0, LONG_MS, &n, e));
	assert_int_equal(n, 1);
	qt_op_done(&g);
	must(qt_store_op_get(worker, &tenant, begun.id.s, &g, e));
	assert_int_equal(g.status, QT_OP_TIMED_OUT);
	assert_int_equal(admin_int("ZCARD quilt:node:n11:due"), 1);
	qt_ctr_done(&c);
}

/* An agent dies with a claim; another takes over when the lease is over, and the dead one's word counts no more. */
static void test_lease(void **state)
{
	auto_op struct qt_op o;
	struct qt_op_entry dead = {0}, x = {0};
	int r = 0;

	(void)state;
	new_op(&o, "n2");
	must(qt_store_op_submit(worker, &o, e));
	assert_int_equal(must(qt_store_op_next(agent, "n2", "dead", 10000, 50, true, NULL, &dead, e)), 1);
	for (int64_t deadline = qt_mono_ms() + 60000; r == 0 && qt_mono_ms() < deadline;)
		r = must(qt_store_op_next(other, "n2", "heir", 10, 50, true, NULL, &x, e));
	assert_int_equal(r, 1);
	assert_string_equal(x.op.id.s, o.id.s);
	assert_int_equal(x.op.attempts, 2);
	assert_int_equal(x.op.started_ms, dead.op.started_ms);
	assert_true(x.token > dead.token);
	dead.op.status = x.op.status = QT_OP_FAILED;
	must_not(qt_store_op_renew(agent, &dead, 50, e), QT_E_CONFLICT);
	must_not(qt_store_op_finish(agent, &dead, e), QT_E_CONFLICT);
	must(qt_store_op_finish(other, &x, e));
	qt_op_done(&x.op);
	qt_op_done(&dead.op);
}

static bool is_ours(void *arg, const char *op)
{
	const struct qt_op_entry *x = arg;

	assert_string_equal(op, x->op.id.s);
	((struct qt_op_entry *)arg)->begun = true;
	return true;
}

/* One whose lease is over is nobody's, but its holder, who could not renew it, does not take it from himself. */
static void test_ones_own_is_not_abandoned(void **state)
{
	auto_op struct qt_op o;
	struct qt_op_entry mine = {0}, x = {0};
	const struct qt_op_held held = {is_ours, &mine};
	int r = 0;

	(void)state;
	new_op(&o, "n13");
	must(qt_store_op_submit(worker, &o, e));
	assert_int_equal(must(qt_store_op_next(agent, "n13", "a", 10000, 50, false, NULL, &mine, e)), 1);
	for (int64_t deadline = qt_mono_ms() + 60000; !mine.begun && qt_mono_ms() < deadline;)
		assert_int_equal(must(qt_store_op_next(agent, "n13", "a", 10, 50, true, &held, &x, e)), 0);
	mine.begun = false;
	must(qt_store_op_renew(agent, &mine, 50, e));
	for (int64_t deadline = qt_mono_ms() + 60000; r == 0 && qt_mono_ms() < deadline;)
		r = must(qt_store_op_next(agent, "n13", "a", 10, 50, true, NULL, &x, e));
	assert_int_equal(r, 1);
	assert_string_equal(x.op.id.s, o.id.s);
	must_not(qt_store_op_begin(agent, &mine, e), QT_E_CONFLICT);
	x.op.status = QT_OP_FAILED;
	must(qt_store_op_finish(agent, &x, e));
	qt_op_done(&x.op);
	qt_op_done(&mine.op);
}

/* The same when the heir knows that it is alone: at once, whatever is left of the lease. What nobody held is no different for it. */
static void test_orphans(void **state)
{
	struct qt_store *heir = store_as("quilt-agent");
	struct qt_op_entry held[3] = {0}, x = {0};
	struct qt_op o[4];

	(void)state;
	must(qt_store_op_orphan(agent, "n12", "a", e));
	for (size_t i = 0; i < QT_LEN(o); i++) {
		new_op(&o[i], "n12");
		must(qt_store_op_submit(worker, &o[i], e));
	}
	must(qt_store_op_orphan(agent, "n12", "a", e)); /* nobody read of it yet */
	for (size_t i = 0; i < QT_LEN(held); i++)
		assert_int_equal(must(qt_store_op_next(agent, "n12", "a", 10000, LONG_MS, true, NULL, &held[i], e)), 1);
	held[2].op.status = QT_OP_SUCCEEDED;
	must(qt_store_op_finish(agent, &held[2], e));
	must(qt_store_op_orphan(heir, "n12", "a", e));
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(must(qt_store_op_next(heir, "n12", "a", 10000, LONG_MS, true, NULL, &x, e)), 1);
		assert_string_equal(x.op.id.s, o[i < 2 ? i : 3].id.s);
		assert_int_equal(x.op.attempts, i < 2 ? 2 : 1);
		x.op.status = QT_OP_FAILED;
		if (i < 2)
			must_not(qt_store_op_renew(agent, &held[i], LONG_MS, e), QT_E_CONFLICT);
		must(qt_store_op_finish(heir, &x, e));
		qt_op_done(&x.op);
	}
	assert_int_equal(must(qt_store_op_next(heir, "n12", "a", 0, LONG_MS, true, NULL, &x, e)), 0);
	for (size_t i = 0; i < QT_LEN(held); i++)
		qt_op_done(&held[i].op);
	for (size_t i = 0; i < QT_LEN(o); i++)
		qt_op_done(&o[i]);
	qt_store_free(heir);
}

/* Entries of another form, of operations that are over or gone: taken out, and the next one is found. */
static void test_debris(void **state)
{
	auto_op struct qt_op o, gone;
	struct qt_op_entry x = {0};
	int r = 0;

	(void)state;
	new_op(&gone, "n3");
	must(qt_store_op_submit(worker, &gone, e));
	(void)admin_int("DEL quilt:{%s}:op:%s", tenant.s, gone.id.s);
	freeReplyObject(admin("XADD quilt:node:n3:ops * nonsense 1"));
	freeReplyObject(admin("XADD quilt:node:n3:ops * tenant ../../x op *"));
	freeReplyObject(admin("XADD quilt:node:n3:ops * tenant ten_nobody op op_nothing"));
	new_op(&o, "n3");
	must(qt_store_op_submit(worker, &o, e));
	for (int i = 0; i < 5 && r == 0; i++)
		r = must(qt_store_op_next(agent, "n3", "a", 10000, LONG_MS, true, NULL, &x, e));
	assert_int_equal(r, 1);
	assert_string_equal(x.op.id.s, o.id.s);
	assert_int_equal(admin_int("XLEN quilt:node:n3:ops"), 1);
	qt_op_done(&x.op);
}

/* The store is flushed under an agent that holds a claim: the group is made anew and the next operation runs. */
static void test_flush(void **state)
{
	auto_op struct qt_op o, o2;
	struct qt_op_entry x = {0}, y = {0};

	(void)state;
	new_op(&o, "n4");
	must(qt_store_op_submit(worker, &o, e));
	assert_int_equal(must(qt_store_op_next(agent, "n4", "a", 10000, LONG_MS, true, NULL, &x, e)), 1);
	freeReplyObject(admin("FLUSHALL"));
	x.op.status = QT_OP_SUCCEEDED;
	must_not(qt_store_op_finish(agent, &x, e), QT_E_CONFLICT);
	assert_int_equal(must(qt_store_op_next(agent, "n4", "a", 0, LONG_MS, true, NULL, &y, e)), 0);
	new_op(&o2, "n4");
	must(qt_store_op_submit(worker, &o2, e));
	assert_int_equal(must(qt_store_op_next(agent, "n4", "a", 10000, LONG_MS, true, NULL, &y, e)), 1);
	assert_string_equal(y.op.id.s, o2.id.s);
	qt_op_done(&x.op);
	qt_op_done(&y.op);
}

#define MANY  200
#define AHEAD 12 /* src/store/lua/op.lua */

static struct qt_id submit(const struct qt_id *who, const char *node)
{
	auto_op struct qt_op o;

	new_op(&o, node);
	o.tenant = *who;
	must(qt_store_op_submit(worker, &o, e));
	return o.id;
}

/* Whoever submits more than an agent's queue holds: others come after a few of his, his own keep their order, and what ends before its turn, or is
 * forgotten, is left out. */
static void test_fair(void **state)
{
	const struct qt_id others = {"ten_other"};
	struct qt_id mine[MANY], one;
	unsigned next = 0;

	(void)state;
	for (int i = 0; i < MANY; i++)
		mine[i] = submit(&tenant, "n12");
	one = submit(&others, "n12");
	assert_int_equal(admin_int("XLEN quilt:node:n12:ops"), AHEAD + 1);
	assert_int_equal(admin_int("ZCARD quilt:node:n12:wait:%s", tenant.s), MANY - AHEAD);
	for (int i = 20; i < 120; i++) {
		auto_op struct qt_op g = {0};

		if (i % 2 == 0)
			must(qt_store_op_cancel(worker, &tenant, mine[i].s, &g, e));
		else
			freeReplyObject(admin("DEL quilt:{%s}:op:%s", tenant.s, mine[i].s));
	}
	for (int i = 0; i <= MANY - 100; i++) {
		struct qt_op_entry x = {0};
		bool of_others;

		assert_int_equal(must(qt_store_op_next(agent, "n12", "a", 10000, LONG_MS, true, NULL, &x, e)), 1);
		of_others = qt_streq(x.op.tenant.s, others.s);
		assert_int_equal(of_others, i == AHEAD);
		assert_string_equal(x.op.id.s, of_others ? one.s : mine[next].s);
		next += !of_others;
		next += next == 20 ? 100 : 0;
		x.op.status = QT_OP_SUCCEEDED;
		must(qt_store_op_finish(agent, &x, e));
		qt_op_done(&x.op);
	}
	assert_int_equal(next, MANY);
	assert_int_equal(admin_int("EXISTS quilt:node:n12:ahead:%s quilt:node:n12:wait:%s quilt:node:n12:ahead:%s", tenant.s, tenant.s, others.s), 0);
	assert_int_equal(admin_int("XLEN quilt:node:n12:ops"), 0);
}

static void test_node(void **state)
{
	int64_t age = -1;
	json_t *facts = json_pack("{s:s, s:i, s:[s]}", "version", "0.1.0", "containers", 3, "images", "prod");
	redisReply *r;

	(void)state;
	must_not(qt_store_node_age(agent, "n5", &age, e), QT_E_NOT_FOUND);
	must(qt_store_node_beat(agent, "n5", facts, e));
	must(qt_store_node_beat(agent, "n5", facts, e));
	must(qt_store_node_age(agent, "n5", &age, e));
	assert_true(age >= 0 && age < 60000);
	must_not(qt_store_node_beat(worker, "n5", facts, e), QT_E_INTERNAL_ERROR);
	assert_int_equal(admin_int("ZCARD quilt:nodes"), 1);
	r = admin("HMGET quilt:node:n5 version containers images");
	assert_string_equal(r->element[0]->str, "0.1.0");
	assert_string_equal(r->element[1]->str, "3");
	assert_string_equal(r->element[2]->str, "[\"prod\"]");
	freeReplyObject(r);
	must(qt_store_event(agent, &tenant, "container_update", facts, e));
	json_decref(facts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole), cmocka_unit_test(test_views), cmocka_unit_test(test_queued),
		cmocka_unit_test(test_cancel), cmocka_unit_test(test_cancel_running), cmocka_unit_test(test_list), cmocka_unit_test(test_overdue),
		cmocka_unit_test(test_lease), cmocka_unit_test(test_ones_own_is_not_abandoned), cmocka_unit_test(test_orphans), cmocka_unit_test(test_debris),
		cmocka_unit_test(test_flush), cmocka_unit_test(test_fair), cmocka_unit_test(test_node),
	};

	return cmocka_run_group_tests(tests, up, down);
}
