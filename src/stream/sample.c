/* How things are with a tenant: told to whoever listens to its events, with the heartbeat, so that nobody has to ask again and again. One look a tenant
 * and round, however many listen; none for a tenant to which nobody does. Samples are not in the stream: who missed one gets the next. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "hub.h"
#include "log.h"
#include "str.h"

#define TOLD_AT_ONCE 32 /* containers of which one sample tells singly */

struct sample {
	struct sq_job job;
	struct sq *sq;
	unsigned next; /* container that is told of first */
	struct sq_news *news[SQ_SAMPLES];
	struct qt_err e;
};

/* The sums over all that run. Names as GET …/metrics has them, and as clients of the contract's first generation know them (3.7). */
static const char *const sums[] = {"cpu_usage_usec", "memory_current_bytes", "network_rx_bytes", "network_tx_bytes", "disk_read_bytes", "disk_write_bytes", "pids"};

static json_int_t number(const json_t *j, const char *name)
{
	return json_integer_value(json_object_get(j, name));
}

static struct sq_news *news_of(enum qt_event_kind kind, json_t *data, struct qt_err *e)
{
	auto_free char *text = data ? json_dumps(data, JSON_COMPACT) : NULL;
	struct qt_heard h = {.data = text, .len = text ? strlen(text) : 0};
	struct sq_news *n = NULL;

	if (text && qt_copy(h.kind, sizeof(h.kind), qt_event_name(kind)))
		n = sq_news_new(&h);
	json_decref(data);
	if (!n)
		(void)qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	return n;
}

/* --- stats_update ---------------------------------------------------------------------------------------- */

static void add_quota(const char *name, uint64_t limit, uint64_t used, const char *doc, void *quotas)
{
	(void)doc;
	json_object_set_new(quotas, name, json_pack("{s:I, s:I}", "limit", (json_int_t)limit, "used", (json_int_t)used));
}

static struct sq_news *stats(struct qt_life *l, const struct sample *s, const struct qt_ctr_list *all, unsigned running, struct qt_err *e)
{
	json_t *quotas = json_object();

	if (qt_store_tenant_quotas(l->store, &s->job.tenant, add_quota, quotas, e) < 0) {
		json_decref(quotas);
		return NULL;
	}
	return news_of(QT_EV_STATS,
		       json_pack("{s:i, s:i, s:i, s:o}", "containers_total", (int)all->n, "containers_running", (int)running, "containers_stopped",
				 (int)(all->n - running), "quotas", quotas),
		       e);
}

/* --- system_metrics_update ------------------------------------------------------------------------------- */

/* One that ended meanwhile is left out. */
static int add_metrics(struct qt_life *l, const struct qt_ctr *c, bool tell, json_t *told, json_t *sum, struct qt_err *e)
{
	json_t *m = qt_life_metrics(l, c, e);

	if (!m) {
		if (e->code == QT_E_RUNTIME_UNAVAILABLE || e->code == QT_E_TIMEOUT)
			return -1;
		qt_err_reset(e);
		return 0;
	}
	for (size_t i = 0; i < QT_LEN(sums); i++)
		json_object_set_new(sum, sums[i], json_integer(number(sum, sums[i]) + number(m, sums[i])));
	json_object_set_new(sum, "memory_limit_bytes", json_integer(number(sum, "memory_limit_bytes") + number(m, "memory_limit_bytes")));
	if (tell)
		json_array_append(told, m);
	json_decref(m);
	return 0;
}

static struct sq_news *metrics(struct qt_life *l, struct sample *s, const struct qt_ctr_list *all, unsigned running, struct qt_err *e)
{
	json_t *told = json_array(), *sum = json_object();
	unsigned first = s->next < running ? s->next : 0, at = 0;
	int rc = 0;

	json_object_set_new(sum, "timestamp", json_integer(qt_now_ms()));
	for (size_t i = 0; i < all->n && rc == 0; i++) {
		if (all->v[i].state != QT_ST_RUNNING)
			continue;
		rc = add_metrics(l, &all->v[i], at >= first && at < first + TOLD_AT_ONCE, told, sum, e);
		at++;
	}
	s->next = first + TOLD_AT_ONCE < running ? first + TOLD_AT_ONCE : 0;
	if (rc < 0) {
		json_decref(told);
		json_decref(sum);
		return NULL;
	}
	json_object_update_new(sum, json_pack("{s:I, s:I, s:i, s:i, s:i, s:i}", "memory_used_mb", number(sum, "memory_current_bytes") >> 20,
					      "memory_total_mb", number(sum, "memory_limit_bytes") >> 20, "cpu_count",
					      (int)sysconf(_SC_NPROCESSORS_ONLN), "containers_total", (int)all->n, "containers_running",
					      (int)running, "containers_stopped", (int)(all->n - running)));
	return news_of(QT_EV_METRICS, json_pack("{s:o, s:o}", "system_metrics", sum, "container_metrics", told), e);
}

/* --- the job --------------------------------------------------------------------------------------------- */

static void work(struct sq_job *j, struct qt_life *l)
{
	struct sample *s = lws_container_of(j, struct sample, job);
	struct qt_ctr_list all;
	unsigned running = 0;

	if (qt_store_ctr_list(l->store, &j->tenant, -1, 0, "", &all, &s->e) < 0)
		return;
	for (size_t i = 0; i < all.n; i++)
		running += all.v[i].state == QT_ST_RUNNING;
	s->news[SQ_SAMPLE_STATS] = stats(l, s, &all, running, &s->e);
	if (s->news[SQ_SAMPLE_STATS] && running > 0)
		s->news[SQ_SAMPLE_METRICS] = metrics(l, s, &all, running, &s->e);
	qt_ctr_list_done(&all);
}

static bool same(const struct sq_news *a, const struct sq_news *b)
{
	return a && b && a->frame->len == b->frame->len && memcmp(a->frame->data, b->frame->data, a->frame->len) == 0;
}

/* What is as it was is not told again; NULL: there is nothing to tell. */
static void take(struct sq_samples *to, unsigned kind, struct sq_news **news)
{
	if (same(*news, to->news[kind]))
		return;
	sq_news_unref(to->news[kind]);
	to->news[kind] = qt_take(news);
	to->number[kind]++;
}

static void done(struct sq_job *j)
{
	struct sample *s = lws_container_of(j, struct sample, job);
	struct sq_samples *to = sq_hub_samples(s->sq, &j->tenant);

	/* Redis or the runtime may be away: the next round tries again. */
	if (s->e.code != QT_OK)
		qt_log_err(QT_LOG_DEBUG, &s->e, "no sample of %s", j->tenant.s);
	if (to) {
		to->busy = false;
		to->next = s->next;
		for (unsigned i = 0; i < SQ_SAMPLES && s->e.code == QT_OK; i++)
			take(to, i, &s->news[i]);
	}
	for (unsigned i = 0; i < SQ_SAMPLES; i++)
		sq_news_unref(s->news[i]);
	free(s);
}

void sq_sample(struct sq *sq, const struct qt_id *tenant, struct sq_samples *samples)
{
	struct sample *s = samples->busy ? NULL : calloc(1, sizeof(*s));

	if (!s)
		return;
	samples->busy = true;
	*s = (struct sample){.job = {.work = work, .done = done, .tenant = *tenant}, .sq = sq, .next = samples->next};
	sq_job_submit(sq, &s->job);
}

void sq_samples_done(struct sq_samples *s)
{
	for (unsigned i = 0; i < SQ_SAMPLES; i++)
		sq_news_unref(s->news[i]);
}
