/* container.batch_create: several containers, all reserved, brought up by a few threads with connections of their own. The record's items say how far it
 * is, so that whoever goes on after a death neither makes one twice nor forgets why one failed. */
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "clock.h"
#include "inner.h"
#include "str.h"

#define THREADS 4

struct batch {
	struct qt_life *l; /* the executor's, and with it the record: under the lock */
	struct qt_op *o;
	pthread_mutex_t lock;
	size_t next, done, failed;
	bool stop;	     /* it must not go on: WHY */
	struct qt_err why;   /* that, or of the first that failed */
};

static bool is(const json_t *item, const char *status)
{
	return qt_streq(json_string_value(json_object_get(item, "status")), status);
}

static void set(json_t *item, const char *status, const struct qt_err *why)
{
	bool there = qt_streq(status, qt_op_status_name(QT_OP_SUCCEEDED));

	json_object_set_new(item, "status", json_string(status));
	if (!there)
		json_object_set_new(item, "container_id", json_null());
	json_object_set_new(item, "error", why ? json_string(qt_err_row(why->code)->show ? why->msg : "an internal error") : json_null());
}

/* Its number, and the container that it is to be; false when there is no more. */
static bool next_item(struct batch *b, size_t *i, struct qt_id *id)
{
	bool found = false;

	(void)pthread_mutex_lock(&b->lock);
	while (!found && !b->stop && b->next < json_array_size(b->o->items)) {
		json_t *item = json_array_get(b->o->items, b->next);
		const char *text = json_string_value(json_object_get(item, "container_id"));

		*i = b->next++;
		found = is(item, "accepted") && text && qt_id_parse(id, "ctr", text);
		if (!found)
			b->done++;
		b->failed += is(item, "failed");
	}
	(void)pthread_mutex_unlock(&b->lock);
	return found;
}

static int bring_up(struct qt_life *l, const struct qt_op *o, struct qt_ctr *c, struct qt_err *e)
{
	const struct timespec gap = {.tv_nsec = QT_RETRY_GAP_MS * 1000000L};
	int64_t give_up = qt_mono_ms() + QT_RETRY_MS;
	struct qt_ready ready;

	while (qt_life_bring_up(l, c, &ready, e) < 0) {
		if (e->code != QT_E_RUNTIME_UNAVAILABLE || qt_left_ms(give_up) == 0 || qt_op_cancelled(l, o))
			return -1;
		qt_err_reset(e);
		(void)nanosleep(&gap, NULL);
	}
	return 0;
}

/* One of them, or why not. *STOP: none of the others either. */
static int make(struct qt_life *l, const struct qt_op *o, const struct qt_id *id, bool *stop, struct qt_err *e)
{
	struct qt_ctr c;
	int r = 0;

	*stop = true;
	if (qt_store_ctr_get(l->store, &o->tenant, id->s, &c, e) < 0) {
		*stop = e->code != QT_E_CONTAINER_NOT_FOUND;
		return -1;
	}
	/* By an earlier try, else. */
	if (c.state == QT_ST_CREATED) {
		r = qt_op_go_on(l, o, e);
		if (r == 0) {
			r = bring_up(l, o, &c, e);
			*stop = r < 0 && (e->code == QT_E_STORE_UNAVAILABLE || l->op_cancelled || l->op_lost);
			if (r < 0 && !*stop)
				qt_life_undo_create(l, &c);
		}
	}
	qt_ctr_done(&c);
	return r;
}

