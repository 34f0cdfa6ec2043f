#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "runtime.h"
#include "str.h"

const char *rt_state_name(enum rt_state s)
{
	static const char *const names[] = {"none", "created", "running", "exited"};

	return s < QT_LEN(names) ? names[s] : "none";
}

uint32_t rt_ctr_after(const struct rt_ctrs *t, const char *after)
{
	uint32_t lo = 0, hi = t->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (strcmp(t->v[mid]->id.s, after) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct rt_ctr *rt_ctr_find(const struct rt_ctrs *t, const struct qt_id *id)
{
	uint32_t i = rt_ctr_after(t, id->s);

	return i > 0 && qt_streq(t->v[i - 1]->id.s, id->s) ? t->v[i - 1] : NULL;
}

int rt_ctr_insert(struct rt_ctrs *t, struct rt_ctr *c, struct qt_err *e)
{
	uint32_t i = rt_ctr_after(t, c->id.s);

	if (t->n == t->cap) {
		uint32_t cap = t->cap ? t->cap * 2 : 64;
		struct rt_ctr **v = realloc(t->v, cap * sizeof(struct rt_ctr *));

		if (!v)
			return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
		t->v = v;
		t->cap = cap;
	}
	memmove(&t->v[i + 1], &t->v[i], (t->n - i) * sizeof(struct rt_ctr *));
	t->v[i] = c;
	t->n++;
	return 0;
}

void rt_ctr_remove(struct rt_ctrs *t, struct rt_ctr *c)
{
	uint32_t i = rt_ctr_after(t, c->id.s);

	if (i == 0 || t->v[i - 1] != c)
		return;
	memmove(&t->v[i - 1], &t->v[i], (t->n - i) * sizeof(struct rt_ctr *));
	t->n--;
}

struct rt_ctr *rt_ctr_new(struct rt *rt, struct qt_err *e)
{
	struct rt_ctr *c = calloc(1, sizeof(*c));

	if (!c)
		return (void)qt_fail(e, QT_E_UNAVAILABLE, "out of memory"), NULL;
	c->rt = rt;
	c->listen_fd = c->pidfd = c->oom_fd = c->stop_fd = -1;
	return c;
}

void rt_ctr_free(struct rt_ctr *c)
{
	if (!c)
		return;
	rt_loop_del(c->rt->loop, &c->exit_watch);
	rt_loop_del(c->rt->loop, &c->oom_watch);
	rt_timer_clear(c->rt->loop, &c->stop_timer);
	rt_timer_clear(c->rt->loop, &c->clean_timer);
	rt_timer_clear(c->rt->loop, &c->oom_timer);
	rt_spare_end(c->spare);
	qt_close(c->listen_fd);
	qt_close(c->pidfd);
	qt_close(c->oom_fd);
	qt_close(c->stop_fd);
	free(c->record);
	free((char *)(uintptr_t)c->volumes.s);
	free((char *)(uintptr_t)c->gpus.s);
	free(c);
}

int rt_ctr_set_record(struct rt_ctr *c, struct rt_str record, struct qt_err *e)
{
	char *copy = malloc(record.len + 1);

	if (!copy)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	memcpy(copy, record.s, record.len);
	copy[record.len] = '\0';
	free(c->record);
	c->record = copy;
	c->record_len = record.len;
	return 0;
}

int rt_ctr_set_list(struct rt_strv *list, struct rt_strv to, struct qt_err *e)
{
	char *copy = malloc(to.len + 1);

	if (!copy)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	if (to.len > 0)
		memcpy(copy, to.s, to.len);
	copy[to.len] = '\0';
	free((char *)(uintptr_t)list->s);
	*list = (struct rt_strv){copy, to.len, to.n};
	return 0;
}

int rt_ctr_load(struct rt_ctr *c, const struct rt_entry *en, struct qt_err *e)
{
	c->id = en->id;
	c->tenant = en->tenant;
	c->state = (enum rt_state)en->state;
	c->phase = (enum rt_phase)en->phase;
	if (!qt_copy(c->hostname, sizeof(c->hostname), en->hostname.s) ||
	    !qt_copy(c->image, sizeof(c->image), en->image.s) ||
	    !qt_copy(c->workdir, sizeof(c->workdir), en->workdir.s) ||
	    !qt_copy(c->addr.link, sizeof(c->addr.link), en->link.s))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "journal: a text too long");
	c->addr.ip = en->ip;
	c->memory_mb = en->memory_mb;
	c->cpu_centi = en->cpu_centi;
	c->strict = en->strict;
	c->range = en->range;
	c->pid = (pid_t)en->pid;
	c->exit_code = en->exit_code;
	c->start_time = en->start_time;
	c->created_ms = en->created_ms;
	c->started_ms = en->started_ms;
	c->exited_ms = en->exited_ms;
	c->same_boot = qt_streq(en->boot_id.s, c->rt->boot_id);
	if (rt_ctr_set_record(c, en->record, e) < 0 || rt_ctr_set_list(&c->volumes, en->volumes, e) < 0)
		return -1;
	return rt_ctr_set_list(&c->gpus, en->gpus, e);
}

int rt_ctr_save(struct rt_ctr *c, bool sync, struct qt_err *e)
{
	struct rt_entry en = {
		.phase = c->phase,
		.state = c->state,
		.id = c->id,
		.tenant = c->tenant,
		.hostname = rt_str(c->hostname),
		.image = rt_str(c->image),
		.workdir = rt_str(c->workdir),
		.link = rt_str(c->addr.link),
		.boot_id = rt_str(c->rt->boot_id),
		.memory_mb = c->memory_mb,
		.cpu_centi = c->cpu_centi,
		.strict = c->strict,
		.range = c->range,
		.ip = c->addr.ip,
		.pid = (uint32_t)c->pid,
		.exit_code = c->exit_code,
		.start_time = c->start_time,
		.created_ms = c->created_ms,
		.started_ms = c->started_ms,
		.exited_ms = c->exited_ms,
		.record = {c->record ? c->record : "", c->record_len},
		.volumes = c->volumes,
		.gpus = c->gpus,
	};

	return rt_journal_put(&c->rt->journal, &en, sync, e);
}
