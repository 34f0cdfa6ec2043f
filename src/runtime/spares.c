#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "begin.h"
#include "cleanup.h"
#include "clock.h"
#include "failpoint.h"
#include "files.h"
#include "log.h"
#include "runtime.h"
#include "spares.h"
#include "str.h"
#include "undo.h"

/* Behind a create comes the look at whether it is ready, and often an exec, or the next create: they go first, but not for ever. */
#define REST_MS	     10
#define REST_MAX_MS  100
#define AGAIN_MS     1000 /* after a failure, twice as long after each more */
#define AGAIN_MAX_MS 60000
#define UNDO_MS	     1000

static void tick(void *arg);

static void later(struct rt *rt, int64_t ms)
{
	struct rt_spares *s = &rt->spares;
	struct qt_err e = {0};

	if (s->timer.place == 0)
		s->since = qt_mono_ms();
	rt_timer_clear(rt->loop, &s->timer);
	if (rt_timer_set(rt->loop, &s->timer, ms, tick, rt, &e) < 0)
		qt_log_err(QT_LOG_WARN, &e, "spare containers are not made for now");
}

/* --- making one ------------------------------------------------------------------------------------------ */

static int make_files(struct rt_ctr *s, struct qt_err *e)
{
	int log[2], status;

	s->made |= RT_MADE_FILES;
	if (rt_files_make(s->rt, &s->id, e) < 0 || rt_files_open(s->rt, &s->id, log, &status, e) < 0)
		return -1;
	qt_close(log[0]);
	qt_close(log[1]);
	qt_close(status);
	s->made |= RT_MADE_SOCKET;
	s->listen_fd = rt_files_listen(s->rt, &s->id, e);
	return s->listen_fd < 0 ? -1 : 0;
}

static int make_process(struct rt_ctr *s, struct qt_err *e)
{
	struct rt *rt = s->rt;

	if (rt_ranges_take(&rt->ranges, &s->range, e) < 0)
		return -1;
	s->made |= RT_MADE_RANGE;
	return rt_begin_group(s, NULL, e) < 0 ? -1 : rt_begin_process(s, e);
}

static int make(struct rt_ctr *s, struct qt_err *e)
{
	struct rt *rt = s->rt;

	if (rt_store_room(&rt->store, e) < 0)
		return -1;
	s->made |= RT_MADE_TREE;
	if (rt_store_make(&rt->store, &s->id, e) < 0 || make_files(s, e) < 0)
		return -1;
	if (rt_cgroups_version(rt->cgroups) == 1 && make_process(s, e) < 0)
		return -1;
	return rt_failpoint(RT_FP_spare_made, e);
}

static int make_one(struct rt *rt, unsigned slot, const struct qt_id *id, struct qt_err *e)
{
	struct rt_ctr *s = rt_ctr_new(rt, e);

	if (!s)
		return -1;
	s->id = *id;
	s->memory_mb = rt->spares.memory_mb;
	s->cpu_centi = rt->spares.cpu_centi;
	if (make(s, e) < 0) {
		rt_abandon(s);
		return -1;
	}
	rt->spares.v[slot] = s;
	rt->spares.n++;
	return 0;
}

/* A name that is free: one that was given up may be on its way out still. */
static bool find_slot(const struct rt *rt, unsigned *slot, struct qt_id *id)
{
	for (*slot = 0; *slot < rt->conf.spares; ++*slot) {
		(void)snprintf(id->s, sizeof(id->s), "spare_%u", *slot);
		if (!rt->spares.v[*slot] && !rt_ctr_find(&rt->leaving, id))
			return true;
	}
	return false;
}

static bool is_full(const struct rt *rt)
{
	/* A node that has its containers needs no spares; and neither do they take the last ranges from others. */
	return rt->spares.n >= rt->conf.spares || rt->ctrs.n + rt->spares.n >= rt->conf.max_containers ||
	       rt_ranges_left(&rt->ranges) <= RT_SPARES_MAX;
}

/* One at a time: whoever asks for something meanwhile waits for no more than one. */
static void tick(void *arg)
{
	struct rt *rt = arg;
	struct rt_spares *s = &rt->spares;
	struct qt_err e = {0};
	int64_t again = AGAIN_MS;
	struct qt_id id;
	unsigned slot;

	if (is_full(rt))
		return;
	if (!find_slot(rt, &slot, &id)) {
		later(rt, REST_MAX_MS);
		return;
	}
	if (make_one(rt, slot, &id, &e) == 0) {
		s->failed = 0;
		later(rt, REST_MS);
		return;
	}
	if (s->failed == 0)
		qt_log_err(QT_LOG_WARN, &e, "a spare container could not be made; creates do all themselves");
	for (unsigned i = 0; i < s->failed && again < AGAIN_MAX_MS; i++)
		again *= 2;
	s->failed++;
	later(rt, again < AGAIN_MAX_MS ? again : AGAIN_MAX_MS);
}

