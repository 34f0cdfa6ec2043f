/* Snapshots in a real Redis, as quilt-worker and quilt-agent. */
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
#include "snap_store.h"
#include "str.h"

static struct qt_tenant T;
static struct qt_id SOURCE;

static int snaps_up(void **state)
{
	if (up(state))
		return -1;
	T = new_tenant("snaps", NULL);
	SOURCE = qt_id_new("ctr");
	return 0;
}

static void new_snap(struct qt_snap *s)
{
	qt_snap_init(s);
	s->id = qt_id_new("snap");
	s->tenant = T.id;
	s->source = SOURCE;
	(void)qt_copy(s->source_name, sizeof(s->source_name), "web");
	(void)qt_copy(s->node, sizeof(s->node), "node-1");
	s->created_ms = qt_now_ms();
	s->deadline_ms = s->created_ms + 60000;
	s->network = QT_NET_PRESERVE_NS;
	json_object_set_new(s->labels, "team", json_string("qä \"x\"\r\n$5"));
	json_object_set_new(s->captured, "data", json_string("vol_1"));
	json_object_set_new(s->spec, "image", json_string("busybox"));
}

static void reserve(struct qt_snap *s)
{
	new_snap(s);
	must(qt_store_snap_reserve(worker, s, e));
}

static void same(const struct qt_snap *a, const struct qt_snap *b)
{
	struct qt_err e = {0};
	auto_free char *x = qt_snap_dump(a, &e), *y = qt_snap_dump(b, &e);

	assert_string_equal(x, y);
}

static void expect_event(const char *want)
{
	redisReply *r = admin("XREVRANGE quilt:{%s}:events + - COUNT 1", T.id.s), *f = r->element[0]->element[1];
	json_t *data = NULL;

	assert_string_equal(f->element[1]->str, "snapshot_update");
	data = json_loads(f->element[3]->str, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(data, "event")), want);
	assert_string_equal(json_string_value(json_object_get(data, "source_container_id")), SOURCE.s);
	json_decref(data);
	freeReplyObject(r);
}

static void gone(struct qt_snap *s)
{
	struct qt_snap g;

	must_not(qt_store_snap_get(worker, &T.id, s->id.s, &g, e), QT_E_SNAPSHOT_NOT_FOUND);
	qt_snap_done(s);
}

static void test_life(void **state)
{
	struct qt_snap s, g;
	struct qt_id other = qt_id_new("ten");

	(void)state;
	reserve(&s);
	expect_event("creating");
	must(qt_store_snap_get(worker, &T.id, s.id.s, &g, e));
	same(&s, &g);
	qt_snap_done(&g);
	must_not(qt_store_snap_reserve(worker, &s, e), QT_E_CONFLICT);
	must_not(qt_store_snap_get(worker, &other, s.id.s, &g, e), QT_E_SNAPSHOT_NOT_FOUND);
	must_not(qt_store_snap_get(worker, &T.id, "snap_*", &g, e), QT_E_SNAPSHOT_NOT_FOUND);

	/* While it is made it does not go, unless whoever makes it says so; and one that is pinned does not go at all. */
	must_not(qt_store_snap_deleting(worker, &T.id, &s.id, QT_SNAP_ASKED, e), QT_E_SNAPSHOT_IN_USE);
	must(qt_store_snap_ready(agent, &T.id, &s.id, 4711, e));
	expect_event("ready");
	must(qt_store_snap_ready(agent, &T.id, &s.id, 1, e));
	must(qt_store_snap_pin(worker, &T.id, &s.id, true, &g, e));
	expect_event("pinned");
	assert_true(g.pinned && g.unsaved && g.status == QT_SS_READY && g.size_bytes == 4711 && g.deadline_ms == 0);
	qt_snap_done(&g);
	must(qt_store_snap_saved(worker, &T.id, &s.id, false, e)); /* an older write of the record */
	must(qt_store_snap_pin(worker, &T.id, &s.id, true, &g, e));
	assert_true(g.unsaved);
	qt_snap_done(&g);
	must(qt_store_snap_saved(worker, &T.id, &s.id, true, e));
	must_not(qt_store_snap_deleting(worker, &T.id, &s.id, QT_SNAP_ASKED, e), QT_E_SNAPSHOT_PINNED);
	must_not(qt_store_snap_deleting(agent, &T.id, &s.id, QT_SNAP_EXPIRED, e), QT_E_SNAPSHOT_PINNED);
	must(qt_store_snap_pin(worker, &T.id, &s.id, false, &g, e));
	qt_snap_done(&g);
	expect_event("unpinned");

	/* Going, it is for nothing else. */
	must(qt_store_snap_deleting(worker, &T.id, &s.id, QT_SNAP_ASKED, e));
	must(qt_store_snap_deleting(agent, &T.id, &s.id, QT_SNAP_ASKED, e));
	must_not(qt_store_snap_pin(worker, &T.id, &s.id, true, &g, e), QT_E_SNAPSHOT_NOT_FOUND);
	must_not(qt_store_snap_ready(agent, &T.id, &s.id, 1, e), QT_E_SNAPSHOT_NOT_FOUND);
	must(qt_store_snap_remove(worker, &T.id, &s.id, "removed", e));
	expect_event("removed");
	must_not(qt_store_snap_remove(worker, &T.id, &s.id, "removed", e), QT_E_SNAPSHOT_NOT_FOUND);
	must_not(qt_store_snap_restore(agent, &s, e), QT_E_SNAPSHOT_NOT_FOUND);
	assert_int_equal(admin_int("EXISTS quilt:{%s}:snaps", T.id.s), 0);
	assert_int_equal(admin_int("EXISTS quilt:{%s}:snaps:%s", T.id.s, SOURCE.s), 0);
	assert_int_equal(admin_int("EXISTS quilt:node:node-1:snaps"), 0);
	gone(&s);
}

