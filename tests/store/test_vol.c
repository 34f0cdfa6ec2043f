/* Volumes in a real Redis, as quilt-worker and quilt-agent; and who uses them. */
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

static void new_vol(struct qt_vol *v, const struct qt_tenant *t, const char *name)
{
	qt_vol_init(v);
	v->id = qt_id_new("vol");
	v->tenant = t->id;
	(void)qt_copy(v->name, sizeof(v->name), name);
	(void)qt_copy(v->node, sizeof(v->node), "node-1");
	v->created_ms = qt_now_ms();
	v->max_bytes = 1 << 20;
	json_object_set_new(v->labels, "team", json_string("qä"));
}

static void make(const struct qt_vol *v)
{
	must(qt_store_vol_reserve(worker, v, 42, e));
	must(qt_store_vol_commit(worker, &v->tenant, &v->id, e));
}

/* A container with one entry of volumes, or with none. */
static void ctr_with(struct qt_ctr *c, const struct qt_tenant *t, const char *name, const char *volume)
{
	new_ctr(c, t, name);
	c->cpu_centi = 5050;
	if (volume)
		json_array_append_new(c->volumes, json_string(volume));
}

static void same(const struct qt_vol *a, const struct qt_vol *b)
{
	auto_free char *x = qt_vol_dump(a, &(struct qt_err){0}), *y = qt_vol_dump(b, &(struct qt_err){0});

	assert_string_equal(x, y);
}

static long long n_usage(const struct qt_tenant *t)
{
	return admin_int("XLEN quilt:{%s}:usage", t->id.s);
}

static void expect_event(const struct qt_tenant *t, const struct qt_vol *v, const char *name, const char *event)
{
	expect_last_event(t, "volume_update", json_pack("{s:s, s:s, s:s}", "volume_id", v->id.s, "name", name, "event", event));
}

static void test_life(void **state)
{
	struct qt_tenant t = new_tenant("life", NULL), other = new_tenant("other", NULL);
	auto_vol struct qt_vol v, w, g = {0};
	char text[256], old[QT_VOLNAME_MAX + 1];
	json_t *m;

	(void)state;
	new_vol(&v, &t, "data");
	new_vol(&w, &t, "data");
	must(qt_store_vol_reserve(worker, &v, 42, e));
	must_not(qt_store_vol_reserve(worker, &v, 42, e), QT_E_CONFLICT);
	must_not(qt_store_vol_reserve(worker, &w, 42, e), QT_E_VOLUME_NAME_CONFLICT);
	must(qt_store_vol_get(worker, &t.id, "data", &g, e));
	assert_string_equal(qt_vol_status(&g), "creating");
	qt_vol_done(&g);
	assert_int_equal(n_usage(&t), 0);
	assert_int_equal(admin_int("EXISTS quilt:{%s}:events", t.id.s), 0);

	must(qt_store_vol_commit(worker, &t.id, &v.id, e));
	expect_event(&t, &v, "data", "created");
	/* The agent was as quick: once is enough. */
	must(qt_store_vol_commit(agent, &t.id, &v.id, e));
	assert_int_equal(n_usage(&t), 1);
	assert_int_equal(admin_int("XLEN quilt:{%s}:events", t.id.s), 2); /* and the activity */
	last_of(text, sizeof(text), "usage", &t, "event_type");
	assert_string_equal(text, "volume_created");
	last_of(text, sizeof(text), "usage", &t, "metadata");
	m = json_loads(text, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(m, "volume_id")), v.id.s);
	assert_int_equal(json_integer_value(json_object_get(m, "max_bytes")), 1 << 20);
	json_decref(m);
	must(qt_store_vol_get(worker, &t.id, v.id.s, &g, e));
	same(&v, &g);
	qt_vol_done(&g);

	must_not(qt_store_vol_get(worker, &other.id, v.id.s, &g, e), QT_E_VOLUME_NOT_FOUND);
	must_not(qt_store_vol_get(worker, &other.id, "data", &g, e), QT_E_VOLUME_NOT_FOUND);
	must_not(qt_store_vol_deleting(worker, &other.id, &v.id, e), QT_E_VOLUME_NOT_FOUND);
	must_not(qt_store_vol_rename(worker, &other.id, &v.id, "x", old, e), QT_E_VOLUME_NOT_FOUND);
	must_not(qt_store_vol_remove(worker, &other.id, &v.id, e), QT_E_VOLUME_NOT_FOUND);

	must(qt_store_vol_rename(worker, &t.id, &v.id, "other", old, e));
	assert_string_equal(old, "data");
	expect_event(&t, &v, "other", "renamed");
	make(&w);
	must_not(qt_store_vol_rename(worker, &t.id, &w.id, "other", old, e), QT_E_VOLUME_NAME_CONFLICT);
	must(qt_store_vol_rename(worker, &t.id, &w.id, "data", old, e));

	must(qt_store_vol_deleting(worker, &t.id, &v.id, e));
	must_not(qt_store_vol_rename(worker, &t.id, &v.id, "x", old, e), QT_E_VOLUME_NOT_FOUND);
	must(qt_store_vol_remove(worker, &t.id, &v.id, e));
	expect_event(&t, &v, "other", "removed");
	last_of(text, sizeof(text), "usage", &t, "event_type");
	assert_string_equal(text, "volume_deleted");
	must_not(qt_store_vol_remove(worker, &t.id, &v.id, e), QT_E_VOLUME_NOT_FOUND);
	must_not(qt_store_vol_commit(worker, &t.id, &v.id, e), QT_E_VOLUME_NOT_FOUND);
	must_not(qt_store_vol_restore(agent, &v, e), QT_E_VOLUME_NOT_FOUND);
	must(qt_store_vol_remove(worker, &t.id, &w.id, e));
	assert_int_equal(n_usage(&t), 4);
	/* Reserved and never made: nobody heard of it. */
	qt_vol_done(&v);
	new_vol(&v, &t, "never");
	must(qt_store_vol_reserve(worker, &v, 42, e));
	must(qt_store_vol_remove(agent, &t.id, &v.id, e));
	assert_int_equal(n_usage(&t), 4);
	assert_int_equal(admin_int("KEYS quilt:{%s}:*", t.id.s), 5); /* two streams, three tombstones */
	assert_int_equal(admin_int("SCARD quilt:node:node-1:vols"), 0);
}

