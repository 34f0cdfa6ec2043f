/* What is told of a tenant as a whole: its activity, what is cleaned up after it, how its containers are watched (contract 10). */
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "handlers.h"
#include "query.h"
#include "str.h"

#define TASKS_SEEN 1000 /* as far back as cleanup looks */

static json_t *when(int64_t ms)
{
	char text[32];

	qt_iso8601(text, sizeof(text), ms);
	return ms > 0 ? json_string(text) : json_null();
}

static const char *word(const struct qt_event *ev, const char *name)
{
	const char *s = json_string_value(json_object_get(ev->data, name));

	return s ? s : "";
}

/* --- activity ------------------------------------------------------------------------------------------ */

/* Its id is the event's. */
static void add_activity(const struct qt_event *ev, void *arg)
{
	json_t *item = json_deep_copy(ev->data);

	json_object_set_new(item, "id", json_string(ev->id));
	json_array_append_new(arg, item);
}

int qt_h_activity(struct qt_call *c, struct qt_err *e)
{
	json_t *items = json_array();

	if (qt_store_events(c->life->store, &c->tenant, (unsigned)qt_query_u64(c, "limit", 50), QT_EV_ACTIVITY, add_activity, items, e) < 0) {
		json_decref(items);
		return -1;
	}
	c->reply = json_pack("{s:o}", "activity", items);
	return 0;
}

/* --- cleanup ------------------------------------------------------------------------------------------- */

/* A task is the taking away of one container: pending from the request for its delete, completed with its last event. */
struct tasks {
	json_t *list;
	const char *only; /* a container's id, or NULL */
	unsigned pending, completed;
	int64_t last_ms;
};

static void add_pending(struct tasks *t, const struct qt_ctr *k)
{
	char what[80];

	t->pending++;
	if (t->only && !qt_streq(t->only, k->id.s))
		return;
	(void)qt_fmt(what, sizeof(what), "containers/%.60s", k->id.s);
	json_array_append_new(t->list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:n, s:n}", "task_id", k->id.s, "container_id", k->id.s,
						 "resource_type", "container", "resource_path", what, "status", "pending", "created_at",
						 when(k->deleting_ms), "completed_at", "error_message"));
}

/* Those that were completed; the rest of the events of pending ones is not needed. */
static void add_completed(const struct qt_event *ev, void *arg)
{
	struct tasks *t = arg;

	if (!qt_streq(word(ev, "status"), "completed"))
		return;
	t->completed++;
	if (t->last_ms == 0)
		t->last_ms = ev->at_ms;
	if (!t->only || qt_streq(t->only, word(ev, "container_id")))
		json_array_append_new(t->list, json_deep_copy(ev->data));
}

static int get_tasks(struct qt_call *c, struct tasks *t, struct qt_err *e)
{
	struct qt_ctr_list list;

	t->list = json_array();
	if (qt_store_ctr_list(c->life->store, &c->tenant, -1, 0, "", &list, e) < 0)
		return -1;
	for (size_t i = 0; i < list.n; i++) {
		const struct qt_ctr *k = &list.v[i];

		if (k->deleting_ms > 0)
			add_pending(t, k);
	}
	qt_ctr_list_done(&list);
	return qt_store_events(c->life->store, &c->tenant, TASKS_SEEN, QT_EV_CLEANUP, add_completed, t, e);
}

int qt_h_cleanup_status(struct qt_call *c, struct qt_err *e)
{
	struct tasks t = {0};
	int rc = get_tasks(c, &t, e);

	json_decref(t.list);
	if (rc == 0)
		c->reply = json_pack("{s:i, s:i, s:i, s:o}", "pending_tasks", (int)t.pending, "completed_tasks", (int)t.completed,
				     "failed_tasks", 0, "last_cleanup", when(t.last_ms));
	return rc;
}

static int tasks_of(struct qt_call *c, const char *only, struct qt_err *e)
{
	struct tasks t = {.only = only};

	if (get_tasks(c, &t, e) < 0) {
		json_decref(t.list);
		return -1;
	}
	c->reply = json_pack("{s:o}", "tasks", t.list);
	return 0;
}

int qt_h_cleanup_tasks(struct qt_call *c, struct qt_err *e)
{
	return tasks_of(c, NULL, e);
}

