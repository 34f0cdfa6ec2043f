#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "check.h"
#include "clock.h"
#include "redis.h"
#include "scene.h"
#include "str.h"

struct qt_store *worker, *agent;

int up(void **state)
{
	if (redis_up(state))
		return -1;
	worker = store_as("quilt-worker");
	agent = store_as("quilt-agent");
	return 0;
}

int down(void **state)
{
	qt_store_free(worker);
	qt_store_free(agent);
	return redis_down(state);
}

struct qt_tenant new_tenant(const char *name, const char *plan)
{
	struct qt_store *s = store_as("quilt-admin");
	struct qt_tenant t;

	must(qt_store_tenant_create(s, name, plan, &t, e));
	qt_store_free(s);
	return t;
}

void new_ctr(struct qt_ctr *c, const struct qt_tenant *t, const char *name)
{
	qt_ctr_init(c);
	c->id = qt_id_new("ctr");
	c->tenant = t->id;
	(void)qt_copy(c->name, sizeof(c->name), name);
	(void)qt_copy(c->node, sizeof(c->node), "node-1");
	c->created_ms = qt_now_ms();
	c->memory_mb = 512;
	c->cpu_centi = 5000;
}

void last_of(char *out, size_t size, const char *stream, const struct qt_tenant *t, const char *name)
{
	redisReply *r = admin("XREVRANGE quilt:{%s}:%s + - COUNT 1", t->id.s, stream), *f;

	assert_int_equal(r->elements, 1);
	f = r->element[0]->element[1];
	out[0] = '\0';
	for (size_t i = 0; i + 1 < f->elements; i += 2)
		if (qt_streq(f->element[i]->str, name))
			(void)qt_copy(out, size, f->element[i + 1]->str);
	freeReplyObject(r);
}

void expect_last_event(const struct qt_tenant *t, const char *kind, json_t *want)
{
	char is[64], data[512];
	json_t *have;

	last_of(is, sizeof(is), "events", t, "kind");
	last_of(data, sizeof(data), "events", t, "data");
	have = json_loads(data, 0, NULL);
	assert_string_equal(is, kind);
	if (!json_equal(have, want))
		fail_msg("event: %s", data);
	json_decref(have);
	json_decref(want);
}