static void test_in_use(void **state)
{
	auto_ctr struct qt_ctr c;
	struct qt_snap s;

	(void)state;
	reserve(&s);
	must(qt_store_snap_ready(agent, &T.id, &s.id, 1, e));
	qt_ctr_init(&c);
	c.id = qt_id_new("ctr");
	c.tenant = T.id;
	(void)qt_copy(c.name, sizeof(c.name), "clone");
	c.copied_from = c.snapshot = s.id;
	c.created_ms = qt_now_ms();
	must(qt_store_ctr_reserve(worker, &c, c.created_ms + 60000, e));
	must_not(qt_store_snap_deleting(worker, &T.id, &s.id, QT_SNAP_ASKED, e), QT_E_SNAPSHOT_IN_USE);
	/* Made, and never started: it has its own copy now. */
	must(qt_store_ctr_move(agent, &c, 1U << QT_ST_CREATED, QT_ST_CREATED, "created", NULL, e));
	must(qt_store_snap_deleting(worker, &T.id, &s.id, QT_SNAP_ASKED, e));
	must(qt_store_snap_remove(worker, &T.id, &s.id, "removed", e));
	must(qt_store_ctr_remove(worker, &T.id, &c.id, e));
	gone(&s);
}

static void test_expiry(void **state)
{
	struct qt_snap old, later, pinned, making, g;
	struct qt_snap_list l;

	(void)state;
	new_snap(&old);
	new_snap(&later);
	new_snap(&pinned);
	new_snap(&making);
	old.expires_ms = pinned.expires_ms = making.expires_ms = old.created_ms - 1;
	later.expires_ms = later.created_ms + 600000;
	for (struct qt_snap *const *p = (struct qt_snap *const[]){&old, &later, &pinned, &making, NULL}; *p; p++) {
		must(qt_store_snap_reserve(worker, *p, e));
		if (*p != &making)
			must(qt_store_snap_ready(agent, &T.id, &(*p)->id, 1, e));
	}
	must(qt_store_snap_pin(worker, &T.id, &pinned.id, true, &g, e));
	qt_snap_done(&g);
	must(qt_store_snap_expired(agent, "node-1", &l, e));
	assert_int_equal(l.n, 1);
	assert_string_equal(l.v[0].id.s, old.id.s);
	qt_snap_list_done(&l);
	must(qt_store_snap_expired(agent, "node-2", &l, e));
	assert_int_equal(l.n, 0);
	must_not(qt_store_snap_deleting(agent, &T.id, &later.id, QT_SNAP_EXPIRED, e), QT_E_SNAPSHOT_NOT_FOUND);
	must(qt_store_snap_deleting(agent, &T.id, &old.id, QT_SNAP_EXPIRED, e));
	must(qt_store_snap_pin(worker, &T.id, &pinned.id, false, &g, e));
	qt_snap_done(&g);
	must(qt_store_snap_expired(agent, "node-1", &l, e));
	assert_int_equal(l.n, 1);
	assert_string_equal(l.v[0].id.s, pinned.id.s);
	qt_snap_list_done(&l);
	for (struct qt_snap *const *p = (struct qt_snap *const[]){&old, &later, &pinned, &making, NULL}; *p; p++) {
		must(qt_store_snap_deleting(agent, &T.id, &(*p)->id, QT_SNAP_FAILED, e));
		must(qt_store_snap_remove(agent, &T.id, &(*p)->id, "expired", e));
		gone(*p);
	}
	assert_int_equal(admin_int("EXISTS quilt:node:node-1:expiry"), 0);
}

