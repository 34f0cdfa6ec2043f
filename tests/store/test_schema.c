/* docs/redis-schema.md tells of every key and every field, and of none that is not there. */
#include <fcntl.h>
#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "check.h"
#include "cleanup.h"
#include "clock.h"
#include "fdio.h"
#include "imgs.h"
#include "redis.h"
#include "session_store.h"
#include "snap_store.h"
#include "str.h"

#define KEYS_MAX 64

static char *doc;

/* One of each kind of key. */
static void fill(void)
{
	struct qt_store *boss = store_as("quilt-admin"), *worker = store_as("quilt-worker"), *agent = store_as("quilt-agent");
	struct qt_tenant t;
	struct qt_apikey k;
	struct qt_op o;
	struct qt_op_entry x = {0};
	struct qt_session x1 = {.id = qt_id_new("sess"), .node = "n"};
	struct qt_idem idem;
	struct qt_ctr c;
	struct qt_vol v;
	struct qt_img img;
	json_t *empty = json_object(), *running = json_pack("{s:s}", "status", "running");
	json_t *gpus = json_pack("[s, s]", "nvidia0", "");
	char text[64];
	unsigned after;

	must(qt_store_tenant_create(boss, "t", NULL, &t, e));
	must(qt_store_key_create(boss, &t.id, "k", text, &k, e));
	must(qt_store_auth_limited(worker, text, &k, &after, e));
	qt_vol_init(&v);
	v.id = qt_id_new("vol");
	v.tenant = t.id;
	v.max_bytes = 1 << 20;
	v.created_ms = qt_now_ms();
	(void)qt_copy(v.node, sizeof(v.node), "n");
	(void)qt_copy(v.name, sizeof(v.name), "data");
	must(qt_store_vol_reserve(worker, &v, 1, e));
	must(qt_store_vol_commit(worker, &t.id, &v.id, e));
	qt_vol_done(&v);
	qt_img_init(&img);
	img.id = qt_id_new("img");
	img.tenant = t.id;
	img.pulled_ms = qt_now_ms();
	(void)qt_copy(img.reference, sizeof(img.reference), "docker.io/library/nginx:latest");
	(void)qt_copy(img.manifest_digest, sizeof(img.manifest_digest), "sha256:0");
	(void)qt_copy(img.node, sizeof(img.node), "n");
	must(qt_store_img_put(agent, &img, e));
	qt_img_done(&img);
	qt_ctr_init(&c);
	c.tenant = t.id;
	json_array_append_new(c.volumes, json_string("data:/data"));
	c.created_ms = qt_now_ms();
	(void)qt_copy(c.node, sizeof(c.node), "n");
	for (int i = 0; i < 2; i++) {
		c.id = qt_id_new("ctr");
		(void)qt_fmt(c.name, sizeof(c.name), "c%d", i);
		c.started_ms = 0;
		must(qt_store_ctr_reserve(worker, &c, 1, e));
		c.started_ms = 1;
		must(qt_store_ctr_move(worker, &c, 1U << QT_ST_CREATED, QT_ST_RUNNING, "started", "container_started", e));
		must(qt_store_job_put(worker, &t.id, &c.id, qt_id_new("job").s, empty, e));
		must(qt_store_job_put(worker, &t.id, &c.id, qt_id_new("job").s, running, e));
		if (i == 0)
			must(qt_store_ctr_remove(worker, &t.id, &c.id, e));
	}
	must(qt_store_idem_begin(worker, &t.id, "key", "request", "1.1.node-1", "", 60, &idem, e));
	must(qt_store_idem_end(worker, &t.id, &idem, 200, "application/json", "{}", 2, e));
	for (int i = 0; i < 2; i++) {
		auto_snap struct qt_snap s;

		qt_snap_init(&s);
		s.id = qt_id_new("snap");
		s.tenant = t.id;
		s.source = c.id;
		s.created_ms = s.expires_ms = qt_now_ms();
		(void)qt_copy(s.node, sizeof(s.node), "n");
		must(qt_store_snap_reserve(worker, &s, e));
		must(qt_store_snap_ready(agent, &t.id, &s.id, 1, e));
		if (i == 0)
			must(qt_store_snap_remove(worker, &t.id, &s.id, "removed", e));
	}
	qt_op_init(&o);
	o.tenant = t.id;
	(void)qt_copy(o.node, sizeof(o.node), "n");
	o.id = qt_id_new("op");
	must(qt_store_op_submit(worker, &o, e));
	assert_int_equal(must(qt_store_op_next(agent, "n", "a", 10000, 60000, true, NULL, &x, e)), 1);
	must(qt_store_op_log(agent, &o, "stdout", 1, "text", e));
	/* More than have a place in the stream; their records have not all the fields. */
	for (int i = 0; i < 16; i++) {
		o.id = qt_id_new("op");
		must(qt_store_op_submit(worker, &o, e));
		freeReplyObject(admin("DEL quilt:{%s}:op:%s", t.id.s, o.id.s));
	}
	must(qt_store_usage_sample(agent, "n", 1000000, e));
	x1.tenant = t.id;
	x1.container = c.id;
	must(qt_store_session_put(worker, &x1, 1, 1, e));
	must(qt_store_node_beat(agent, "n", empty, e));
	must(qt_store_node_gpus(agent, "n", gpus, e));
	qt_op_done(&o);
	qt_op_done(&x.op);
	qt_ctr_done(&c);
	json_decref(empty);
	json_decref(running);
	json_decref(gpus);
	qt_store_free(boss);
	qt_store_free(worker);
	qt_store_free(agent);
}

