/* Who has which GPU, in a real Redis: chosen in one step, freed with the record, true again after anything was lost. */
#include <pthread.h>
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
#include "scene.h"
#include "str.h"

/* IDS: separated by spaces; NULL: any. */
static void gpu_ctr(struct qt_ctr *c, const struct qt_tenant *t, const char *node, uint32_t count, const char *ids)
{
	char copy[256], *save = NULL;

	new_ctr(c, t, "");
	(void)qt_copy(c->name, sizeof(c->name), c->id.s);
	(void)qt_copy(c->node, sizeof(c->node), node);
	c->memory_mb = 16;
	c->cpu_centi = 0;
	c->gpu_count = count;
	assert_true(qt_copy(copy, sizeof(copy), ids ? ids : ""));
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		json_array_append_new(c->gpu_ids, json_string(w));
}

static void has(const struct qt_ctr *c, const char *ids)
{
	struct qt_ctr now;
	char text[256] = "";
	json_t *id;
	size_t i;

	must(qt_store_ctr_get(worker, &c->tenant, c->id.s, &now, e));
	assert_true(json_equal(now.gpu_ids, c->gpu_ids));
	assert_int_equal(now.gpu_count, json_array_size(now.gpu_ids));
	json_array_foreach(now.gpu_ids, i, id)
		(void)qt_fmt(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "", json_string_value(id));
	assert_string_equal(text, ids);
	qt_ctr_done(&now);
}

/* LIST: id, who, ...; NULL ends it. */
static void tell(const char *node, const char *const *list)
{
	json_t *pairs = json_array();

	for (; *list; list++)
		json_array_append_new(pairs, json_string(*list));
	must(qt_store_node_gpus(agent, node, pairs, e));
	json_decref(pairs);
}
#define TELL(node, ...) tell(node, (const char *const[]){__VA_ARGS__, NULL})

/* WHO NULL: there is no such GPU. */
static void held(const char *node, const char *id, const struct qt_ctr *who)
{
	struct qt_err e = {0};
	json_t *all = qt_store_node_gpus_get(worker, node, &e);
	char text[96] = "";

	assert_non_null(all);
	if (who)
		assert_true(qt_fmt(text, sizeof(text), "%s/%s", who->tenant.s, who->id.s));
	assert_string_equal(json_string_value(json_object_get(all, id)), text);
	json_decref(all);
}

static struct qt_err full(struct qt_ctr *c)
{
	struct qt_err e = {0};

	assert_int_equal(qt_store_ctr_reserve(worker, c, 1, &e), -1);
	if (e.code != QT_E_CAPACITY_FULL)
		fail_msg("%d %s", (int)e.code, e.msg);
	assert_non_null(e.hint);
	return e;
}

static void test_choice(void **state)
{
	struct qt_tenant t = new_tenant("t", "large");
	auto_ctr struct qt_ctr a, b, c, d, asked;
	struct qt_err why;

	(void)state;
	gpu_ctr(&a, &t, "n1", 1, NULL);
	why = full(&a); /* nobody said yet that there are any */
	assert_non_null(strstr(why.msg, "no GPUs"));
	TELL("n1", "nvidia0", "", "nvidia1", "", "nvidia10", "", "nvidia2", "", "GPU-2", "=nvidia2");
	TELL("n2", "nvidia0", "");
	must(qt_store_ctr_reserve(worker, &a, 1, e));
	has(&a, "nvidia0");
	held("n1", "nvidia0", &a);
	gpu_ctr(&b, &t, "n1", 2, NULL);
	must(qt_store_ctr_reserve(worker, &b, 1, e));
	has(&b, "nvidia1 nvidia2"); /* and not 10 */
	gpu_ctr(&c, &t, "n1", 2, NULL);
	why = full(&c);
	assert_non_null(strstr(why.msg, "of 4, 1 are"));
	gpu_ctr(&asked, &t, "n1", 1, "nvidia1");
	(void)full(&asked);
	qt_ctr_done(&asked);
	gpu_ctr(&asked, &t, "n1", 1, "GPU-2"); /* b has it, by another name */
	(void)full(&asked);
	qt_ctr_done(&asked);
	gpu_ctr(&asked, &t, "n1", 1, "nvidia7");
	(void)full(&asked);
	must(qt_store_ctr_remove(worker, &t.id, &b.id, e));
	qt_ctr_done(&asked);
	gpu_ctr(&asked, &t, "n1", 1, "GPU-2");
	must(qt_store_ctr_reserve(worker, &asked, 1, e));
	has(&asked, "nvidia2");
	gpu_ctr(&d, &t, "n2", 1, NULL);
	must(qt_store_ctr_reserve(worker, &d, 1, e));
	has(&d, "nvidia0");
	must(qt_store_ctr_remove(worker, &t.id, &a.id, e));
	must(qt_store_ctr_remove(worker, &t.id, &asked.id, e));
	held("n1", "nvidia0", NULL);
	held("n2", "nvidia0", &d);
	must(qt_store_ctr_remove(worker, &t.id, &d.id, e));
}

