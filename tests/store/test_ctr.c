/* Containers in a real Redis, as quilt-worker and quilt-agent. */
#include <inttypes.h>
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

/* With one of everything. */
static void full_ctr(struct qt_ctr *c, const struct qt_tenant *t, const char *name)
{
	new_ctr(c, t, name);
	(void)qt_copy(c->image, sizeof(c->image), "prod");
	(void)qt_copy(c->workdir, sizeof(c->workdir), "/");
	json_object_set_new(c->labels, "team", json_string("qä \"x\"\r\n$5"));
	json_object_set_new(c->environment, "FOO", json_string("bar"));
	json_array_append_new(c->command, json_string("/bin/sh"));
}

static void same(const struct qt_ctr *a, const struct qt_ctr *b)
{
	struct qt_err e = {0};
	auto_free char *x = qt_ctr_dump(a, &e), *y = qt_ctr_dump(b, &e);

	assert_string_equal(x, y);
}

static void expect_event(const struct qt_tenant *t, const struct qt_ctr *c, const char *name, const char *state, const char *event)
{
	expect_last_event(t, "container_update", json_pack("{s:s, s:s, s:s, s:s}", "container_id", c->id.s, "name", name, "state", state, "event", event));
}

static void test_life(void **state)
{
	struct qt_tenant t = new_tenant("life", NULL);
	auto_ctr struct qt_ctr c, d, g = {0};
	char text[64], old[QT_NAME_MAX + 1];
	struct qt_id id;

	(void)state;
	full_ctr(&c, &t, "demo");
	full_ctr(&d, &t, "demo");
	must(qt_store_ctr_reserve(worker, &c, 42, e));
	expect_event(&t, &c, "demo", "created", "created");
	must_not(qt_store_ctr_reserve(worker, &c, 42, e), QT_E_CONFLICT);
	must_not(qt_store_ctr_reserve(worker, &d, 42, e), QT_E_CONTAINER_NAME_CONFLICT);
	must(qt_store_ctr_get(worker, &t.id, c.id.s, &g, e));
	c.deadline_ms = 42;
	same(&c, &g);
	qt_ctr_done(&g);
	assert_int_equal(admin_int("XLEN quilt:{%s}:usage", t.id.s), 0);

	c.pid = 4711;
	(void)qt_copy(c.ip, sizeof(c.ip), "10.42.0.17");
	c.started_ms = c.created_ms + 5;
	must(qt_store_ctr_move(worker, &c, 1U << QT_ST_CREATED, QT_ST_RUNNING, "started", "container_started", e));
	expect_event(&t, &c, "demo", "running", "started");
	assert_int_equal(admin_int("XLEN quilt:{%s}:usage", t.id.s), 3); /* created, started, and its address */
	last_of(text, sizeof(text), "usage", &t, "metadata");
	assert_string_equal(text, "{\"ip_address\":\"10.42.0.17\"}");
	assert_int_equal(admin_int("SISMEMBER quilt:{%s}:state:running %s", t.id.s, c.id.s), 1);
	assert_int_equal(admin_int("SISMEMBER quilt:{%s}:state:created %s", t.id.s, c.id.s), 0);
	must(qt_store_ctr_get(worker, &t.id, "demo", &g, e));
	c.state = QT_ST_RUNNING;
	c.deadline_ms = 0;
	same(&c, &g);
	qt_ctr_done(&g);
	must(qt_store_ctr_by_name(worker, &t.id, "demo", &id, e));
	assert_string_equal(id.s, c.id.s);

	c.pid = 0;
	c.exited_ms = c.started_ms + 2500;
	c.has_exit_code = true;
	c.exit_code = 137;
	must(qt_store_ctr_move(worker, &c, 1U << QT_ST_RUNNING, QT_ST_EXITED, "stopped", "container_stopped", e));
	last_of(text, sizeof(text), "usage", &t, "duration_seconds");
	assert_string_equal(text, "2.500");
	last_of(text, sizeof(text), "usage", &t, "event_type");
	assert_string_equal(text, "container_stopped");
	{
		struct qt_err e = {0};

		assert_int_equal(qt_store_ctr_move(worker, &c, 1U << QT_ST_RUNNING, QT_ST_EXITED, "stopped", "container_stopped", &e), -1);
		assert_int_equal(e.code, QT_E_INVALID_STATE);
		assert_string_equal(e.state, "exited");
		assert_string_equal(e.expected, "running");
	}
	assert_int_equal(admin_int("XLEN quilt:{%s}:usage", t.id.s), 4);

	must(qt_store_ctr_rename(worker, &t.id, &c.id, "other", old, e));
	assert_string_equal(old, "demo");
	expect_event(&t, &c, "other", "exited", "renamed");
	must_not(qt_store_ctr_by_name(worker, &t.id, "demo", &id, e), QT_E_CONTAINER_NOT_FOUND);
	must(qt_store_ctr_reserve(worker, &d, 42, e));
	must_not(qt_store_ctr_rename(worker, &t.id, &d.id, "other", old, e), QT_E_CONTAINER_NAME_CONFLICT);

	must(qt_store_ctr_deleting(worker, &t.id, &c.id, e));
	must_not(qt_store_ctr_move(worker, &c, 1U << QT_ST_EXITED, QT_ST_STARTING, NULL, NULL, e), QT_E_INVALID_STATE);
	must(qt_store_ctr_remove(worker, &t.id, &c.id, e));
	expect_event(&t, &c, "other", "exited", "removed");
	must_not(qt_store_ctr_remove(worker, &t.id, &c.id, e), QT_E_CONTAINER_NOT_FOUND);
	must_not(qt_store_ctr_deleting(worker, &t.id, &c.id, e), QT_E_CONTAINER_NOT_FOUND);
	must_not(qt_store_ctr_move(worker, &c, 31, QT_ST_RUNNING, NULL, NULL, e), QT_E_CONTAINER_NOT_FOUND);
	must_not(qt_store_ctr_restore(agent, &c, e), QT_E_CONTAINER_NOT_FOUND);
	must(qt_store_ctr_remove(worker, &t.id, &d.id, e));
	assert_int_equal(admin_int("KEYS quilt:{%s}:*", t.id.s), 4); /* two streams, two tombstones */
	assert_int_equal(admin_int("SCARD quilt:node:node-1:ctrs"), 0);
}