/* What stands between the first two backticks of LINE. */
static bool ticked(char *out, size_t size, const char *line)
{
	const char *a = strchr(line, '`'), *b = a ? strchr(a + 1, '`') : NULL;

	return b && qt_fmt(out, size, "%.*s", (int)(b - a - 1), a + 1);
}

/* "quilt:{<t>}:ctr:<id>" as a glob in which no placeholder reaches over a colon; KEY is compared part by part. */
static bool matches(const char *pattern, const char *key)
{
	char glob[64], k[160];
	size_t n = 0;

	for (const char *p = pattern; *p && n < sizeof(glob) - 2; p++) {
		if (*p != '<') {
			glob[n++] = *p == ':' ? '/' : *p;
			continue;
		}
		glob[n++] = '*';
		p += strcspn(p, ">");
	}
	glob[n] = '\0';
	assert_true(qt_copy(k, sizeof(k), key));
	for (char *p = k; *p; p++)
		if (*p == ':')
			*p = '/';
	return fnmatch(glob, k, FNM_PATHNAME | FNM_NOESCAPE) == 0;
}

static void test_keys(void **state)
{
	char pattern[KEYS_MAX][64], type[KEYS_MAX][16];
	bool seen[KEYS_MAX] = {false};
	size_t n = 0;
	redisReply *r;

	(void)state;
	for (char *line = strstr(doc, "| `quilt:"); line && n < KEYS_MAX; line = strstr(line + 1, "\n| `quilt:")) {
		assert_true(ticked(pattern[n], sizeof(pattern[n]), line));
		assert_int_equal(sscanf(strstr(line, "` | ") + 4, "%15[a-z]", type[n]), 1);
		n++;
	}
	fill();
	r = admin("KEYS *");
	assert_true(r->elements > 15);
	for (size_t i = 0; i < r->elements; i++) {
		redisReply *t = admin("TYPE %s", r->element[i]->str);
		size_t k = 0;

		while (k < n && !matches(pattern[k], r->element[i]->str))
			k++;
		if (k == n || !qt_streq(t->str, type[k]))
			fail_msg("%s (%s) is not in docs/redis-schema.md", r->element[i]->str, t->str);
		seen[k] = true;
		freeReplyObject(t);
	}
	freeReplyObject(r);
	for (size_t i = 0; i < n; i++)
		if (!seen[i])
			fail_msg("docs/redis-schema.md tells of %s, which nothing made", pattern[i]);
}

/* The fields under the heading of KEY are those of the hash (or of the stream's newest entry) at the live key. */
static void fields(const char *heading)
{
	char pattern[64], title[96], names[64][32];
	redisReply *keys = admin("KEYS *"), *r = NULL, *list;
	const char *line;
	size_t n = 0, there = 0;

	(void)qt_fmt(title, sizeof(title), "\n### `%s`\n", heading);
	line = strstr(doc, title);
	assert_non_null(line);
	line = strstr(line, "\n| `");
	for (; line && qt_starts(line, "\n| `") && n < 64; line = strchr(line + 1, '\n'))
		assert_true(ticked(names[n++], sizeof(names[0]), line));
	assert_true(qt_copy(pattern, sizeof(pattern), heading));
	for (size_t i = 0; i < keys->elements && !r; i++)
		if (matches(pattern, keys->element[i]->str))
			r = admin(strstr(heading, "}:events") || strstr(heading, "}:usage") ? "XREVRANGE %s + - COUNT 1" : "HGETALL %s",
				  keys->element[i]->str);
	assert_non_null(r);
	list = r->elements == 1 ? r->element[0]->element[1] : r;
	for (size_t i = 0; i < list->elements; i += 2) {
		size_t k = 0;

		while (k < n && !qt_streq(names[k], list->element[i]->str))
			k++;
		if (k == n)
			fail_msg("%s: docs/redis-schema.md lacks the field %s", heading, list->element[i]->str);
		there++;
	}
	assert_int_equal(there, n);
	freeReplyObject(r);
	freeReplyObject(keys);
}

static void test_fields(void **state)
{
	(void)state;
	fields("quilt:{<t>}:ctr:<id>");
	fields("quilt:{<t>}:snap:<id>");
	fields("quilt:{<t>}:vol:<id>");
	fields("quilt:{<t>}:img:<id>");
	fields("quilt:{<t>}:used");
	fields("quilt:{<t>}:op:<id>");
	fields("quilt:{<t>}:session:<id>");
	fields("quilt:tenant:<t>");
	fields("quilt:apikey:<sha256>");
	fields("quilt:{<t>}:events");
	fields("quilt:{<t>}:usage");
}

static int up(void **state)
{
	struct qt_err e = {0};

	doc = malloc(1 << 17);
	return !doc || qt_read_file(AT_FDCWD, QT_SRCDIR "/docs/redis-schema.md", doc, 1 << 17, &e) < 0 || redis_up(state);
}

static int down(void **state)
{
	free(doc);
	return redis_down(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_fields),
	};

	return cmocka_run_group_tests(tests, up, down);
}