/* In use: by its name or its id, whatever state the container is in, until that is removed. */
static void test_use(void **state)
{
	struct qt_tenant t = new_tenant("use", NULL);
	auto_vol struct qt_vol v, half;
	auto_ctr struct qt_ctr a, b, c;
	char old[QT_VOLNAME_MAX + 1], by_id[64];
	json_t *users;

	(void)state;
	new_vol(&v, &t, "data");
	new_vol(&half, &t, "half");
	ctr_with(&a, &t, "a", "data:/x");
	must_not(qt_store_ctr_reserve(worker, &a, 1, e), QT_E_VOLUME_NOT_FOUND);
	assert_int_equal(admin_int("ZCARD quilt:{%s}:ctrs", t.id.s), 0);
	assert_int_equal(admin_int("EXISTS quilt:{%s}:voluse:data", t.id.s), 0);
	must(qt_store_vol_reserve(worker, &half, 42, e));
	ctr_with(&c, &t, "c", "half:/x");
	must_not(qt_store_ctr_reserve(worker, &c, 1, e), QT_E_VOLUME_NOT_FOUND);

	make(&v);
	(void)qt_fmt(by_id, sizeof(by_id), "%s:/x:ro", v.id.s);
	ctr_with(&b, &t, "b", by_id);
	must(qt_store_ctr_reserve(worker, &a, 1, e));
	must(qt_store_ctr_reserve(worker, &b, 1, e));
	users = qt_store_vol_users(worker, &t.id, &v.id, &(struct qt_err){0});
	assert_int_equal(json_array_size(users), 2);
	json_decref(users);
	must_not(qt_store_vol_rename(worker, &t.id, &v.id, "x", old, e), QT_E_VOLUME_IN_USE);
	must_not(qt_store_vol_deleting(worker, &t.id, &v.id, e), QT_E_VOLUME_IN_USE);
	must(qt_store_ctr_remove(worker, &t.id, &a.id, e));
	must_not(qt_store_vol_deleting(worker, &t.id, &v.id, e), QT_E_VOLUME_IN_USE);
	must(qt_store_ctr_remove(worker, &t.id, &b.id, e));
	must(qt_store_vol_deleting(worker, &t.id, &v.id, e));
	must_not(qt_store_ctr_reserve(worker, &a, 1, e), QT_E_VOLUME_NOT_FOUND);
	must(qt_store_vol_remove(worker, &t.id, &v.id, e));
}

struct racer {
	pthread_t thread;
	const struct qt_tenant *tenant;
	const struct qt_vol *vol;
	bool deletes;
	unsigned wins, losses, others;
};
static pthread_barrier_t line;

static void count(struct racer *r, int got, const struct qt_err *e, enum qt_code loss)
{
	r->wins += got == 0;
	r->losses += got < 0 && e->code == loss;
	r->others += got < 0 && e->code != loss;
}

