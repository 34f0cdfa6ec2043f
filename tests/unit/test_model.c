#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "fields.h"
#include "model.h"
#include "str.h"

static void test_words(void **state)
{
	enum qt_state s;
	enum qt_op_status st;
	enum qt_op_type t;

	(void)state;
	for (unsigned i = 0; i < QT_ST_COUNT; i++) {
		assert_true(qt_state_parse(&s, qt_state_name((enum qt_state)i)));
		assert_int_equal(s, i);
	}
	assert_true(qt_state_parse(&s, "stopped"));
	assert_int_equal(s, QT_ST_EXITED);
	assert_false(qt_state_parse(&s, "Running"));
	assert_false(qt_state_parse(&s, ""));
	for (unsigned i = 0; i < QT_OP_STATUS_COUNT; i++) {
		assert_true(qt_op_status_parse(&st, qt_op_status_name((enum qt_op_status)i)));
		assert_int_equal(st, i);
		assert_int_equal(qt_op_final(st), i >= QT_OP_SUCCEEDED);
	}
	for (unsigned i = 0; i < QT_OPT_COUNT; i++) {
		assert_true(qt_op_type_parse(&t, qt_op_type_name((enum qt_op_type)i)));
		assert_int_equal(t, i);
		assert_true(qt_op_type_deadline_s(t) > 0);
	}
	assert_false(qt_op_type_parse(&t, "container.explode"));
}

static void fill(struct qt_ctr *c)
{
	qt_ctr_init(c);
	strcpy(c->id.s, "ctr_0000000000000000000000000a");
	strcpy(c->tenant.s, "ten_0000000000000000000000000b");
	strcpy(c->name, "demo");
	strcpy(c->node, "node-1");
	strcpy(c->ip, "10.42.0.17");
	strcpy(c->image, "prod");
	strcpy(c->workdir, "/srv/\"x\"\n");
	c->state = QT_ST_EXITED;
	c->pid = 48213;
	c->has_exit_code = true;
	c->exit_code = 137;
	c->created_ms = 1783002930123;
	c->started_ms = 1783002931000;
	c->memory_mb = 512;
	c->cpu_centi = 2550;
	c->strict = true;
	json_object_set_new(c->labels, "team", json_string("qä"));
	json_object_set_new(c->environment, "FOO", json_string("bar\nbaz"));
	json_array_append_new(c->command, json_string("/bin/sh"));
	json_array_append_new(c->command, json_string("-lc"));
	json_array_append_new(c->volumes, json_string("data:/workspace:ro"));
}

/* Every field as text and back, and the record whole and back, give the same container. */
static void test_record(void **state)
{
	struct qt_ctr a, b, d;
	struct qt_err e = {0};
	char *text, *again;

	(void)state;
	fill(&a);
	qt_ctr_init(&b);
	for (size_t i = 0; i < qt_ctr_table.n; i++) {
		const struct qt_mfield *f = &qt_ctr_table.v[i];
		auto_free char *s = qt_field_text(&a, f);

		assert_ptr_equal(qt_field_find(&qt_ctr_table, f->name), f);
		assert_int_equal(qt_field_parse(&b, f, s, strlen(s), &e), 0);
	}
	assert_int_equal(qt_fields_complete(&qt_ctr_table, &b, &e), 0);
	text = qt_ctr_dump(&a, &e);
	again = qt_ctr_dump(&b, &e);
	assert_non_null(text);
	assert_string_equal(text, again);
	assert_int_equal(qt_ctr_load(&d, text, strlen(text), &e), 0);
	free(again);
	again = qt_ctr_dump(&d, &e);
	assert_string_equal(text, again);
	assert_int_equal(d.exit_code, 137);
	assert_int_equal(d.cpu_centi, 2550);
	assert_string_equal(d.workdir, a.workdir);
	assert_true(json_equal(d.environment, a.environment));
	free(text);
	free(again);
	qt_ctr_done(&a);
	qt_ctr_done(&b);
	qt_ctr_done(&d);
}