/* 403 before 429 before 503, whatever else is wrong. */
static void test_order(void **state)
{
	struct qt_tenant poor = new_tenant("t", "standard"), rich = new_tenant("t", "large");
	auto_ctr struct qt_ctr a, b;
	struct qt_err e1 = {0}, e2 = {0};

	(void)state;
	TELL("n3", "nvidia0", "");
	gpu_ctr(&a, &poor, "n3", 1, "nvidia7");
	assert_int_equal(qt_store_ctr_reserve(worker, &a, 1, &e1), -1);
	assert_int_equal(e1.code, QT_E_PLAN_REQUIRED);
	assert_non_null(strstr(e1.msg, "standard"));
	/* What the operator gave this tenant alone. */
	(void)admin_int("HSET quilt:tenant:%s max_gpus 1", poor.id.s);
	(void)full(&a);
	qt_ctr_done(&a);
	gpu_ctr(&a, &poor, "n3", 2, NULL);
	assert_int_equal(qt_store_ctr_reserve(worker, &a, 1, &e2), -1);
	assert_int_equal(e2.code, QT_E_QUOTA_EXCEEDED);
	assert_string_equal(e2.quota, "gpus");
	gpu_ctr(&b, &rich, "n3", 1, NULL);
	must(qt_store_ctr_reserve(worker, &b, 1, e));
	assert_int_equal(admin_int("HEXISTS quilt:{%s}:used gpus", rich.id.s), 1);
	must(qt_store_ctr_remove(worker, &rich.id, &b.id, e));
	assert_int_equal(admin_int("EXISTS quilt:{%s}:used", rich.id.s), 0);
	assert_int_equal(admin_int("EXISTS quilt:{%s}:ctr:%s", poor.id.s, a.id.s), 0);
}

struct racer {
	const struct qt_tenant *t;
	unsigned won, full, other;
};
static pthread_barrier_t line;

static void *race(void *arg)
{
	struct racer *r = arg;
	struct qt_store *s = store_as("quilt-worker");

	(void)pthread_barrier_wait(&line);
	for (int i = 0; i < 5; i++) {
		auto_ctr struct qt_ctr c;
		struct qt_err e = {0};

		gpu_ctr(&c, r->t, "n4", 1, i % 2 ? "nvidia1" : NULL);
		if (qt_store_ctr_reserve(s, &c, 1, &e) == 0)
			r->won++;
		else if (e.code == QT_E_CAPACITY_FULL)
			r->full++;
		else
			r->other++;
	}
	qt_store_free(s);
	return NULL;
}

static void test_races(void **state)
{
	struct qt_tenant t = new_tenant("t", "large");
	struct racer r[8] = {{0}};
	pthread_t th[8];
	unsigned won = 0;

	(void)state;
	TELL("n4", "nvidia0", "", "nvidia1", "", "nvidia2", "");
	assert_int_equal(pthread_barrier_init(&line, NULL, 8), 0);
	for (int i = 0; i < 8; i++) {
		r[i].t = &t;
		assert_int_equal(pthread_create(&th[i], NULL, race, &r[i]), 0);
	}
	for (int i = 0; i < 8; i++) {
		assert_int_equal(pthread_join(th[i], NULL), 0);
		assert_int_equal(r[i].other, 0);
		won += r[i].won;
	}
	(void)pthread_barrier_destroy(&line);
	assert_int_equal(won, 3);
}