static void *create_some(void *arg)
{
	struct racer *r = arg;
	struct qt_store *s = store_as("quilt-worker");

	(void)pthread_barrier_wait(&line);
	for (int i = 0; i < 10; i++) {
		auto_vol struct qt_vol v;
		struct qt_err e = {0};

		new_vol(&v, r->tenant, "x");
		(void)qt_fmt(v.name, sizeof(v.name), "n-%.26s", v.id.s + 4);
		count(r, qt_store_vol_reserve(s, &v, 1, &e), &e, QT_E_QUOTA_EXCEEDED);
	}
	qt_store_free(s);
	return NULL;
}

static void *attach_or_delete(void *arg)
{
	struct racer *r = arg;
	struct qt_store *s = store_as("quilt-worker");
	auto_ctr struct qt_ctr c;
	struct qt_err e = {0};
	int got;

	ctr_with(&c, r->tenant, "x", "shared:/x");
	(void)qt_fmt(c.name, sizeof(c.name), "n-%.26s", c.id.s + 4);
	(void)pthread_barrier_wait(&line);
	got = r->deletes ? qt_store_vol_deleting(s, &r->tenant->id, &r->vol->id, &e) : qt_store_ctr_reserve(s, &c, 1, &e);
	count(r, got, &e, r->deletes ? QT_E_VOLUME_IN_USE : QT_E_VOLUME_NOT_FOUND);
	qt_store_free(s);
	return NULL;
}

#define RACERS 10

static void race(struct racer *r, void *(*run)(void *))
{
	assert_int_equal(pthread_barrier_init(&line, NULL, RACERS), 0);
	for (int i = 0; i < RACERS; i++)
		assert_int_equal(pthread_create(&r[i].thread, NULL, run, &r[i]), 0);
	for (int i = 0; i < RACERS; i++)
		assert_int_equal(pthread_join(r[i].thread, NULL), 0);
	(void)pthread_barrier_destroy(&line);
}

/* 100 creates against a quota of 10 give exactly 10. Who attaches a volume and who deletes it: never both. */
static void test_races(void **state)
{
	struct qt_tenant t = new_tenant("race", NULL);
	struct racer r[RACERS] = {0};
	unsigned wins = 0, losses = 0;

	(void)state;
	(void)admin_int("HSET quilt:tenant:%s max_volumes 10", t.id.s);
	for (int i = 0; i < RACERS; i++)
		r[i].tenant = &t;
	race(r, create_some);
	for (int i = 0; i < RACERS; i++) {
		wins += r[i].wins;
		losses += r[i].losses;
	}
	assert_int_equal(wins, 10);
	assert_int_equal(losses, 90);
	assert_int_equal(admin_int("ZCARD quilt:{%s}:vols", t.id.s), 10);
	assert_int_equal(admin_int("HLEN quilt:{%s}:volnames", t.id.s), 10);

	(void)admin_int("HSET quilt:tenant:%s max_volumes 100", t.id.s);
	for (int round = 0; round < 20; round++) {
		auto_vol struct qt_vol v;
		unsigned deleted = 0, attached = 0;
		struct qt_ctr_list l;

		new_vol(&v, &t, "shared");
		make(&v);
		memset(r, 0, sizeof(r));
		for (int i = 0; i < RACERS; i++)
			r[i] = (struct racer){.tenant = &t, .vol = &v, .deletes = i % 2};
		race(r, attach_or_delete);
		for (int i = 0; i < RACERS; i++) {
			assert_int_equal(r[i].others, 0);
			*(r[i].deletes ? &deleted : &attached) += r[i].wins;
		}
		assert_int_equal(deleted > 0, attached == 0);
		must(qt_store_ctr_list(worker, &t.id, -1, 0, "", &l, e));
		assert_int_equal(l.n, attached);
		for (size_t i = 0; i < l.n; i++)
			must(qt_store_ctr_remove(worker, &t.id, &l.v[i].id, e));
		qt_ctr_list_done(&l);
		must(qt_store_vol_remove(worker, &t.id, &v.id, e));
	}
}

static void expect_full(int got, const struct qt_err *e, const char *quota, unsigned long long limit, unsigned long long used)
{
	assert_int_equal(got, -1);
	assert_int_equal(e->code, QT_E_QUOTA_EXCEEDED);
	assert_string_equal(e->quota, quota);
	assert_int_equal(e->quota_limit, limit);
	assert_int_equal(e->quota_used, used);
}