/* Each byte of a record changed, cut off, or zeroed: refused or read, never a crash, and nothing owned on refusal. */
static void test_hostile_record(void **state)
{
	struct qt_ctr a, b;
	struct qt_err e = {0};
	char *text, *copy;
	size_t len;

	(void)state;
	fill(&a);
	text = qt_ctr_dump(&a, &e);
	len = strlen(text);
	copy = malloc(len);
	for (size_t i = 0; i < len; i++) {
		static const char bad[] = {'\0', '"', '{', '9', '\xff'};

		for (size_t k = 0; k < sizeof(bad); k++) {
			memcpy(copy, text, len);
			copy[i] = bad[k];
			qt_err_reset(&e);
			if (qt_ctr_load(&b, copy, len, &e) == 0)
				qt_ctr_done(&b);
			else
				assert_int_equal(e.code, QT_E_INTERNAL_ERROR);
		}
		qt_err_reset(&e);
		assert_int_equal(qt_ctr_load(&b, text, i, &e), -1);
	}
	for (const char *const *p = (const char *const[]){"", "[]", "{}", "null", "{\"id\":1}", "{\"id\":\"ten_1\"}",
							  "{\"id\":\"ctr_1\",\"tenant_id\":\"ten_1\"}", NULL};
	     *p; p++) {
		qt_err_reset(&e);
		assert_int_equal(qt_ctr_load(&b, *p, strlen(*p), &e), -1);
	}
	free(copy);
	free(text);
	qt_ctr_done(&a);
}

static void test_record_too_large(void **state)
{
	struct qt_ctr a;
	struct qt_err e = {0};
	char big[16384];

	(void)state;
	fill(&a);
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	json_object_set_new(a.environment, "BIG", json_string(big));
	assert_null(qt_ctr_dump(&a, &e));
	assert_int_equal(e.code, QT_E_PAYLOAD_TOO_LARGE);
	qt_ctr_done(&a);
}

static void test_view(void **state)
{
	static const char want[] = "{\"container_id\":\"ctr_1\",\"tenant_id\":\"ten_2\",\"name\":\"n\",\"state\":\"created\",\"pid\":null,"
				   "\"exit_code\":null,\"ip_address\":null,\"created_at\":\"2026-07-02T14:35:30Z\",\"started_at\":null,"
				   "\"exited_at\":null,\"working_directory\":\"/\",\"memory_limit_mb\":512,\"cpu_limit_percent\":50,"
				   "\"strict\":false,\"gpu_count\":0,\"gpu_ids\":[],\"labels\":{}}";
	struct qt_ctr c;
	json_t *v;
	char *text;

	(void)state;
	qt_ctr_init(&c);
	strcpy(c.id.s, "ctr_1");
	strcpy(c.tenant.s, "ten_2");
	strcpy(c.name, "n");
	strcpy(c.workdir, "/");
	c.created_ms = 1783002930000;
	c.memory_mb = 512;
	c.cpu_centi = 5000;
	v = qt_ctr_view(&c);
	text = json_dumps(v, JSON_COMPACT);
	assert_string_equal(text, want);
	free(text);
	json_decref(v);
	c.cpu_centi = 1250;
	c.pid = 7;
	v = qt_ctr_view(&c);
	assert_true(json_real_value(json_object_get(v, "cpu_limit_percent")) == 12.5);
	assert_int_equal(json_integer_value(json_object_get(v, "pid")), 7);
	json_decref(v);
	qt_ctr_done(&c);
}

static void test_op_view(void **state)
{
	auto_op struct qt_op o;
	json_t *v;

	(void)state;
	qt_op_init(&o);
	strcpy(o.id.s, "op_1");
	strcpy(o.container.s, "ctr_1");
	o.status = QT_OP_FAILED;
	strcpy(o.error_code, "CAPACITY_FULL");
	strcpy(o.error, "no room");
	o.created_ms = 1783002930999;
	v = qt_op_view(&o);
	assert_non_null(v);
	assert_int_equal(json_object_size(v), 22);
	assert_string_equal(json_string_value(json_object_get(v, "status")), "failed");
	assert_string_equal(json_string_value(json_object_get(v, "operation_type")), "container.create");
	assert_string_equal(json_string_value(json_object_get(v, "error_message")), "no room");
	assert_string_equal(json_string_value(json_object_get(v, "reason_code")), "CAPACITY_FULL");
	assert_string_equal(json_string_value(json_object_get(v, "target_resource_id")), "ctr_1");
	assert_int_equal(json_integer_value(json_object_get(v, "created_at")), 1783002930);
	assert_true(json_is_null(json_object_get(v, "completed_at")));
	assert_true(json_is_object(json_object_get(v, "result")));
	json_decref(v);
}