static void note(struct batch *b, size_t i, int r, bool stop, const struct qt_life *l, const struct qt_err *e)
{
	json_t *item;
	char text[64];

	(void)pthread_mutex_lock(&b->lock);
	if (r < 0 && b->why.code == QT_OK)
		b->why = *e;
	if (r < 0 && stop) {
		if (!b->stop)
			b->why = *e;
		b->stop = true;
		b->l->op_cancelled |= l->op_cancelled;
		b->l->op_lost |= l->op_lost;
	} else {
		item = json_array_get(b->o->items, i);
		set(item, qt_op_status_name(r == 0 ? QT_OP_SUCCEEDED : QT_OP_FAILED), r == 0 ? NULL : e);
		b->done++;
		b->failed += r < 0;
		(void)qt_fmt(text, sizeof(text), "%zu of %zu containers", b->done, json_array_size(b->o->items));
		qt_op_progress(b->l, b->o, (unsigned)(b->done * 100 / json_array_size(b->o->items)), text);
	}
	(void)pthread_mutex_unlock(&b->lock);
}

static void *work(void *arg)
{
	struct batch *b = arg;
	struct qt_err e = {0};
	struct qt_life l;
	struct qt_id id;
	size_t i;

	if (qt_life_init(&l, b->l->conf, &e) < 0)
		return NULL; /* the others do it all */
	l.entry = b->l->entry;
	while (next_item(b, &i, &id)) {
		bool stop;
		int r;

		qt_err_reset(&e);
		r = make(&l, b->o, &id, &stop, &e);
		note(b, i, r, stop, &l, &e);
	}
	qt_life_done(&l);
	return NULL;
}

/* The item's container goes, however far it came. */
static void remove_item(struct qt_life *l, const struct qt_op *o, const json_t *item)
{
	const char *id = json_string_value(json_object_get(item, "container_id"));
	struct qt_err ignored = {0};
	struct qt_ctr c;

	if (!id || qt_store_ctr_get(l->store, &o->tenant, id, &c, &ignored) < 0)
		return;
	if (c.state == QT_ST_CREATED)
		qt_life_undo_create(l, &c);
	else
		(void)qt_life_delete(l, &c, &ignored);
	qt_ctr_done(&c);
}

/* Cancelled: nothing is left. Too late: what runs, runs, and the rest is not made any more. */
static void give_up(struct qt_life *l, struct qt_op *o)
{
	const char *status = qt_op_status_name(l->op_cancelled ? QT_OP_CANCELLED : QT_OP_TIMED_OUT);
	json_t *item;
	size_t i;

	json_array_foreach(o->items, i, item) {
		if (is(item, "failed") || (is(item, "succeeded") && !l->op_cancelled))
			continue;
		remove_item(l, o, item);
		set(item, status, NULL);
	}
}

static void tell(struct qt_op *o)
{
	json_t *results = json_array(), *item;
	size_t i;

	json_array_foreach(o->items, i, item)
		json_array_append_new(results, json_pack("{s:O, s:O, s:O}", "container_id", json_object_get(item, "container_id"), "name",
							 json_object_get(item, "name"), "status", json_object_get(item, "status")));
	json_object_set_new(o->result, "results", results);
}

int qt_op_ctr_batch(struct qt_life *l, struct qt_op *o, struct qt_err *e)
{
	struct batch b = {.l = l, .o = o, .lock = PTHREAD_MUTEX_INITIALIZER};
	size_t n = json_array_size(o->items);
	pthread_t threads[THREADS];
	size_t started = 0;

	while (started < THREADS && started < n && pthread_create(&threads[started], NULL, work, &b) == 0)
		started++;
	for (size_t i = 0; i < started; i++)
		(void)pthread_join(threads[i], NULL);
	if (b.stop) {
		*e = b.why;
		if (l->op_cancelled || e->code == QT_E_TIMEOUT)
			give_up(l, o);
		tell(o);
		return -1;
	}
	if (b.done < n)
		return qt_fail(e, QT_E_STORE_UNAVAILABLE, "no thread could begin"); /* put off */
	tell(o);
	if (b.failed == 0)
		return 0;
	/* Not a code that has it executed again: each item was tried for long enough. */
	return qt_fail(e, qt_answer_lost(&b.why) || b.why.code == QT_OK ? QT_E_UNAVAILABLE : b.why.code,
		       "%zu of %zu containers could not be created: %.128s", b.failed, n, b.why.code ? b.why.msg : "see the items");
}