/* Sums: what goes makes room again, exactly. */
static void test_sums(void **state)
{
	struct qt_tenant t = new_tenant("sums", NULL);
	auto_vol struct qt_vol v, w;
	auto_ctr struct qt_ctr a, b;
	struct qt_err e1 = {0}, e2 = {0}, e3 = {0}, e4 = {0};

	(void)state;
	(void)admin_int("HSET quilt:tenant:%s max_disk_bytes %d max_memory_mb 1000 max_cpu_percent 101", t.id.s, 3 << 19);
	new_vol(&v, &t, "v");
	new_vol(&w, &t, "w");
	make(&v);
	expect_full(qt_store_vol_reserve(worker, &w, 1, &e1), &e1, "disk_bytes", 3 << 19, 1 << 20);
	must(qt_store_vol_remove(worker, &t.id, &v.id, e));
	make(&w);
	ctr_with(&a, &t, "a", NULL);
	ctr_with(&b, &t, "b", NULL);
	must(qt_store_ctr_reserve(worker, &a, 1, e));
	expect_full(qt_store_ctr_reserve(worker, &b, 1, &e2), &e2, "memory_mb", 1000, 512);
	b.memory_mb = 488;
	must(qt_store_ctr_reserve(worker, &b, 1, e)); /* 50.5 and 50.5 */
	must(qt_store_ctr_remove(worker, &t.id, &b.id, e));
	b.id = qt_id_new("ctr");
	b.cpu_centi = 5051;
	expect_full(qt_store_ctr_reserve(worker, &b, 1, &e3), &e3, "cpu_percent", 101, 51);
	b.cpu_centi = 1;
	b.gpu_count = 1;
	assert_int_equal(qt_store_ctr_reserve(worker, &b, 1, &e4), -1);
	assert_int_equal(e4.code, QT_E_PLAN_REQUIRED); /* none at all is another thing than not so many */
	must(qt_store_ctr_remove(worker, &t.id, &a.id, e));
	must(qt_store_vol_remove(worker, &t.id, &w.id, e));
	assert_int_equal(admin_int("EXISTS quilt:{%s}:used", t.id.s), 0); /* who uses nothing leaves nothing */
}

static void test_list(void **state)
{
	struct qt_tenant t = new_tenant("list", NULL);
	struct qt_vol_list all, l;
	char cursor[64] = "";
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 50; i++) {
		auto_vol struct qt_vol v;

		new_vol(&v, &t, "x");
		(void)qt_fmt(v.name, sizeof(v.name), "n%d", i);
		v.created_ms = 1783002930000 + i / 7;
		make(&v);
	}
	must(qt_store_vol_list(worker, &t.id, 0, "", &all, e));
	assert_int_equal(all.n, 50);
	assert_string_equal(all.cursor, "");
	do {
		must(qt_store_vol_list(worker, &t.id, 13, cursor, &l, e));
		assert_true(l.n <= 13);
		for (size_t i = 0; i < l.n; i++)
			assert_string_equal(l.v[i].id.s, all.v[n++].id.s);
		(void)qt_copy(cursor, sizeof(cursor), l.cursor);
		qt_vol_list_done(&l);
	} while (cursor[0]);
	assert_int_equal(n, 50);
	must_not(qt_store_vol_list(worker, &t.id, 0, "x", &l, e), QT_E_VALIDATION_ERROR);
	for (size_t i = 0; i < all.n; i++)
		must(qt_store_vol_remove(worker, &t.id, &all.v[i].id, e));
	qt_vol_list_done(&all);
}

/* FLUSHALL, then the runtime's records, the container before its volume. */
static void test_restore(void **state)
{
	struct qt_tenant t = new_tenant("restore", NULL);
	auto_vol struct qt_vol v, g = {0};
	auto_ctr struct qt_ctr c;
	struct qt_vol_list l;

	(void)state;
	new_vol(&v, &t, "data");
	make(&v);
	ctr_with(&c, &t, "c", "data:/x");
	must(qt_store_ctr_reserve(worker, &c, 0, e));
	freeReplyObject(admin("FLUSHALL"));
	must(qt_store_ctr_restore(agent, &c, e));
	must(qt_store_vol_restore(agent, &v, e));
	must(qt_store_vol_restore(agent, &v, e));
	must(qt_store_vol_get(worker, &t.id, "data", &g, e));
	same(&v, &g);
	must_not(qt_store_vol_deleting(worker, &t.id, &v.id, e), QT_E_VOLUME_IN_USE);
	must(qt_store_vol_of_node(agent, "node-1", &l, e));
	assert_int_equal(l.n, 1);
	assert_string_equal(l.v[0].id.s, v.id.s);
	qt_vol_list_done(&l);
	assert_int_equal(n_usage(&t), 0); /* it was billed when it was made */
	must(qt_store_ctr_remove(worker, &t.id, &c.id, e));
	must(qt_store_vol_deleting(worker, &t.id, &v.id, e));
	must(qt_store_vol_remove(worker, &t.id, &v.id, e));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life), cmocka_unit_test(test_use),  cmocka_unit_test(test_races),
		cmocka_unit_test(test_sums), cmocka_unit_test(test_list), cmocka_unit_test(test_restore),
	};

	return cmocka_run_group_tests(tests, up, down);
}
