/* The two names of a GPU, and what the agent tells Redis; with a runtime and a Redis of its own making. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "life.h"
#include "str.h"

static const char *const list[][2] = {
	{"nvidia.com/gpu=0", "ten_a/ctr_b"}, {"nvidia.com/gpu=1", ""}, {"nvidia.com/gpu=GPU-1", "=nvidia.com/gpu=1"}, {"x.y/z=0", ""},
};
static unsigned pages;
static bool unordered;
static json_t *told;

int rt_call(struct rt_client *c, enum rt_op op, const void *req_, const int *fds_in, void *rep_, int *fds_out, int budget_ms,
	    struct qt_err *e)
{
	const struct rt_gpus_req *req = req_;
	struct rt_gpus_rep *rep = rep_;
	static char buf[256];

	(void)c;
	(void)fds_in;
	(void)fds_out;
	(void)budget_ms;
	(void)e;
	assert_int_equal(op, RT_GPUS);
	rep->gpus = (struct rt_strv){buf, 0, 0};
	pages++;
	for (size_t i = 0; i < QT_LEN(list) && rep->gpus.n < 4; i++)
		if (unordered || strcmp(list[i][0], req->after.s) > 0)
			for (int k = 0; k < 2; k++)
				assert_true(rt_strv_add(&rep->gpus, buf, sizeof(buf), list[i][k]));
	return 0;
}

int qt_store_node_gpus(struct qt_store *s, const char *node, const json_t *gpus, struct qt_err *e)
{
	(void)s;
	(void)e;
	assert_string_equal(node, "n");
	told = json_deep_copy(gpus);
	return 0;
}

static void set_up(struct qt_life *l, struct qt_conf *conf)
{
	qt_conf_defaults(conf);
	(void)qt_copy(conf->node, sizeof(conf->node), "n");
	(void)qt_copy(conf->gpu_kinds, sizeof(conf->gpu_kinds), " nvidia.com/gpu, x.y/z");
	memset(l, 0, sizeof(*l));
	l->conf = conf;
}

static void ids_and_names(void **state)
{
	static const struct {
		const char *text, *cdi, *id;
	} rows[] = {
		{"nvidia0", "nvidia.com/gpu=0", "nvidia0"},
		{"nvidia127", "nvidia.com/gpu=127", "nvidia127"},
		{"0", "nvidia.com/gpu=0", "nvidia0"},
		{"nvidia.com/gpu=0", "nvidia.com/gpu=0", "nvidia0"},
		{"GPU-1", "nvidia.com/gpu=GPU-1", "nvidia.com/gpu=GPU-1"},
		{"0:1", "nvidia.com/gpu=0:1", "nvidia.com/gpu=0:1"},
		{"nvidia00", "nvidia.com/gpu=nvidia00", "nvidia.com/gpu=nvidia00"},
		{"nvidia.com/gpu=nvidia0", "nvidia.com/gpu=nvidia0", "nvidia.com/gpu=nvidia0"},
		{"x.y/z=0", "x.y/z=0", "x.y/z=0"},
	};
	static const char *const bad[] = {"",	   "all",	  "nvidia.com/gpu=all", "/dev/nvidia0", "a b",	    "nvidia.com/gpu=", "y.z/gpu=0",
					  "x.y=0", "x.y/z=0/1", "-0",			"0\n",		"../dev", "=0",	       "nvidia.com/gpu=0=1", "\xc3\xa4"};
	char cdi[QT_GPU_ID_MAX + 1], id[QT_GPU_ID_MAX + 1], longest[200];
	struct qt_conf conf;
	struct qt_life l;

	(void)state;
	set_up(&l, &conf);
	for (size_t i = 0; i < QT_LEN(rows); i++) {
		assert_true(qt_gpu_cdi(cdi, &conf, rows[i].text));
		assert_string_equal(cdi, rows[i].cdi);
		qt_gpu_id(id, &conf, cdi);
		assert_string_equal(id, rows[i].id);
		/* What is in a record leads back to the same device. */
		assert_true(qt_gpu_cdi(cdi, &conf, id));
		assert_string_equal(cdi, rows[i].cdi);
	}
	for (size_t i = 0; i < QT_LEN(bad); i++)
		if (qt_gpu_cdi(cdi, &conf, bad[i]))
			fail_msg("\"%s\" is taken", bad[i]);
	memset(longest, 'a', sizeof(longest));
	longest[QT_GPU_ID_MAX] = '\0'; /* with the kind in front it is too long */
	assert_false(qt_gpu_cdi(cdi, &conf, longest));
	conf.gpu_kinds[0] = '\0';
	assert_false(qt_gpu_cdi(cdi, &conf, "nvidia0"));
}

static void what_redis_hears(void **state)
{
	json_t *want = json_pack("[s, s, s, s, s, s, s, s]", "nvidia0", "ten_a/ctr_b", "nvidia1", "", "nvidia.com/gpu=GPU-1", "=nvidia1", "x.y/z=0", "");
	struct qt_err e = {0};
	struct qt_conf conf;
	struct qt_life l;

	(void)state;
	set_up(&l, &conf);
	assert_int_equal(qt_life_tell_gpus(&l, &e), 0);
	assert_int_equal(pages, 3); /* two of them, and the end */
	assert_true(json_equal(told, want));
	json_decref(told);
	json_decref(want);
	told = NULL;
	/* A list that does not move on would never end. */
	unordered = true;
	assert_int_equal(qt_life_tell_gpus(&l, &e), -1);
	assert_null(told);
}

static void what_the_runtime_hears(void **state)
{
	char buf[QT_GPUS_BYTES];
	struct qt_err e = {0};
	struct qt_conf conf;
	struct rt_strv v;
	struct qt_life l;
	struct qt_ctr c;

	(void)state;
	set_up(&l, &conf);
	qt_ctr_init(&c);
	json_array_append_new(c.gpu_ids, json_string("nvidia1"));
	json_array_append_new(c.gpu_ids, json_string("x.y/z=0"));
	assert_int_equal(qt_life_gpus(&l, &c, buf, &v, &e), 0);
	assert_int_equal(v.n, 2);
	assert_memory_equal(v.s, "nvidia.com/gpu=1\0x.y/z=0", v.len);
	/* The operator took a kind away. */
	(void)qt_copy(conf.gpu_kinds, sizeof(conf.gpu_kinds), "nvidia.com/gpu");
	assert_int_equal(qt_life_gpus(&l, &c, buf, &v, &e), -1);
	assert_int_equal(e.code, QT_E_UNAVAILABLE);
	qt_ctr_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_and_names),
		cmocka_unit_test(what_redis_hears),
		cmocka_unit_test(what_the_runtime_hears),
	};

	return cmocka_run_group_tests_name("gpus", tests, NULL, NULL);
}
