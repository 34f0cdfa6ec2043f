/* Summing the usage records of tenants. A container's time is told by samples and, once more, by its stop; so of each the union counts, cut to what was asked
 * for. A volume's time is from its making to its end, or to now. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "clock.h"
#include "ctl.h"
#include "str.h"

struct sum {
	struct qt_id tenant;
	char name[64];
	int64_t from_ms, to_ms;
	uint64_t containers, starts, volumes;
	double container_s, memory_mb_s, cpu_s, volume_mb_s;
	json_t *counted; /* container -> until when its time was counted, ms */
	bool whole, bad;
};

/* "2026-11-29", "2026-11-29T12:00:00Z". */
static int parse_date(const char *option, const char *text, int64_t *ret_ms, struct qt_err *e)
{
	static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"};

	for (size_t i = 0; i < QT_LEN(forms); i++) {
		struct tm tm = {0};
		const char *end = strptime(text, forms[i], &tm);

		if (end && *end == '\0') {
			*ret_ms = (int64_t)timegm(&tm) * 1000;
			return 0;
		}
	}
	return qt_fail(e, QT_E_VALIDATION_ERROR, "%s takes 2026-11-29 or 2026-11-29T12:00:00Z", option);
}

static int period_of(const struct ctl *c, struct sum *s, struct qt_err *e)
{
	time_t now = (time_t)(qt_now_ms() / 1000);
	struct tm month;

	(void)gmtime_r(&now, &month);
	month.tm_mday = 1;
	month.tm_hour = month.tm_min = month.tm_sec = 0;
	s->from_ms = (int64_t)timegm(&month) * 1000;
	s->to_ms = qt_now_ms();
	if ((c->opt[CTL_SINCE] && parse_date("--since", c->opt[CTL_SINCE], &s->from_ms, e) < 0) ||
	    (c->opt[CTL_UNTIL] && parse_date("--until", c->opt[CTL_UNTIL], &s->to_ms, e) < 0))
		return -1;
	return s->from_ms < s->to_ms ? 0 : qt_fail(e, QT_E_VALIDATION_ERROR, "--since must lie before --until, and in the past");
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* Seconds of FROM to UNTIL within the period, and what of ID was not counted yet. */
static double new_seconds(struct sum *s, const char *id, int64_t from, int64_t until)
{
	const json_t *counted = json_object_get(s->counted, id);
	int64_t done = counted ? json_integer_value(counted) : s->from_ms, begin;

	begin = later(from, done);
	if (until > s->to_ms)
		until = s->to_ms;
	if (json_object_set_new(s->counted, id, json_integer(later(done, until))) < 0)
		s->bad = true;
	return until > begin ? (double)(until - begin) / 1000 : 0;
}

static void add_volume(struct sum *s, int64_t from, int64_t until, uint64_t max_bytes)
{
	from = later(from, s->from_ms);
	if (until > s->to_ms)
		until = s->to_ms;
	if (until > from)
		s->volume_mb_s += (double)(until - from) / 1000 * ((double)max_bytes / 1048576);
}

static void add(const struct qt_usage *u, void *arg)
{
	struct sum *s = arg;
	bool within = u->until_ms < s->to_ms;
	double seconds;

	s->containers += within && qt_streq(u->event_type, "container_created");
	s->starts += within && qt_streq(u->event_type, "container_started");
	s->volumes += within && qt_streq(u->event_type, "volume_created");
	if (qt_streq(u->event_type, "volume_deleted"))
		add_volume(s, u->from_ms, u->until_ms, u->max_bytes);
	if (!qt_streq(u->event_type, "container_runtime") && !qt_streq(u->event_type, "container_stopped"))
		return;
	seconds = new_seconds(s, u->subject, u->from_ms, u->until_ms);
	s->container_s += seconds;
	s->memory_mb_s += seconds * (double)u->memory_mb;
	s->cpu_s += seconds * u->cpu_percent / 100;
}

static int sum_up(struct ctl *c, struct sum *s, struct qt_err *e)
{
	struct qt_vol_list live;
	int64_t now = qt_now_ms();

	if (qt_store_usage_each(c->store, &s->tenant, s->from_ms, add, s, &s->whole, e) < 0 ||
	    qt_store_vol_list(c->store, &s->tenant, 0, "", &live, e) < 0)
		return -1;
	for (size_t i = 0; i < live.n; i++)
		add_volume(s, live.v[i].created_ms, now, live.v[i].max_bytes);
	qt_vol_list_done(&live);
	return s->bad ? qt_fail(e, QT_E_UNAVAILABLE, "out of memory") : 0;
}

static void print_text(const struct sum *s)
{
	printf("%-30s  %10" PRIu64 "  %8" PRIu64 "  %14.0f  %16.0f  %12.0f  %8" PRIu64 "  %16.0f  %s\n", s->tenant.s, s->containers, s->starts,
	       s->container_s, s->memory_mb_s, s->cpu_s, s->volumes, s->volume_mb_s, s->name);
}

static json_t *as_json(const struct sum *s)
{
	char since[32], until[32];

	qt_iso8601(since, sizeof(since), s->from_ms);
	qt_iso8601(until, sizeof(until), s->to_ms);
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:f, s:f, s:f, s:I, s:f, s:b}", "tenant_id", s->tenant.s, "name", s->name, "since", since,
			 "until", until, "containers_created", (json_int_t)s->containers, "container_starts", (json_int_t)s->starts,
			 "container_seconds", s->container_s, "memory_mb_seconds", s->memory_mb_s, "cpu_seconds", s->cpu_s,
			 "volumes_created", (json_int_t)s->volumes, "volume_mb_seconds", s->volume_mb_s, "complete", s->whole);
}