/* Each once, oldest first, in pages of any size, by source and by labels; the node's as well. */
static void test_list(void **state)
{
	enum { N = 700 };
	json_t *labels = json_pack("{s:s, s:s}", "n", "7", "all", "yes"), *none = json_pack("{s:s}", "n", "no");
	struct qt_id other = qt_id_new("ctr");
	struct qt_snap_list all, l;
	char cursor[96] = "";
	struct qt_snap s;
	size_t n = 0;

	(void)state;
	(void)admin_int("HSET quilt:tenant:%s max_snapshots 700", T.id.s);
	new_snap(&s);
	json_object_set_new(s.labels, "all", json_string("yes"));
	for (int i = 0; i < N; i++) {
		char text[8];

		s.id = qt_id_new("snap");
		s.source = i % 10 == 3 ? other : SOURCE;
		s.created_ms = 1783002930000 + i / 40;
		(void)qt_fmt(text, sizeof(text), "%d", i % 100);
		json_object_set_new(s.labels, "n", json_string(text));
		must(qt_store_snap_reserve(worker, &s, e));
	}
	s.id = qt_id_new("snap");
	must_not(qt_store_snap_reserve(worker, &s, e), QT_E_QUOTA_EXCEEDED);
	must(qt_store_snap_list(worker, &T.id, NULL, NULL, 0, "", &all, e));
	assert_int_equal(all.n, N);
	for (size_t i = 1; i < all.n; i++)
		assert_true(all.v[i - 1].created_ms < all.v[i].created_ms ||
			    (all.v[i - 1].created_ms == all.v[i].created_ms && strcmp(all.v[i - 1].id.s, all.v[i].id.s) < 0));
	must(qt_store_snap_list(worker, &T.id, &other, NULL, 0, "", &l, e));
	assert_int_equal(l.n, N / 10);
	qt_snap_list_done(&l);
	must(qt_store_snap_list(worker, &T.id, NULL, labels, 0, "", &l, e));
	assert_int_equal(l.n, N / 100);
	qt_snap_list_done(&l);
	must(qt_store_snap_list(worker, &T.id, NULL, none, 0, "", &l, e));
	assert_int_equal(l.n, 0);
	must(qt_store_snap_of_node(agent, "node-1", &l, e));
	assert_int_equal(l.n, N);
	qt_snap_list_done(&l);
	do {
		must(qt_store_snap_list(worker, &T.id, NULL, NULL, 333, cursor, &l, e));
		for (size_t i = 0; i < l.n; i++)
			assert_string_equal(l.v[i].id.s, all.v[n++].id.s);
		(void)qt_copy(cursor, sizeof(cursor), l.cursor);
		if (l.n > 0)
			must(qt_store_snap_remove(worker, &T.id, &l.v[l.n - 1].id, "removed", e));
		qt_snap_list_done(&l);
	} while (cursor[0]);
	assert_int_equal(n, N);
	must_not(qt_store_snap_list(worker, &T.id, NULL, NULL, 0, "x", &l, e), QT_E_VALIDATION_ERROR);
	for (size_t i = 0; i < all.n; i++) {
		struct qt_err ignored = {0};

		(void)qt_store_snap_remove(worker, &T.id, &all.v[i].id, "removed", &ignored);
	}
	qt_snap_list_done(&all);
	qt_snap_done(&s);
	json_decref(labels);
	json_decref(none);
	(void)admin_int("HSET quilt:tenant:%s max_snapshots 100", T.id.s);
}