/* The events of T since the last call, each as its name and what happened. */
static void expect_told(const struct qt_tenant *t, const char *want)
{
	static const char *const words[] = {"event", "status", "type"};
	redisReply *r = admin("XRANGE quilt:{%s}:events - +", t->id.s);
	char have[1024] = "";

	for (size_t i = 0; i < r->elements; i++) {
		redisReply *f = r->element[i]->element[1];
		json_t *data = json_loads(f->element[3]->str, 0, NULL);
		const char *what = NULL;

		for (size_t k = 0; k < QT_LEN(words) && !what; k++)
			what = json_string_value(json_object_get(data, words[k]));
		(void)snprintf(have + strlen(have), sizeof(have) - strlen(have), "%s%s=%s", i ? " " : "", f->element[1]->str, what);
		json_decref(data);
	}
	freeReplyObject(r);
	(void)admin_int("DEL quilt:{%s}:events", t->id.s);
	assert_string_equal(have, want);
}

/* What else is another by a change of a container: each once, and before the event of the change itself. */
static void test_told(void **state)
{
	struct qt_tenant t = new_tenant("told", NULL);
	auto_ctr struct qt_ctr c, built;
	char old[QT_NAME_MAX + 1], text[512];
	json_t *data;

	(void)state;
	full_ctr(&c, &t, "demo");
	must(qt_store_ctr_reserve(worker, &c, 42, e));
	expect_told(&t, "activity_new=container.created container_update=created");
	c.pid = 4711;
	(void)qt_copy(c.ip, sizeof(c.ip), "10.42.0.17");
	c.started_ms = 1796000399999; /* 2026-11-30T00:59:59Z */
	must(qt_store_ctr_move(worker, &c, 1U << QT_ST_CREATED, QT_ST_RUNNING, "started", "container_started", e));
	expect_told(&t, "dns_entry_update=added network_allocation_update=active process_monitor_update=monitoring activity_new=container.started "
			"container_update=started");
	must(qt_store_ctr_rename(worker, &t.id, &c.id, "other", old, e));
	expect_told(&t, "dns_entry_update=renamed activity_new=container.renamed container_update=renamed");
	c.pid = 0;
	c.has_exit_code = true;
	c.exit_code = 3;
	c.exited_ms = c.started_ms + 1;
	must(qt_store_ctr_move(worker, &c, 1U << QT_ST_RUNNING, QT_ST_EXITED, "died", "container_stopped", e));
	last_of(text, sizeof(text), "events", &t, "data");
	expect_told(&t, "dns_entry_update=removed network_allocation_update=allocated process_monitor_update=failed activity_new=container.died "
			"container_update=died");
	must(qt_store_ctr_rename(worker, &t.id, &c.id, "third", old, e));
	expect_told(&t, "activity_new=container.renamed container_update=renamed");
	must(qt_store_ctr_address(worker, &t.id, &c.id, "10.42.0.18", e));
	last_of(text, sizeof(text), "events", &t, "data");
	data = json_loads(text, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(data, "ip_address")), "10.42.0.18");
	json_decref(data);
	expect_told(&t, "network_allocation_update=allocated");
	must(qt_store_ctr_deleting(worker, &t.id, &c.id, e));
	must(qt_store_ctr_deleting(agent, &t.id, &c.id, e));
	expect_told(&t, "network_allocation_update=cleanup_pending cleanup_update=pending");
	must(qt_store_ctr_remove(worker, &t.id, &c.id, e));
	expect_told(&t, "network_allocation_update=cleaned cleanup_update=completed activity_new=container.removed container_update=removed");

	/* It comes back from the runtime, running. */
	full_ctr(&built, &t, "back");
	built.state = QT_ST_RUNNING;
	built.pid = 5;
	built.started_ms = 1796000399999;
	must(qt_store_ctr_restore(agent, &built, e));
	expect_told(&t, "dns_entry_update=added process_monitor_update=monitoring activity_new=container.restored container_update=restored");
	must(qt_store_ctr_remove(agent, &t.id, &built.id, e));
	expect_told(&t, "dns_entry_update=removed cleanup_update=completed activity_new=container.removed container_update=removed");
	/* A build's own: nobody hears of it. */
	qt_ctr_done(&built);
	full_ctr(&built, &t, "step");
	built.build = qt_id_new("op");
	must(qt_store_ctr_reserve(worker, &built, 42, e));
	must(qt_store_ctr_move(worker, &built, 1U << QT_ST_CREATED, QT_ST_RUNNING, "started", NULL, e));
	must(qt_store_ctr_remove(worker, &t.id, &built.id, e));
	expect_told(&t, "");
}