struct tenants {
	const struct qt_id *only; /* NULL: all */
	struct qt_tenant *v;
	size_t n;
	bool bad;
};

static void take(const struct qt_tenant *t, void *arg)
{
	struct tenants *x = arg;
	struct qt_tenant *v;

	if (x->only && !qt_streq(x->only->s, t->id.s))
		return;
	v = reallocarray(x->v, x->n + 1, sizeof(*v));
	x->bad = x->bad || !v;
	if (!v)
		return;
	x->v = v;
	x->v[x->n++] = *t;
}

static int each_tenant(struct ctl *c, const struct tenants *x, json_t *list, struct qt_err *e)
{
	bool whole = true;

	for (size_t i = 0; i < x->n; i++) {
		struct sum s = {.tenant = x->v[i].id, .counted = json_object()};
		int r;

		(void)qt_copy(s.name, sizeof(s.name), x->v[i].name);
		r = period_of(c, &s, e) < 0 ? -1 : sum_up(c, &s, e);
		json_decref(s.counted);
		if (r < 0)
			return -1;
		whole = whole && s.whole;
		if (list)
			json_array_append_new(list, as_json(&s));
		else
			print_text(&s);
	}
	if (!whole)
		fputs("quiltctl: older records of this period are gone: the sums are too small\n", stderr);
	return 0;
}

int ctl_usage(struct ctl *c, struct qt_err *e)
{
	struct sum period;
	struct qt_id only;
	struct tenants x = {0};
	json_t *list = c->opt[CTL_JSON] ? json_array() : NULL;
	int given = ctl_tenant_of(c, &only, e), r = given;

	x.only = given > 0 ? &only : NULL;
	if (r >= 0)
		r = period_of(c, &period, e);
	if (r == 0)
		r = qt_store_tenant_each(c->store, take, &x, e);
	if (r == 0 && (x.bad || (x.only && x.n == 0)))
		r = x.bad ? qt_fail(e, QT_E_UNAVAILABLE, "out of memory") : qt_fail(e, QT_E_NOT_FOUND, "there is no such tenant");
	if (r == 0 && !list)
		printf("%-30s  %10s  %8s  %14s  %16s  %12s  %8s  %16s  %s\n", "TENANT_ID", "CONTAINERS", "STARTS", "CONTAINER_S", "MEMORY_MB_S", "CPU_S",
		       "VOLUMES", "VOLUME_MB_S", "NAME");
	if (r == 0)
		r = each_tenant(c, &x, list, e);
	if (r == 0 && list) {
		auto_free char *text = json_dumps(list, JSON_INDENT(1) | JSON_REAL_PRECISION(15));

		r = text ? 0 : qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
		if (text)
			puts(text);
	}
	json_decref(list);
	free(x.v);
	return r;
}