/* The agent's word: what comes, what goes, what was lost, and what is older than what Redis knows. */
static void test_beats(void **state)
{
	struct qt_tenant t = new_tenant("t", "large");
	auto_ctr struct qt_ctr a, b, c;
	char who[96], other[96];

	(void)state;
	TELL("n5", "nvidia0", "", "nvidia1", "");
	gpu_ctr(&a, &t, "n5", 1, NULL);
	must(qt_store_ctr_reserve(worker, &a, 1, e));
	assert_true(qt_fmt(who, sizeof(who), "%s/%s", t.id.s, a.id.s));
	/* The runtime has not heard of it. */
	TELL("n5", "nvidia0", "", "nvidia1", "");
	held("n5", "nvidia0", &a);
	/* Its device is gone for a while. */
	TELL("n5", "nvidia1", "");
	held("n5", "nvidia0", &a);
	TELL("n5", "nvidia0", who, "nvidia1", "", "nvidia2", "");
	held("n5", "nvidia2", NULL);
	TELL("n5", "nvidia0", who, "nvidia1", "");
	assert_int_equal(admin_int("HEXISTS quilt:node:n5:gpus nvidia2"), 0);
	/* Redis lost all: who is known by the runtime only has it before its record is back. */
	(void)admin_int("DEL quilt:node:n5:gpus quilt:{%s}:ctr:%s quilt:{%s}:ctrs quilt:{%s}:names", t.id.s, a.id.s, t.id.s, t.id.s);
	TELL("n5", "nvidia0", who, "nvidia1", "");
	held("n5", "nvidia0", &a);
	gpu_ctr(&b, &t, "n5", 1, "nvidia0");
	(void)full(&b);
	must(qt_store_ctr_restore(agent, &a, e));
	held("n5", "nvidia0", &a);
	/* Restored before the agent told of the GPUs; and somebody was quicker. */
	(void)admin_int("DEL quilt:node:n5:gpus quilt:{%s}:ctr:%s quilt:{%s}:ctrs quilt:{%s}:names", t.id.s, a.id.s, t.id.s, t.id.s);
	TELL("n5", "nvidia0", "", "nvidia1", "");
	must(qt_store_ctr_reserve(worker, &b, 1, e));
	must(qt_store_ctr_restore(agent, &a, e));
	held("n5", "nvidia0", &a);
	must(qt_store_ctr_remove(worker, &t.id, &b.id, e)); /* as it must, when the runtime refuses it */
	held("n5", "nvidia0", &a);
	/* What the runtime said is older than the delete; then somebody else has it. */
	must(qt_store_ctr_remove(worker, &t.id, &a.id, e));
	TELL("n5", "nvidia0", who, "nvidia1", "");
	held("n5", "nvidia0", NULL);
	gpu_ctr(&c, &t, "n5", 1, NULL);
	must(qt_store_ctr_reserve(worker, &c, 1, e));
	TELL("n5", "nvidia0", who, "nvidia1", "");
	held("n5", "nvidia0", &c);
	/* A record that went without a word: its GPU is free with the next beat. */
	(void)admin_int("DEL quilt:{%s}:ctr:%s", t.id.s, c.id.s);
	assert_true(qt_fmt(other, sizeof(other), "%s/%s", t.id.s, c.id.s));
	TELL("n5", "nvidia0", "", "nvidia1", "");
	held("n5", "nvidia0", NULL);
	TELL("n5", "nvidia0", other, "nvidia1", ""); /* but not as long as the runtime has it */
	held("n5", "nvidia0", &c);
	tell("n5", (const char *const[]){NULL});
	assert_int_equal(admin_int("EXISTS quilt:node:n5:gpus"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_races),
		cmocka_unit_test(test_beats),
	};

	return cmocka_run_group_tests_name("gpu", tests, up, down);
}