/* Times as the functions write them, over some centuries. */
static void test_times(void **state)
{
	static const int64_t at[] = {1, 951782400, 951868799, 951868800, 1709164800, 1709251200, 1796000399, 4107542399, 4107542400, 7258118400};
	struct qt_tenant t = new_tenant("times", NULL);

	(void)state;
	for (size_t i = 0; i < QT_LEN(at); i++) {
		auto_ctr struct qt_ctr c;
		char text[512], want[32];
		redisReply *r;
		json_t *data;

		full_ctr(&c, &t, "x");
		must(qt_store_ctr_reserve(worker, &c, 42, e));
		c.pid = 1;
		c.started_ms = at[i] * 1000 + 999;
		must(qt_store_ctr_move(worker, &c, 1U << QT_ST_CREATED, QT_ST_RUNNING, NULL, NULL, e));
		r = admin("XREVRANGE quilt:{%s}:events + - COUNT 1", t.id.s);
		assert_true(qt_copy(text, sizeof(text), r->element[0]->element[1]->element[3]->str));
		freeReplyObject(r);
		data = json_loads(text, 0, NULL);
		qt_iso8601(want, sizeof(want), c.started_ms);
		assert_string_equal(json_string_value(json_object_get(data, "started_at")), want);
		json_decref(data);
		must(qt_store_ctr_remove(worker, &t.id, &c.id, e));
	}
}

/* Another tenant's container is an unknown one, whatever is asked of it. */
static void test_tenants_apart(void **state)
{
	struct qt_tenant a = new_tenant("a", NULL), b = new_tenant("b", NULL);
	auto_ctr struct qt_ctr c, g = {0}, stolen;
	char old[QT_NAME_MAX + 1];
	struct qt_ctr_list l;
	struct qt_id id;
	json_t *env = json_object();

	(void)state;
	full_ctr(&c, &a, "mine");
	must(qt_store_ctr_reserve(worker, &c, 1, e));
	must_not(qt_store_ctr_get(worker, &b.id, c.id.s, &g, e), QT_E_CONTAINER_NOT_FOUND);
	must_not(qt_store_ctr_get(worker, &b.id, "mine", &g, e), QT_E_CONTAINER_NOT_FOUND);
	must_not(qt_store_ctr_get(worker, &a.id, "", &g, e), QT_E_CONTAINER_NOT_FOUND);
	must_not(qt_store_ctr_get(worker, &a.id, "a\r\nb*[^", &g, e), QT_E_CONTAINER_NOT_FOUND);
	must_not(qt_store_ctr_by_name(worker, &b.id, "mine", &id, e), QT_E_CONTAINER_NOT_FOUND);
	must_not(qt_store_ctr_rename(worker, &b.id, &c.id, "x", old, e), QT_E_CONTAINER_NOT_FOUND);
	must_not(qt_store_ctr_env(worker, &b.id, &c.id, env, true, &g, e), QT_E_CONTAINER_NOT_FOUND);
	must_not(qt_store_ctr_remove(worker, &b.id, &c.id, e), QT_E_CONTAINER_NOT_FOUND);
	full_ctr(&stolen, &b, "mine");
	stolen.id = c.id;
	must_not(qt_store_ctr_move(worker, &stolen, 31, QT_ST_RUNNING, NULL, NULL, e), QT_E_CONTAINER_NOT_FOUND);
	must(qt_store_ctr_list(worker, &b.id, -1, 0, "", &l, e));
	assert_int_equal(l.n, 0);
	qt_ctr_list_done(&l);
	must(qt_store_ctr_remove(worker, &a.id, &c.id, e));
	json_decref(env);
}

