/* Snapshots as data: the record and the view, and what a clone begins with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "snap.h"
#include "str.h"

static void fill(struct qt_snap *s)
{
	qt_snap_init(s);
	strcpy(s->id.s, "snap_5d20");
	strcpy(s->tenant.s, "ten_7c1d");
	strcpy(s->source.s, "ctr_9f21");
	strcpy(s->source_name, "api-worker");
	strcpy(s->node, "node-1");
	s->status = QT_SS_READY;
	s->consistency = QT_APP_CONSISTENT;
	s->network = QT_NET_PRESERVE_CONN;
	s->volumes = QT_VM_ALL;
	s->pinned = true;
	s->ttl_s = 3600;
	s->size_bytes = 10485760;
	s->created_ms = 1783002930123;
	s->expires_ms = 1783006530123;
	json_object_set_new(s->labels, "suite", json_string("contract"));
	json_object_set_new(s->captured, "data", json_string("vol_1"));
	json_object_set_new(s->spec, "image", json_string("busybox"));
}

static void test_record(void **state)
{
	struct qt_err e = {0};
	struct qt_snap a, b;
	char *x, *y;

	(void)state;
	fill(&a);
	x = qt_snap_dump(&a, &e);
	assert_non_null(x);
	assert_int_equal(qt_snap_load(&b, x, strlen(x), &e), 0);
	y = qt_snap_dump(&b, &e);
	assert_string_equal(x, y);
	free(x);
	free(y);
	qt_snap_done(&a);
	qt_snap_done(&b);
}

static void test_hostile_record(void **state)
{
	static const char head[] = "{\"id\":\"snap_1\",\"tenant_id\":\"ten_1\",\"source_container_id\":\"ctr_1\"";
	static const char *const tails[] = {
		",\"status\":\"half\"}", ",\"consistency_mode\":\"Crash-consistent\"}", ",\"volume_mode\":1}", ",\"labels\":{\"a\":1}}",
		",\"captured\":[]}",	 ",\"spec\":[]}",	",\"ttl_seconds\":\"-1\"}",	",\"id\":\"ctr_1\"}",
	};
	struct qt_snap s;
	char text[256];

	(void)state;
	for (size_t i = 0; i < QT_LEN(tails); i++) {
		struct qt_err e = {0};

		assert_true(qt_fmt(text, sizeof(text), "%s%s", head, tails[i]));
		assert_int_equal(qt_snap_load(&s, text, strlen(text), &e), -1);
		assert_int_equal(e.code, QT_E_INTERNAL_ERROR);
	}
	assert_int_equal(qt_snap_load(&s, "{\"id\":\"snap_1\"}", 15, &(struct qt_err){0}), -1);
	assert_true(qt_fmt(text, sizeof(text), "%s,\"later\":[1]}", head));
	assert_int_equal(qt_snap_load(&s, text, strlen(text), &(struct qt_err){0}), 0);
	qt_snap_done(&s);
}

static void test_view(void **state)
{
	static const char want[] =
		"{\"snapshot_id\": \"snap_5d20\", \"id\": \"snap_5d20\", \"source_container_id\": \"ctr_9f21\", \"source_container_name\": \"api-worker\", "
		"\"container_id\": \"ctr_9f21\", \"parent_snapshot_id\": null, \"tenant_id\": \"ten_7c1d\", \"name\": null, \"status\": \"ready\", "
		"\"consistency_mode\": \"app-consistent\", \"network_mode\": \"preserve_conn_best_effort\", \"volume_mode\": \"include_all_allowed\", "
		"\"labels\": {\"suite\": \"contract\"}, \"pinned\": true, \"ttl_seconds\": 3600, \"size_bytes\": 10485760, "
		"\"created_at\": 1783002930, \"expires_at\": 1783006530, \"metadata\": {}}";
	struct qt_snap s;
	json_t *v;
	char *text;

	(void)state;
	fill(&s);
	v = qt_snap_view(&s);
	text = json_dumps(v, 0);
	assert_string_equal(text, want);
	free(text);
	json_decref(v);
	s.ttl_s = 0;
	s.expires_ms = 0;
	s.deleting_ms = 1;
	strcpy(s.parent.s, "snap_1");
	v = qt_snap_view(&s);
	assert_true(json_is_null(json_object_get(v, "ttl_seconds")) && json_is_null(json_object_get(v, "expires_at")));
	assert_string_equal(json_string_value(json_object_get(v, "status")), "deleting");
	assert_string_equal(json_string_value(json_object_get(v, "parent_snapshot_id")), "snap_1");
	json_decref(v);
	qt_snap_done(&s);
}

/* A copy has what its source was made of, and nothing of who and where that is; a spec that somebody else wrote makes nothing else. */
static void test_spec(void **state)
{
	struct qt_err e = {0};
	struct qt_ctr a, b;
	json_t *spec;

	(void)state;
	qt_ctr_init(&a);
	strcpy(a.id.s, "ctr_1");
	strcpy(a.name, "demo");
	strcpy(a.image, "prod");
	strcpy(a.workdir, "/srv");
	strcpy(a.ip, "10.0.0.1");
	a.memory_mb = 64;
	a.cpu_centi = 2550;
	a.strict = true;
	a.pid = 7;
	a.gpu_count = 1;
	json_object_set_new(a.environment, "FOO", json_string("bar"));
	json_array_append_new(a.command, json_string("/bin/sh"));
	spec = qt_ctr_spec(&a);
	json_object_set_new(spec, "id", json_string("ctr_2"));
	json_object_set_new(spec, "state", json_string("running"));
	assert_int_equal(qt_ctr_from_spec(&b, spec, &e), 0);
	assert_string_equal(b.image, "prod");
	assert_string_equal(b.workdir, "/srv");
	assert_true(b.memory_mb == 64 && b.cpu_centi == 2550 && b.strict && json_equal(a.environment, b.environment) &&
		    json_equal(a.command, b.command));
	assert_true(b.id.s[0] == '\0' && b.name[0] == '\0' && b.ip[0] == '\0' && b.pid == 0 && b.gpu_count == 1 && json_array_size(b.gpu_ids) == 0 &&
		    b.state == QT_ST_CREATED);
	qt_ctr_done(&b);
	json_object_set_new(spec, "command", json_string("rm"));
	assert_int_equal(qt_ctr_from_spec(&b, spec, &e), -1);
	json_decref(spec);
	qt_ctr_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_hostile_record),
		cmocka_unit_test(test_view),
		cmocka_unit_test(test_spec),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