static void test_lineage(void **state)
{
	struct qt_snap s[4];
	struct qt_snap_list l;

	(void)state;
	for (int i = 0; i < 4; i++) {
		new_snap(&s[i]);
		if (i > 0)
			s[i].parent = s[i - 1].id;
		must(qt_store_snap_reserve(worker, &s[i], e));
	}
	must(qt_store_snap_lineage(worker, &T.id, s[3].id.s, &l, e));
	assert_int_equal(l.n, 4);
	for (int i = 0; i < 4; i++)
		assert_string_equal(l.v[i].id.s, s[3 - i].id.s);
	qt_snap_list_done(&l);
	must(qt_store_snap_remove(worker, &T.id, &s[1].id, "removed", e));
	must(qt_store_snap_lineage(worker, &T.id, s[3].id.s, &l, e));
	assert_int_equal(l.n, 2);
	qt_snap_list_done(&l);
	must_not(qt_store_snap_lineage(worker, &T.id, s[1].id.s, &l, e), QT_E_SNAPSHOT_NOT_FOUND);
	/* Nobody makes a circle; whoever could would not hang Redis. */
	(void)admin_int("HSET quilt:{%s}:snap:%s parent_snapshot_id %s", T.id.s, s[2].id.s, s[3].id.s);
	must(qt_store_snap_lineage(worker, &T.id, s[3].id.s, &l, e));
	assert_int_equal(l.n, 256);
	qt_snap_list_done(&l);
	for (int i = 0; i < 4; i++) {
		if (i != 1)
			must(qt_store_snap_remove(worker, &T.id, &s[i].id, "removed", e));
		qt_snap_done(&s[i]);
	}
}

static void *reserve_some(void *arg)
{
	struct qt_store *s = store_as("quilt-worker");
	unsigned *wins = arg;

	for (int i = 0; i < 10; i++) {
		struct qt_err e = {0};
		auto_snap struct qt_snap x;

		new_snap(&x);
		*wins += qt_store_snap_reserve(s, &x, &e) == 0;
	}
	qt_store_free(s);
	return NULL;
}

/* 80 at a time against a quota of 10 give 10. And FLUSHALL, then the runtime's records. */
static void test_quota_and_restore(void **state)
{
	enum { RACERS = 8 };
	pthread_t threads[RACERS];
	unsigned wins[RACERS] = {0}, sum = 0;
	struct qt_snap_list l;
	struct qt_snap g;

	(void)state;
	(void)admin_int("HSET quilt:tenant:%s max_snapshots 10", T.id.s);
	for (int i = 0; i < RACERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reserve_some, &wins[i]), 0);
	for (int i = 0; i < RACERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		sum += wins[i];
	}
	assert_int_equal(sum, 10);
	must(qt_store_snap_list(worker, &T.id, NULL, NULL, 0, "", &l, e));
	assert_int_equal(l.n, 10);
	freeReplyObject(admin("FLUSHALL"));
	l.v[0].status = QT_SS_READY;
	l.v[0].expires_ms = 1;
	must(qt_store_snap_restore(agent, &l.v[0], e));
	must(qt_store_snap_restore(agent, &l.v[0], e));
	expect_event("restored");
	must(qt_store_snap_get(worker, &T.id, l.v[0].id.s, &g, e));
	same(&g, &l.v[0]);
	qt_snap_done(&g);
	qt_snap_list_done(&l);
	must(qt_store_snap_expired(agent, "node-1", &l, e));
	assert_int_equal(l.n, 1);
	qt_snap_list_done(&l);
	must(qt_store_snap_list(worker, &T.id, &SOURCE, NULL, 0, "", &l, e));
	assert_int_equal(l.n, 1);
	qt_snap_list_done(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life), cmocka_unit_test(test_in_use),  cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_list), cmocka_unit_test(test_lineage), cmocka_unit_test(test_quota_and_restore),
	};

	return cmocka_run_group_tests(tests, snaps_up, down);
}