struct racer {
	pthread_t thread;
	const struct qt_tenant *tenant;
	struct qt_ctr shared;
	unsigned wins, losses, others;
};

static pthread_barrier_t line;

static void count(struct racer *r, int got, const struct qt_err *e, enum qt_code loss)
{
	if (got == 0)
		r->wins++;
	else if (e->code == loss)
		r->losses++;
	else
		r->others++;
}

static void *create_some(void *arg)
{
	struct racer *r = arg;
	struct qt_store *s = store_as("quilt-worker");

	(void)pthread_barrier_wait(&line);
	for (int i = 0; i < 10; i++) {
		struct qt_err e = {0};
		auto_ctr struct qt_ctr c;

		full_ctr(&c, r->tenant, "x");
		(void)qt_fmt(c.name, sizeof(c.name), "n-%.20s", c.id.s + 4);
		count(r, qt_store_ctr_reserve(s, &c, 1, &e), &e, QT_E_QUOTA_EXCEEDED);
	}
	qt_store_free(s);
	return NULL;
}

static void *move_it(void *arg)
{
	struct racer *r = arg;
	struct qt_store *s = store_as("quilt-worker");
	struct qt_err e = {0};

	(void)pthread_barrier_wait(&line);
	count(r, qt_store_ctr_move(s, &r->shared, 1U << QT_ST_CREATED, QT_ST_RUNNING, "started", "container_started", &e), &e,
	      QT_E_INVALID_STATE);
	qt_store_free(s);
	return NULL;
}

static void *remove_it(void *arg)
{
	struct racer *r = arg;
	struct qt_store *s = store_as("quilt-worker");
	struct qt_err e = {0};

	(void)pthread_barrier_wait(&line);
	count(r, qt_store_ctr_remove(s, &r->tenant->id, &r->shared.id, &e), &e, QT_E_CONTAINER_NOT_FOUND);
	qt_store_free(s);
	return NULL;
}

#define RACERS 10
static struct racer race(void *(*run)(void *), const struct qt_tenant *t, const struct qt_ctr *c)
{
	struct racer r[RACERS] = {0}, sum = {0};

	assert_int_equal(pthread_barrier_init(&line, NULL, RACERS), 0);
	for (int i = 0; i < RACERS; i++) {
		r[i].tenant = t;
		if (c)
			r[i].shared = *c;
		assert_int_equal(pthread_create(&r[i].thread, NULL, run, &r[i]), 0);
	}
	for (int i = 0; i < RACERS; i++) {
		assert_int_equal(pthread_join(r[i].thread, NULL), 0);
		sum.wins += r[i].wins;
		sum.losses += r[i].losses;
		sum.others += r[i].others;
	}
	(void)pthread_barrier_destroy(&line);
	return sum;
}

/* 100 creates against a quota of 10 give 10; of ten movers and ten removers one wins, and each effect is there once. */
static void test_races(void **state)
{
	struct qt_tenant t = new_tenant("race", NULL);
	struct qt_ctr_list l;
	struct racer sum;
	long long events;

	(void)state;
	(void)admin_int("HSET quilt:tenant:%s max_containers 10", t.id.s);
	sum = race(create_some, &t, NULL);
	assert_int_equal(sum.wins, 10);
	assert_int_equal(sum.losses, 90);
	must(qt_store_ctr_list(worker, &t.id, -1, 0, "", &l, e));
	assert_int_equal(l.n, 10);
	assert_int_equal(admin_int("HLEN quilt:{%s}:names", t.id.s), 10);

	events = admin_int("XLEN quilt:{%s}:events", t.id.s);
	l.v[0].started_ms = 1;
	sum = race(move_it, &t, &l.v[0]);
	assert_int_equal(sum.wins, 1);
	assert_int_equal(sum.losses, RACERS - 1);
	assert_int_equal(admin_int("XLEN quilt:{%s}:usage", t.id.s), 2);
	sum = race(remove_it, &t, &l.v[0]);
	assert_int_equal(sum.wins, 1);
	assert_int_equal(sum.losses, RACERS - 1);
	/* Up: its name, its monitor, the activity, itself; gone: its name, its cleanup, the activity, itself. */
	assert_int_equal(admin_int("XLEN quilt:{%s}:events", t.id.s), events + 8);
	for (size_t i = 1; i < l.n; i++)
		must(qt_store_ctr_remove(worker, &t.id, &l.v[i].id, e));
	qt_ctr_list_done(&l);
}

/* A thousand and more, many of one millisecond: each once, oldest first, in pages of any size, also when the one that the cursor names is
 * gone. */