struct sample {
	const char *text;
	bool ok;
};

static void walk(const struct sample *v, size_t n, int (*check)(const char *, const char *, struct qt_err *))
{
	for (size_t i = 0; i < n; i++) {
		struct qt_err e = {0};
		int r = check("/f", v[i].text, &e);

		if ((r == 0) != v[i].ok)
			fail_msg("\"%s\": %s", v[i].text, r == 0 ? "accepted" : e.msg);
		if (r < 0) {
			assert_int_equal(e.code, QT_E_VALIDATION_ERROR);
			assert_string_equal(e.field, "/f");
			assert_true(e.msg[0] && e.expected[0]);
		}
	}
}

static int env_name(const char *field, const char *name, struct qt_err *e)
{
	return qt_check_env(field, name, "v", false, e);
}

static int env_exec(const char *field, const char *name, struct qt_err *e)
{
	return qt_check_env(field, name, "v", true, e);
}

static int vol_size(const char *field, const char *text, struct qt_err *e)
{
	uint64_t n;

	return qt_check_size(field, text, &n, e);
}

static void test_volume(void **state)
{
	auto_vol struct qt_vol a, b;
	struct qt_err e = {0};
	auto_free char *text = NULL, *again = NULL;
	json_t *v;

	(void)state;
	qt_vol_init(&a);
	strcpy(a.id.s, "vol_1");
	strcpy(a.tenant.s, "ten_2");
	strcpy(a.name, "data");
	a.created_ms = 1783002930123;
	a.max_bytes = 1ULL << 50;
	json_object_set_new(a.labels, "team", json_string("qä"));
	json_object_set_new(a.options, "size", json_string("1024T"));
	text = qt_vol_dump(&a, &e);
	assert_non_null(text);
	assert_int_equal(qt_vol_load(&b, text, strlen(text), &e), 0);
	again = qt_vol_dump(&b, &e);
	assert_string_equal(text, again);
	v = qt_vol_view(&b);
	assert_int_equal(json_object_size(v), 11);
	assert_string_equal(json_string_value(json_object_get(v, "name")), "data");
	assert_string_equal(json_string_value(json_object_get(v, "status")), "ready");
	assert_true(json_is_null(json_object_get(v, "mount_point")) && json_is_null(json_object_get(v, "mountpoint")));
	assert_int_equal(json_integer_value(json_object_get(v, "created_at")), 1783002930);
	json_decref(v);
	a.deadline_ms = 1;
	assert_string_equal(qt_vol_status(&a), "creating");
	a.deleting_ms = 1;
	assert_string_equal(qt_vol_status(&a), "deleting");
	for (size_t i = 0; i < strlen(text); i++) {
		struct qt_vol d;

		qt_err_reset(&e);
		assert_int_equal(qt_vol_load(&d, text, i, &e), -1);
		assert_int_equal(e.code, QT_E_INTERNAL_ERROR);
	}
}

/* Which lists of volumes a container may have. */
static void test_volume_lists(void **state)
{
	static const struct {
		const char *list;
		bool ok;
	} rows[] = {
		{"[]", true}, {"[\"a:/x\"]", true}, {"[\"a:/x\", \"b:/y\"]", true}, {"[\"a:/x\", \"a:/y:ro\"]", true},
		{"[\"a:/x\", \"b:/x/y\"]", true}, {"[\"a:/x/y\", \"b:/xy\"]", true}, {"[\"a:/x\", \"b:/x\"]", false},
		{"[\"a:/x\", \"b:/./x//\"]", false}, {"[\"a:/x/y\", \"b:/x\"]", false},
		{"[\"a:/x/y/z\", \"b:/q\", \"c:/x\"]", false}, {"[\"a\"]", false},
	};
	struct qt_mount m;

	(void)state;
	for (size_t i = 0; i < QT_LEN(rows); i++) {
		json_t *list = json_loads(rows[i].list, 0, NULL);
		struct qt_err e = {0};

		if ((qt_check_volumes("/volumes", list, &e) == 0) != rows[i].ok)
			fail_msg("%s: %s", rows[i].list, e.msg);
		assert_true(rows[i].ok || (e.code == QT_E_VALIDATION_ERROR && strncmp(e.field, "/volumes/", 9) == 0));
		json_decref(list);
	}
	assert_int_equal(qt_mount_parse("/f", "d-1:/a//b/./c:ro", &m, &(struct qt_err){0}), 0);
	assert_string_equal(m.name, "d-1");
	assert_string_equal(m.target, "/a/b/c");
	assert_true(m.read_only);
}