void rt_spares_open(struct rt *rt)
{
	/* What a create has that says nothing (docs/openapi.json). */
	rt->spares.memory_mb = 512;
	rt->spares.cpu_centi = 5000;
	later(rt, REST_MS);
}

/* At once: at the end nobody empties the trash. Nothing was ever in it. */
static void remove_tree(struct rt_ctr *s)
{
	const struct rt_store *store = &s->rt->store;
	auto_close int fd = openat(store->ctr_fd, s->id.s, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0 && unlinkat(fd, "upper", AT_REMOVEDIR) == 0 && unlinkat(fd, "work", AT_REMOVEDIR) == 0 &&
	    unlinkat(store->ctr_fd, s->id.s, AT_REMOVEDIR) == 0)
		s->made &= ~RT_MADE_TREE;
}

void rt_spares_close(struct rt *rt)
{
	struct rt_spares *all = &rt->spares;

	if (rt->loop)
		rt_timer_clear(rt->loop, &all->timer);
	for (unsigned i = 0; i < RT_SPARES_MAX; i++) {
		struct rt_ctr *s = qt_take(&all->v[i]);

		if (!s)
			continue;
		remove_tree(s);
		if (!rt_undo_now(s, RT_MADE_ALL, UNDO_MS))
			qt_log(QT_LOG_WARN, "%s: something of it is left for the next start to remove", s->id.s);
		rt_ctr_free(s);
	}
	all->n = 0;
}

/* --- using one ------------------------------------------------------------------------------------------- */

struct rt_ctr *rt_spares_take(struct rt *rt)
{
	struct rt_spares *all = &rt->spares;
	struct rt_ctr *got = NULL;

	for (unsigned i = 0; i < RT_SPARES_MAX && all->n > 0 && !got; i++) {
		got = qt_take(&all->v[i]);
		if (!got)
			continue;
		all->n--;
		/* Killed, by whatever looks for memory or by hand. */
		if (got->spare && !rt_spare_lives(got->spare))
			rt_abandon(qt_take(&got));
	}
	if (all->timer.place == 0 || (all->failed == 0 && qt_mono_ms() - all->since < REST_MAX_MS))
		later(rt, REST_MS);
	return got;
}

static bool give_tree(struct rt_ctr *s, struct rt_ctr *c)
{
	struct rt_store *store = &s->rt->store;

	return renameat(store->ctr_fd, s->id.s, store->ctr_fd, c->id.s) == 0;
}

static bool give_files(struct rt_ctr *s, struct rt_ctr *c)
{
	return renameat(s->rt->ctr_state_fd, s->id.s, s->rt->ctr_state_fd, c->id.s) == 0;
}

static bool give_socket(struct rt_ctr *s, struct rt_ctr *c)
{
	if (!rt_files_rename_socket(s->rt, &s->id, &c->id))
		return false;
	qt_reset_fd(&c->listen_fd, qt_take_fd(&s->listen_fd));
	return true;
}

static bool give_process(struct rt_ctr *s, struct rt_ctr *c)
{
	struct qt_err ignored = {0};

	/* Its ids were mapped to the range. */
	if (!(c->made & RT_MADE_RANGE) || c->range != s->range || rt_cgroup_rename(s->rt->cgroups, &s->id, &c->id, &ignored) < 0)
		return false;
	c->spare = qt_take(&s->spare);
	c->limited = s->memory_mb == c->memory_mb && s->cpu_centi == c->cpu_centi && s->strict == c->strict;
	return true;
}

void rt_spares_give(struct rt_ctr *s, struct rt_ctr *c)
{
	static const struct {
		unsigned bits;
		bool (*fn)(struct rt_ctr *s, struct rt_ctr *c);
	} parts[] = {
		{RT_MADE_TREE, give_tree},
		{RT_MADE_FILES, give_files},
		{RT_MADE_SOCKET, give_socket},
		{RT_MADE_CGROUP | RT_MADE_PROCESS, give_process},
	};

	s->rt->spares.memory_mb = c->memory_mb;
	s->rt->spares.cpu_centi = c->cpu_centi;
	for (size_t i = 0; i < QT_LEN(parts); i++)
		if ((s->made & parts[i].bits) == parts[i].bits && parts[i].fn(s, c)) {
			s->made &= ~parts[i].bits;
			c->made |= parts[i].bits;
		}
	if (s->made)
		rt_abandon(s);
	else
		rt_ctr_free(s);
}