static void test_list(void **state)
{
	enum { N = 1100 };
	struct qt_tenant t = new_tenant("list", "unlimited");
	auto_ctr struct qt_ctr c;
	struct qt_ctr_list all, l;
	char cursor[64] = "";
	size_t n = 0;

	(void)state;
	full_ctr(&c, &t, "x");
	for (int i = 0; i < N; i++) {
		c.id = qt_id_new("ctr");
		(void)qt_fmt(c.name, sizeof(c.name), "n-%d", i);
		c.created_ms = 1783002930000 + i / 40;
		must(qt_store_ctr_reserve(worker, &c, 1, e));
	}
	must(qt_store_ctr_list(worker, &t.id, -1, 0, "", &all, e));
	assert_int_equal(all.n, N);
	assert_string_equal(all.cursor, "");
	for (size_t i = 1; i < all.n; i++)
		assert_true(all.v[i - 1].created_ms < all.v[i].created_ms ||
			    (all.v[i - 1].created_ms == all.v[i].created_ms && strcmp(all.v[i - 1].id.s, all.v[i].id.s) < 0));
	do {
		must(qt_store_ctr_list(worker, &t.id, -1, 333, cursor, &l, e));
		for (size_t i = 0; i < l.n; i++)
			assert_string_equal(l.v[i].id.s, all.v[n++].id.s);
		(void)qt_copy(cursor, sizeof(cursor), l.cursor);
		if (l.n > 0)
			must(qt_store_ctr_remove(worker, &t.id, &l.v[l.n - 1].id, e));
		qt_ctr_list_done(&l);
	} while (cursor[0]);
	assert_int_equal(n, N);

	all.v[500].started_ms = 1;
	must(qt_store_ctr_move(worker, &all.v[500], 1U << QT_ST_CREATED, QT_ST_RUNNING, NULL, NULL, e));
	must(qt_store_ctr_list(worker, &t.id, QT_ST_RUNNING, 0, "", &l, e));
	assert_int_equal(l.n, 1);
	assert_string_equal(l.v[0].id.s, all.v[500].id.s);
	qt_ctr_list_done(&l);
	must(qt_store_ctr_list(worker, &t.id, QT_ST_ERROR, 0, "", &l, e));
	assert_int_equal(l.n, 0);
	qt_ctr_list_done(&l);

	must(qt_store_ctr_of_node(agent, "node-1", &l, e));
	assert_int_equal(l.n, N - 4);
	qt_ctr_list_done(&l);
	must(qt_store_ctr_of_node(agent, "node-2", &l, e));
	assert_int_equal(l.n, 0);
	qt_ctr_list_done(&l);

	for (const char *const *p = (const char *const[]){"x", "1/", "/a", "1/a b", "1/*", "-1/a", NULL}; *p; p++)
		must_not(qt_store_ctr_list(worker, &t.id, -1, 0, *p, &l, e), QT_E_VALIDATION_ERROR);
	qt_ctr_list_done(&all);
}

static void test_env(void **state)
{
	struct qt_tenant t = new_tenant("env", NULL);
	auto_ctr struct qt_ctr c, g = {0};
	json_t *patch = json_pack("{s:s, s:n, s:s}", "A", "1/2\xc3\xa9\n\"", "FOO", "E", "");
	json_t *want = json_pack("{s:s, s:s}", "A", "1/2\xc3\xa9\n\"", "E", "");
	json_t *empty = json_object(), *large = json_object(), *wrong = json_pack("{s:i}", "A", 1), *null = json_pack("{s:n}", "A");
	char name[16], big[QT_ARGV_BYTES + 1];

	(void)state;
	full_ctr(&c, &t, "e");
	must(qt_store_ctr_reserve(worker, &c, 1, e));
	must(qt_store_ctr_env(worker, &t.id, &c.id, patch, true, &g, e));
	assert_true(json_equal(g.environment, want));
	qt_ctr_done(&g);
	for (int i = 0; i < QT_ENV_MAX - 1; i++) {
		(void)qt_fmt(name, sizeof(name), "V%d", i);
		json_object_set_new(large, name, json_string("v"));
	}
	must_not(qt_store_ctr_env(worker, &t.id, &c.id, large, true, &g, e), QT_E_VALIDATION_ERROR);
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	json_object_set_new(wrong, "B", json_string(big));
	must_not(qt_store_ctr_env(worker, &t.id, &c.id, wrong, true, &g, e), QT_E_UNPROCESSABLE_ENTITY);
	json_object_del(wrong, "A");
	must_not(qt_store_ctr_env(worker, &t.id, &c.id, wrong, true, &g, e), QT_E_VALIDATION_ERROR);
	must_not(qt_store_ctr_env(worker, &t.id, &c.id, null, false, &g, e), QT_E_UNPROCESSABLE_ENTITY);
	must(qt_store_ctr_get(worker, &t.id, c.id.s, &g, e));
	assert_true(json_equal(g.environment, want));
	qt_ctr_done(&g);
	must(qt_store_ctr_env(worker, &t.id, &c.id, large, false, &g, e));
	assert_true(json_equal(g.environment, large));
	qt_ctr_done(&g);
	must(qt_store_ctr_env(worker, &t.id, &c.id, empty, false, &g, e));
	assert_int_equal(json_object_size(g.environment), 0);
	/* What Redis let through, the runtime's record must hold. */
	for (size_t n = 12000; n <= QT_ARGV_BYTES - 4; n += 64) {
		struct qt_err e = {0};

		big[n] = '\0';
		json_object_set_new(wrong, "B", json_string(big));
		big[n] = 'x';
		qt_ctr_done(&g);
		if (qt_store_ctr_env(worker, &t.id, &c.id, wrong, false, &g, &e) == 0) {
			auto_free char *record = qt_ctr_dump(&g, &e);

			assert_non_null(record);
		} else {
			assert_int_equal(e.code, QT_E_VALIDATION_ERROR);
		}
	}
	must(qt_store_ctr_remove(worker, &t.id, &c.id, e));
	json_decref(patch);
	json_decref(want);
	json_decref(empty);
	json_decref(large);
	json_decref(wrong);
	json_decref(null);
}