int qt_h_ctr_cleanup_tasks(struct qt_call *c, struct qt_err *e)
{
	struct qt_ctr k;
	int rc;

	if (qt_h_container(c, &k, e) < 0)
		return -1;
	rc = tasks_of(c, k.id.s, e);
	qt_ctr_done(&k);
	return rc;
}

int qt_h_ctr_cleanup_force(struct qt_call *c, struct qt_err *e)
{
	const struct qt_cleanup_req *q = c->req;
	struct qt_ctr k;
	int rc;

	if (!q->confirm)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/confirm", "true", "this takes the container away: confirm must be true");
	if (qt_h_container(c, &k, e) < 0)
		return -1;
	if (k.state == QT_ST_RUNNING || k.state == QT_ST_STARTING) {
		rc = qt_fail(e, QT_E_INVALID_STATE, "cleanup is not possible: the container is %s", qt_state_name(k.state));
		(void)qt_copy(e->state, sizeof(e->state), qt_state_name(k.state));
	} else {
		rc = qt_life_delete(c->life, &k, e);
	}
	if (rc == 0)
		c->reply = json_pack("{s:b, s:s, s:[s, s, s, s]}", "success", 1, "container_id", k.id.s, "cleaned_resources", "network",
				     "file_system", "logs", "record");
	qt_ctr_done(&k);
	return rc;
}

/* --- monitors ------------------------------------------------------------------------------------------ */

static const char *monitor_status(const struct qt_ctr *k)
{
	if (k->state == QT_ST_EXITED)
		return !k->has_exit_code || k->exit_code == 0 ? "completed" : k->exit_code > 128 ? "aborted" : "failed";
	return k->state == QT_ST_ERROR ? "failed" : "monitoring";
}

/* Containers are watched by the runtime all the time; that the node's agent is there, and compared, is as old as its heartbeat. */
static int64_t last_check(struct qt_call *c, const struct qt_ctr *k)
{
	struct qt_err ignored = {0};
	int64_t age;

	return qt_store_node_age(c->life->store, k->node, &age, &ignored) < 0 ? 0 : qt_now_ms() - age;
}

static json_t *monitor_view(const struct qt_ctr *k, int64_t checked_ms)
{
	return json_pack("{s:s, s:s, s:o, s:s, s:o, s:o, s:o}", "container_id", k->id.s, "container_name", k->name, "pid",
			 k->pid ? json_integer(k->pid) : json_null(), "status", monitor_status(k), "started_at", when(k->started_ms),
			 "last_check", when(checked_ms), "error_message", k->error[0] ? json_string(k->error) : json_null());
}

static int monitors(struct qt_call *c, int state, const char *member, struct qt_err *e)
{
	struct qt_ctr_list list;
	int64_t checked_ms;
	json_t *items;

	if (qt_store_ctr_list(c->life->store, &c->tenant, state, 0, "", &list, e) < 0)
		return -1;
	items = json_array();
	checked_ms = list.n > 0 ? last_check(c, &list.v[0]) : 0;
	for (size_t i = 0; i < list.n; i++)
		json_array_append_new(items, monitor_view(&list.v[i], checked_ms));
	qt_ctr_list_done(&list);
	c->reply = json_pack("{s:o}", member, items);
	return 0;
}

int qt_h_monitors(struct qt_call *c, struct qt_err *e)
{
	return monitors(c, -1, "monitors", e);
}

int qt_h_monitor_processes(struct qt_call *c, struct qt_err *e)
{
	return monitors(c, QT_ST_RUNNING, "processes", e);
}

int qt_h_monitor_get(struct qt_call *c, struct qt_err *e)
{
	struct qt_ctr k;

	if (qt_h_container(c, &k, e) < 0)
		return -1;
	c->reply = monitor_view(&k, last_check(c, &k));
	qt_ctr_done(&k);
	return 0;
}

int qt_h_monitor_profile(struct qt_call *c, struct qt_err *e)
{
	struct qt_ctr_list list;

	if (qt_store_ctr_list(c->life->store, &c->tenant, QT_ST_RUNNING, 0, "", &list, e) < 0)
		return -1;
	c->reply = json_pack("{s:{s:b, s:I}, s:i}", "profile", "exit_events", 1, "compare_every_seconds",
			     (json_int_t)c->life->conf->reconcile_s, "active_monitors", (int)list.n);
	qt_ctr_list_done(&list);
	return 0;
}