static void test_checks(void **state)
{
	static const struct sample vol_names[] = {
		{"data", true}, {"a", true}, {"-", true}, {"A_b-9", true}, {"", false}, {"a.b", false}, {"a/b", false}, {"vol_1", false},
		{"volume", true}, {"é", false}, {"a b", false},
		{"1234567890123456789012345678901234567890123456789012345678901234", true},
		{"12345678901234567890123456789012345678901234567890123456789012345", false},
	};
	static const struct sample sizes[] = {
		{"10G", true}, {"1048576", true}, {"1M", true}, {"1024k", true}, {"1T", true}, {"1048575", false}, {"", false}, {"G", false},
		{"-1G", false}, {"1.5G", false}, {"1GB", false}, {" 1G", false}, {"99999999999T", false}, {"10P", false},
		{"8388607T", true}, {"8388608T", false},
	};
	static const struct sample names[] = {
		{"a", true}, {"Demo-1.x_y", true}, {"0", true}, {"", false}, {"-a", false}, {".a", false}, {"a b", false},
		{"a/b", false}, {"é", false}, {"help", false}, {"by-name", false}, {"batch", false}, {"health", false},
		{"examples", false}, {"helper", true}, {"ctr_1", false}, {"ctr_X", false}, {"ctr", true}, {"a\n", false},
		{"123456789012345678901234567890123456789012345678901234567890123", true},
		{"1234567890123456789012345678901234567890123456789012345678901234", false},
	};
	static const struct sample dirs[] = {
		{"/", true}, {"/app", true}, {"//app/./x/", true}, {"app", false}, {"", false}, {"/a/../b", false}, {"/..", false},
		{"/proc", false}, {"/./proc//1", false}, {"/processes", true}, {"/sys", false}, {"/var/run/x", false},
		{"/var", true}, {"/etc/shadow", false}, {"/etc", true}, {"/a\nb", false}, {"/root", false}, {"/...", true},
	};
	static const struct sample vars[] = {
		{"FOO", true}, {"_x", true}, {"a.b-c", true}, {"", false}, {"1A", false}, {"A=B", false}, {"A B", false},
		{"PATH", false}, {"HOME", false}, {"LD_PRELOAD", false}, {"LD_LIBRARY_PATH", false}, {"LDX", true},
		{"PYTHONPATH", true}, {"MALLOC_ARENA_MAX", true},
	};
	static const struct sample exec_vars[] = {
		{"PATH", true}, {"HOME", true}, {"LD_PRELOAD", false}, {"LD_AUDIT", false}, {"MALLOC_CHECK_", false},
		{"PYTHONPATH", false}, {"NODE_PATH", false}, {"GLIBC_TUNABLES", false}, {"FOO", true},
	};
	static const struct sample volumes[] = {
		{"data:/workspace", true}, {"d_1-x:/a/b:ro", true}, {"data", false}, {":/x", false}, {"data:", false},
		{"data:x", false}, {"data:/", false}, {"data:/.", false}, {"data:/a/../etc", false}, {"data:/etc", false},
		{"data:/etcetera", true}, {"data:/x:rx", false}, {"/host:/x", false}, {"../h:/x", false}, {"da.ta:/x", false},
		{"data:/usr/local", false}, {"data:/x:ro:ro", false},
	};

	(void)state;
	walk(names, QT_LEN(names), qt_check_name);
	walk(dirs, QT_LEN(dirs), qt_check_workdir);
	walk(vars, QT_LEN(vars), env_name);
	walk(exec_vars, QT_LEN(exec_vars), env_exec);
	walk(volumes, QT_LEN(volumes), qt_check_volume);
	walk(vol_names, QT_LEN(vol_names), qt_check_volume_name);
	walk(sizes, QT_LEN(sizes), vol_size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),	      cmocka_unit_test(test_record),
		cmocka_unit_test(test_hostile_record), cmocka_unit_test(test_record_too_large),
		cmocka_unit_test(test_view),	      cmocka_unit_test(test_op_view),
		cmocka_unit_test(test_checks),	      cmocka_unit_test(test_volume),
		cmocka_unit_test(test_volume_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