/* FLUSHALL, then the runtime's records: same ids, same names, states and indexes. */
static void test_restore(void **state)
{
	struct qt_tenant t = new_tenant("restore", NULL);
	auto_ctr struct qt_ctr a, b, g = {0};
	struct qt_ctr_list l;

	(void)state;
	full_ctr(&a, &t, "same");
	full_ctr(&b, &t, "same");
	b.created_ms++;
	must(qt_store_ctr_reserve(worker, &a, 0, e));
	a.pid = 7;
	must(qt_store_ctr_move(worker, &a, 1U << QT_ST_CREATED, QT_ST_RUNNING, "started", NULL, e));
	a.state = QT_ST_RUNNING;
	freeReplyObject(admin("FLUSHALL"));
	must_not(qt_store_ctr_get(worker, &t.id, "same", &g, e), QT_E_CONTAINER_NOT_FOUND);
	must(qt_store_ctr_restore(agent, &a, e));
	must(qt_store_ctr_restore(agent, &a, e));
	must(qt_store_ctr_restore(agent, &b, e));
	must(qt_store_ctr_get(worker, &t.id, "same", &g, e));
	same(&g, &a);
	qt_ctr_done(&g);
	must(qt_store_ctr_get(worker, &t.id, b.id.s, &g, e));
	same(&g, &b);
	must(qt_store_ctr_list(worker, &t.id, QT_ST_RUNNING, 0, "", &l, e));
	assert_int_equal(l.n, 1);
	qt_ctr_list_done(&l);
	must(qt_store_ctr_of_node(agent, "node-1", &l, e));
	assert_int_equal(l.n, 2);
	qt_ctr_list_done(&l);
	/* Who has not the name does not take it away when it goes. */
	must(qt_store_ctr_remove(worker, &t.id, &b.id, e));
	qt_ctr_done(&g);
	must(qt_store_ctr_get(worker, &t.id, "same", &g, e));
	must(qt_store_ctr_remove(worker, &t.id, &a.id, e));
}

/* A sample of each that runs, once a period, whoever asks how often; the next one begins where the last one ended. */
static void test_samples(void **state)
{
	struct qt_tenant t = new_tenant("samples", NULL);
	auto_ctr struct qt_ctr c, idle;
	char text[160];
	long long before;
	int64_t from, until;

	(void)state;
	full_ctr(&c, &t, "runs");
	full_ctr(&idle, &t, "does-not");
	must(qt_store_ctr_reserve(worker, &c, 1, e));
	must(qt_store_ctr_reserve(worker, &idle, 1, e));
	c.started_ms = qt_now_ms() - 5000;
	must(qt_store_ctr_move(worker, &c, 1U << QT_ST_CREATED, QT_ST_RUNNING, "started", "container_started", e));
	before = admin_int("XLEN quilt:{%s}:usage", t.id.s);
	for (int i = 0; i < 3; i++)
		must(qt_store_usage_sample(agent, "node-1", 1000000000, e));
	assert_int_equal(admin_int("XLEN quilt:{%s}:usage", t.id.s), before + 1);
	last_of(text, sizeof(text), "usage", &t, "event_type");
	assert_string_equal(text, "container_runtime");
	last_of(text, sizeof(text), "usage", &t, "container_id");
	assert_string_equal(text, c.id.s);
	last_of(text, sizeof(text), "usage", &t, "metadata");
	assert_int_equal(sscanf(text, "{\"from_ms\":%" SCNi64 ",\"until_ms\":%" SCNi64 "}", &from, &until), 2);
	assert_int_equal(from, c.started_ms);
	assert_true(until >= from + 5000);
	/* The last one was in a period long past. */
	(void)admin_int("HSET quilt:{%s}:ctr:%s sampled_ms %lld", t.id.s, c.id.s, (long long)c.started_ms + 2000);
	must(qt_store_usage_sample(agent, "node-1", 1, e));
	last_of(text, sizeof(text), "usage", &t, "metadata");
	assert_int_equal(sscanf(text, "{\"from_ms\":%" SCNi64 ",\"until_ms\":%" SCNi64 "}", &from, &until), 2);
	assert_int_equal(from, c.started_ms + 2000);
	assert_int_equal(admin_int("XLEN quilt:{%s}:usage", t.id.s), before + 2);
	must(qt_store_usage_sample(agent, "node-2", 1, e));
	assert_int_equal(admin_int("XLEN quilt:{%s}:usage", t.id.s), before + 2);
	must(qt_store_ctr_remove(worker, &t.id, &c.id, e));
	must(qt_store_ctr_remove(worker, &t.id, &idle.id, e));
}

/* Somebody saw it run, and says so when it has ended already. */
static void job_ends_once(const struct qt_tenant *t, const struct qt_ctr *c)
{
	json_t *runs = json_pack("{s:s, s:s}", "status", "running", "stdout", "so f"), *got;
	json_t *ended = json_pack("{s:s, s:s}", "status", "completed", "stdout", "so far");
	struct qt_id job = qt_id_new("job");

	must(qt_store_job_put(worker, &t->id, &c->id, job.s, runs, e));
	must(qt_store_job_put(worker, &t->id, &c->id, job.s, runs, e));
	assert_int_equal(admin_int("SISMEMBER quilt:{%s}:jobs-running:%s %s", t->id.s, c->id.s, job.s), 1);
	must(qt_store_job_put(worker, &t->id, &c->id, job.s, ended, e));
	must(qt_store_job_put(worker, &t->id, &c->id, job.s, runs, e));
	assert_int_equal(admin_int("SISMEMBER quilt:{%s}:jobs-running:%s %s", t->id.s, c->id.s, job.s), 0);
	got = qt_store_job_get(worker, &t->id, &c->id, job.s, &(struct qt_err){0});
	assert_true(json_equal(got, ended));
	json_decref(got);
	json_decref(runs);
	json_decref(ended);
}

static void test_jobs(void **state)
{
	struct qt_tenant t = new_tenant("jobs", NULL);
	auto_ctr struct qt_ctr c;
	struct qt_id job = {""};
	json_t *record = json_pack("{s:s, s:s}", "stdout", "hi", "stderr", ""), *got;
	auto_free char *big = malloc(1 << 20);
	redisReply *r;

	(void)state;
	full_ctr(&c, &t, "j");
	must_not(qt_store_job_put(worker, &t.id, &c.id, "job_1", record, e), QT_E_CONTAINER_NOT_FOUND);
	/* Posted: the refusal comes later, once, and whoever uses the connection next does not mistake it for his answer. */
	must(qt_store_job_post(worker, &t.id, &c.id, "job_1", record, e));
	must_not(qt_store_settle(worker, e), QT_E_CONTAINER_NOT_FOUND);
	must(qt_store_settle(worker, e));
	must(qt_store_job_post(worker, &t.id, &c.id, "job_1", record, e));
	must(qt_store_job_post(worker, &t.id, &c.id, "job_1", record, e));
	must(qt_store_ping(worker, e));
	must(qt_store_settle(worker, e));
	must(qt_store_ctr_reserve(worker, &c, 1, e));
	for (int i = 0; i < 1010; i++) {
		job = qt_id_new("job");
		must(qt_store_job_put(worker, &t.id, &c.id, job.s, record, e));
	}
	must(qt_store_job_post(worker, &t.id, &c.id, job.s, record, e));
	/* What was posted comes before what is asked for after it. */
	got = qt_store_job_get(worker, &t.id, &c.id, job.s, &(struct qt_err){0});
	assert_non_null(got);
	json_decref(got);
	assert_int_equal(admin_int("ZCARD quilt:{%s}:jobs", t.id.s), 1000);
	assert_int_equal(admin_int("ZCARD quilt:{%s}:jobs:%s", t.id.s, c.id.s), 1000);
	assert_true(admin_int("TTL quilt:{%s}:job:%s", t.id.s, job.s) > 86000);
	memset(big, '\1', (1 << 20) - 1);
	big[(1 << 20) - 1] = '\0';
	json_object_set_new(record, "stdout", json_string(big));
	must(qt_store_job_put(worker, &t.id, &c.id, job.s, record, e));
	r = admin("GET quilt:{%s}:job:%s", t.id.s, job.s);
	assert_true(r->len <= 32768 && r->len > 4096);
	assert_non_null(strstr(r->str, "\"output_truncated\":true"));
	freeReplyObject(r);
	job_ends_once(&t, &c);
	must(qt_store_ctr_remove(worker, &t.id, &c.id, e));
	assert_int_equal(admin_int("KEYS quilt:{%s}:job*", t.id.s), 0);
	json_decref(record);
}

struct names {
	char text[512];
};

static void add_name(const struct qt_name *n, void *arg)
{
	struct names *all = arg;
	size_t len = strlen(all->text);

	assert_true(qt_fmt(all->text + len, sizeof(all->text) - len, "%s=%s ", n->name, n->ip));
}

/* What the resolver reads: it hears of each change, and of nothing else. */
static void test_names(void **state)
{
	struct qt_store *dns = store_as("quilt-dns");
	struct qt_tenant t = new_tenant("names", NULL);
	uint64_t version = 0, before;
	char old[QT_NAME_MAX + 1];
	struct qt_err err = {0};
	struct names n = {""};
	struct qt_ctr c;

	(void)state;
	full_ctr(&c, &t, "one");
	(void)qt_copy(c.node, sizeof(c.node), "node-9");
	(void)qt_copy(c.ip, sizeof(c.ip), "10.42.0.9");
	assert_int_equal(qt_store_names(dns, "node-9", &version, add_name, &n, &err), 1);
	assert_int_equal(version, 0);
	must(qt_store_ctr_reserve(worker, &c, qt_now_ms() + 60000, e));
	assert_int_equal(qt_store_names(dns, "node-9", &version, add_name, &n, &err), 1);
	assert_string_equal(n.text, ""); /* it does not run yet */
	must(qt_store_ctr_move(worker, &c, 1U << QT_ST_CREATED, QT_ST_RUNNING, NULL, NULL, e));
	before = version;
	assert_int_equal(qt_store_names(dns, "node-9", &version, add_name, &n, &err), 1);
	assert_string_equal(n.text, "one=10.42.0.9 ");
	assert_true(version > before);
	assert_int_equal(qt_store_names(dns, "node-9", &version, add_name, &n, &err), 0);
	must(qt_store_ctr_rename(worker, &t.id, &c.id, "two", old, e));
	n.text[0] = '\0';
	assert_int_equal(qt_store_names(dns, "node-9", &version, add_name, &n, &err), 1);
	assert_string_equal(n.text, "two=10.42.0.9 ");
	must(qt_store_ctr_remove(worker, &t.id, &c.id, e));
	n.text[0] = '\0';
	assert_int_equal(qt_store_names(dns, "node-9", &version, add_name, &n, &err), 1);
	assert_string_equal(n.text, "");
	qt_ctr_done(&c);
	qt_store_free(dns);
}

/* Further routes, and an address: the record follows, within its bounds. */
static void test_network(void **state)
{
	struct qt_tenant t = new_tenant("network", NULL);
	struct qt_err err = {0};
	struct qt_ctr c, now;
	char net[20];

	(void)state;
	full_ctr(&c, &t, "one");
	must(qt_store_ctr_reserve(worker, &c, qt_now_ms() + 60000, e));
	for (unsigned i = 0; i < QT_ROUTES_MAX; i++) {
		(void)qt_fmt(net, sizeof(net), "10.%u.0.0/16", i);
		must(qt_store_ctr_route(worker, &t.id, &c.id, net, false, &now, e));
		assert_int_equal(json_array_size(now.routes), i + 1);
		qt_ctr_done(&now);
	}
	must(qt_store_ctr_route(worker, &t.id, &c.id, "10.0.0.0/16", false, &now, e)); /* it is there */
	qt_ctr_done(&now);
	assert_int_equal(qt_store_ctr_route(worker, &t.id, &c.id, "10.99.0.0/16", false, &now, &err), -1);
	assert_int_equal(err.code, QT_E_CONFLICT);
	qt_err_reset(&err);
	for (unsigned i = 0; i < QT_ROUTES_MAX; i++) {
		(void)qt_fmt(net, sizeof(net), "10.%u.0.0/16", i);
		must(qt_store_ctr_route(worker, &t.id, &c.id, net, true, &now, e));
		assert_int_equal(json_array_size(now.routes), QT_ROUTES_MAX - i - 1);
		qt_ctr_done(&now);
	}
	must(qt_store_ctr_address(worker, &t.id, &c.id, "10.42.0.77", e));
	must(qt_store_ctr_get(worker, &t.id, "one", &now, e));
	assert_string_equal(now.ip, "10.42.0.77");
	must(qt_store_ctr_move(worker, &now, 1U << QT_ST_CREATED, QT_ST_RUNNING, NULL, NULL, e));
	qt_ctr_done(&now);
	assert_int_equal(qt_store_ctr_address(worker, &t.id, &c.id, "10.42.0.78", &err), -1);
	assert_int_equal(err.code, QT_E_INVALID_STATE);
	qt_ctr_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life), cmocka_unit_test(test_told), cmocka_unit_test(test_times), cmocka_unit_test(test_tenants_apart), cmocka_unit_test(test_races),
		cmocka_unit_test(test_list), cmocka_unit_test(test_env),	   cmocka_unit_test(test_restore),
		cmocka_unit_test(test_jobs), cmocka_unit_test(test_names), cmocka_unit_test(test_network), cmocka_unit_test(test_samples),
	};

	return cmocka_run_group_tests(tests, up, down);
}
