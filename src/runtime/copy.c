#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "copy.h"
#include "failpoint.h"
#include "log.h"
#include "peer.h"
#include "store_parts.h"
#include "str.h"

#define AT_ONCE	    4
#define TENANT_ONCE 2 /* of one tenant: a copy may take minutes */
#define FREEZE_MS   2000
#define COUNT_MS    2000
#define DIRTY_BYTES (UINT64_C(1) << 20) /* less is written faster than it is prepared */

/* --- in the job ---------------------------------------------------------------------------------------- */

static uint64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Those of its trees that are copied; how many. */
static unsigned to_copy(const struct rt_copy *c, struct rt_store_tree *trees)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->n_trees; i++)
		if (c->trees[i].to_dir_fd >= 0)
			trees[n++] = (struct rt_store_tree){c->trees[i].from_fd, c->trees[i].to_dir_fd, c->trees[i].to, c->trees[i].number};
	return n;
}

static int flush(struct rt_copy *c, struct qt_err *e)
{
	struct rt_store_tree trees[RT_COPY_TREES_MAX];
	uint64_t began = now_us();

	c->rt->store.driver->flush(trees, to_copy(c, trees), &(struct rt_store_taking){c->rt->store.new_fd, c->id.s});
	c->result->flush_us = now_us() - began;
	return rt_failpoint(RT_FP_copy_flushed, e);
}

/* STILL: nobody changes them now. 1: without that they cannot be copied as they are at one moment. */
static int copy_all(struct rt_copy *c, bool still, struct qt_err *e)
{
	const struct rt_store *store = &c->rt->store;
	struct rt_store_tree trees[RT_COPY_TREES_MAX];
	unsigned n = to_copy(c, trees);
	int r = n > 0 ? store->driver->copy(trees, n, &(struct rt_store_taking){store->new_fd, c->id.s}, still, e) : 0;

	return r == 0 ? rt_failpoint(RT_FP_copy_copied, e) : r;
}

/* A frozen process holds no lock of a file system. What it had written and nobody had brought to disk is part of the copy: the drivers
 * see to it, so that there is nothing left to sync. */
static int copy_frozen(struct rt_copy *c, struct qt_err *e)
{
	struct rt_cgroups *g = c->rt->cgroups;
	uint64_t began = now_us();
	struct qt_err worse = {0};
	int r;

	if (rt_cgroup_freeze(g, &c->source, true, FREEZE_MS, e) < 0)
		return -1;
	r = rt_failpoint(RT_FP_copy_frozen, e);
	if (r == 0)
		r = copy_all(c, true, e);
	if (rt_cgroup_freeze(g, &c->source, false, FREEZE_MS, &worse) < 0)
		qt_log_err(QT_LOG_WARN, &worse, "container %s: not thawed by who froze it", c->source.s);
	c->result->paused_us = now_us() - began;
	return r;
}

static int copy_how_it_must_be(struct rt_copy *c, struct qt_err *e)
{
	int r;

	if (c->freeze)
		return copy_frozen(c, e);
	r = copy_all(c, false, e);
	if (r == 1)
		r = c->may_freeze ? copy_frozen(c, e) : copy_all(c, true, e);
	return r;
}

static int limit_and_count(struct rt_copy *c, struct qt_err *e)
{
	int64_t until = qt_mono_ms() + COUNT_MS;

	for (unsigned i = 0; i < c->n_trees; i++) {
		bool copied = c->trees[i].to_dir_fd >= 0;
		auto_close int fd = copied ? openat(c->trees[i].to_dir_fd, c->trees[i].to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) :
					     fcntl(c->trees[i].from_fd, F_DUPFD_CLOEXEC, 3);
		auto_close int root = -1;

		if (fd < 0)
			return qt_fail_sys(e, errno, "open a copy");
		if (copied && rt_store_limit(&c->rt->store, c->trees[i].to_dir_fd, c->trees[i].to, &c->trees[i].limit, e) < 0)
			return -1;
		if (!c->count)
			continue;
		root = openat(fd, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (root < 0)
			root = openat(fd, "data", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (root < 0)
			return qt_fail_sys(e, errno, "count a tree");
		rt_count_tree(root, until, &c->result->bytes, &c->result->files);
	}
	return 0;
}

static int work(void *arg)
{
	struct rt_copy *c = arg;
	struct qt_err e = {0};
	int r = 0;

	(void)umask(0);
	(void)alarm(RT_COPY_MAX_MS / 1000);
	if (c->flush)
		r = flush(c, &e);
	if (r == 0)
		r = copy_how_it_must_be(c, &e);
	if (r == 0)
		r = limit_and_count(c, &e);
	c->result->err = e;
	return r < 0 ? 1 : 0;
}

/* --- in the runtime ------------------------------------------------------------------------------------ */

struct rt_copy *rt_copy_new(struct rt *rt, const struct qt_id *tenant, const struct qt_id *id, const struct qt_id *source, struct qt_err *e)
{
	struct rt_copy *c = calloc(1, sizeof(*c));
	void *shared = c ? mmap(NULL, sizeof(struct rt_copy_result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;

	if (shared == MAP_FAILED) {
		free(c);
		return (void)qt_fail(e, QT_E_UNAVAILABLE, "out of memory"), NULL;
	}
	c->rt = rt;
	c->result = shared;
	c->id = *id;
	c->tenant = *tenant;
	if (source)
		c->source = *source;
	return c;
}

void rt_copy_free(struct rt_copy *c)
{
	if (!c)
		return;
	if (c->release)
		c->release(c->arg);
	while (c->n_trees > 0) {
		qt_close(c->trees[--c->n_trees].from_fd);
		qt_close(c->trees[c->n_trees].from_dir_fd);
		qt_close(c->trees[c->n_trees].to_dir_fd);
	}
	(void)munmap(c->result, sizeof(struct rt_copy_result));
	free(c);
}

int rt_copy_add(struct rt_copy *c, int from_dir_fd, const char *from, int to_dir_fd, const char *to, struct rt_limit limit, struct qt_err *e)
{
	auto_close int from_fd = openat(from_dir_fd, from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_close int from_dir = fcntl(from_dir_fd, F_DUPFD_CLOEXEC, 3), dir_fd = -1;

	if (from_fd < 0 || from_dir < 0)
		return qt_fail_sys(e, errno, "open what is to be copied");
	if (to_dir_fd >= 0)
		dir_fd = fcntl(to_dir_fd, F_DUPFD_CLOEXEC, 3);
	if (to_dir_fd >= 0 && dir_fd < 0)
		return qt_fail_sys(e, errno, "prepare a copy");
	if (c->n_trees == RT_COPY_TREES_MAX || !qt_copy(c->trees[c->n_trees].to, sizeof(c->trees[0].to), to) ||
	    !qt_copy(c->trees[c->n_trees].from, sizeof(c->trees[0].from), from))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "too many trees");
	/* Here, since jobs know nothing of each other. */
	if (to_dir_fd >= 0 && rt_store_number(&c->rt->store, &limit, &c->trees[c->n_trees].number, e) < 0)
		return -1;
	c->trees[c->n_trees].from_dir_fd = qt_take_fd(&from_dir);
	c->trees[c->n_trees].from_fd = qt_take_fd(&from_fd);
	c->trees[c->n_trees].to_dir_fd = qt_take_fd(&dir_fd);
	c->trees[c->n_trees++].limit = limit;
	return 0;
}

static void thaw(struct rt_copy *c)
{
	const struct rt_ctr *ctr = c->may_freeze ? rt_ctr_find(&c->rt->ctrs, &c->source) : NULL;
	struct qt_err e = {0};

	if (ctr && ctr->state == RT_ST_RUNNING && !ctr->gone && rt_cgroup_freeze(c->rt->cgroups, &c->source, false, FREEZE_MS, &e) < 0)
		qt_log_err(QT_LOG_ERROR, &e, "container %s: cannot be thawed", c->source.s);
}

static void start_next(struct rt *rt);

static void take_out(struct rt_copy *c)
{
	struct rt_copy **p = &c->rt->copies;

	while (*p && *p != c)
		p = &(*p)->next;
	if (*p)
		*p = c->next;
}

/* What a job that failed, or died, left unfinished. */
static void drop_begun(struct rt_copy *c)
{
	struct qt_err e = {0};
	char name[QT_ID_MAX + 8];

	for (unsigned i = 0; i < c->n_trees; i++)
		if (!rt_store_taking_name(name, sizeof(name), c->id.s, i) || rt_store_drop(&c->rt->store, c->rt->store.new_fd, name, &e) < 0)
			qt_log_err(QT_LOG_ERROR, &e, "%s: something of a copy is left", c->id.s);
}

static void finish(struct rt_copy *c, struct qt_err *e)
{
	struct rt *rt = c->rt;

	take_out(c);
	if (e->code != QT_OK)
		drop_begun(c);
	c->done(c, e);
	rt_copy_free(c);
	start_next(rt);
}

/* A tree that went into the trash meanwhile may have been emptied as it was copied. */
static bool sources_are_there(const struct rt_copy *c)
{
	/* Its trees keep their names in it, wherever it is. */
	if (c->snapshot.s[0] && !rt_obj_find(&c->rt->objs, c->snapshot.s))
		return false;
	for (unsigned i = 0; i < c->n_trees; i++) {
		struct stat is, was;

		if (fstatat(c->trees[i].from_dir_fd, c->trees[i].from, &is, AT_SYMLINK_NOFOLLOW) < 0 ||
		    fstat(c->trees[i].from_fd, &was) < 0 || is.st_ino != was.st_ino || is.st_dev != was.st_dev)
			return false;
	}
	return true;
}

static void ended(void *arg, int exit_code)
{
	struct rt_copy *c = arg;
	struct qt_err e = {0};

	thaw(c);
	if (c->ended)
		(void)qt_fail(&e, QT_E_CONFLICT, "what was being made was deleted meanwhile");
	else if (exit_code == 128 + SIGALRM)
		(void)qt_fail(&e, QT_E_TIMEOUT, "the copy was not done in time");
	else if (exit_code != 0 && c->result->err.code == QT_OK)
		(void)qt_fail(&e, QT_E_INTERNAL_ERROR, "a copy ended with code %d", exit_code);
	else if (exit_code != 0)
		e = c->result->err;
	else if (!sources_are_there(c))
		(void)qt_fail(&e, QT_E_CONFLICT, "what was being copied was deleted meanwhile");
	finish(c, &e);
}

static int start(struct rt_copy *c, struct qt_err *e)
{
	const struct rt_store *s = &c->rt->store;
	const struct rt_ctr *ctr = c->source.s[0] ? rt_ctr_find(&c->rt->ctrs, &c->source) : NULL;
	bool runs = ctr && ctr->state == RT_ST_RUNNING && !ctr->gone;
	int keep[2 * RT_COPY_TREES_MAX + 2];
	size_t n = 0;

	c->flush = runs && s->driver->flush && rt_cgroup_dirty(c->rt->cgroups, &c->source) >= DIRTY_BYTES;
	c->freeze = runs && (c->consistency == RT_APP_CONSISTENT || !s->driver->at_once);
	c->may_freeze = c->freeze || (runs && c->n_trees > 1);
	for (unsigned i = 0; i < c->n_trees; i++) {
		keep[n++] = c->trees[i].from_fd;
		if (c->trees[i].to_dir_fd >= 0)
			keep[n++] = c->trees[i].to_dir_fd;
	}
	keep[n++] = s->new_fd;
	keep[n++] = rt_cgroup_freeze_fd(c->rt->cgroups);
	return rt_job_fork(&c->job, c->rt->loop, keep, n, work, c, ended, c, e);
}

static bool only_counts(const struct rt_copy *c)
{
	return c->n_trees == 1 && c->trees[0].to_dir_fd < 0;
}

/* How many of TENANT's are under way; of all, if it is NULL. Copies can take long, and keep nobody from counting. */
static unsigned under_way(const struct rt_copy *c, const struct qt_id *tenant)
{
	unsigned n = 0;

	for (const struct rt_copy *o = c->rt->copies; o; o = o->next)
		n += o->job.pid != 0 && only_counts(o) == only_counts(c) && (!tenant || qt_streq(o->tenant.s, tenant->s));
	return n;
}

static bool may_start(const struct rt_copy *c)
{
	/* Who thaws must not thaw for another. */
	for (const struct rt_copy *o = c->rt->copies; c->source.s[0] && o; o = o->next)
		if (o->job.pid != 0 && qt_streq(o->source.s, c->source.s))
			return false;
	return under_way(c, NULL) < AT_ONCE && under_way(c, &c->tenant) < TENANT_ONCE;
}

/* Of those that may start the oldest of who has the fewest under way. */
static struct rt_copy *next_of(struct rt *rt)
{
	struct rt_copy *best = NULL;
	unsigned fewest = 0;

	for (struct rt_copy *c = rt->copies; c; c = c->next) {
		unsigned n;

		if (c->job.pid != 0 || c->ended || !may_start(c))
			continue;
		n = under_way(c, &c->tenant);
		if (!best || n < fewest) {
			best = c;
			fewest = n;
		}
	}
	return best;
}

static void start_next(struct rt *rt)
{
	struct rt_copy *c;

	while ((c = next_of(rt))) {
		struct qt_err e = {0};

		if (start(c, &e) < 0) {
			finish(c, &e); /* which looks for the next */
			return;
		}
	}
}

static void start_later(void *arg)
{
	start_next(arg);
}

void rt_copy_start(struct rt_copy *c, void (*done)(struct rt_copy *c, struct qt_err *e), void *arg)
{
	struct rt_copy **p = &c->rt->copies;

	while (*p)
		p = &(*p)->next;
	*p = c;
	c->done = done;
	c->arg = arg;
	/* Not from here: a failure must find its request waiting. */
	rt_loop_later(c->rt->loop, &c->rt->copies_later, start_later, c->rt);
}

void rt_copy_end(struct rt_copy *c)
{
	struct qt_err e = {0};

	c->ended = true;
	if (c->job.pid != 0) {
		(void)kill(c->job.pid, SIGKILL);
		return;
	}
	(void)qt_fail(&e, QT_E_CONFLICT, "what was being made was deleted meanwhile");
	finish(c, &e);
}

void rt_copies_end(struct rt *rt, const struct qt_id *snapshot)
{
	struct rt_copy *c = rt->copies;

	while (c) {
		if (c->ended || !qt_streq(c->snapshot.s, snapshot->s)) {
			c = c->next;
			continue;
		}
		rt_copy_end(c); /* which may change the list */
		c = rt->copies;
	}
}

struct rt_copy *rt_copy_of(const struct rt *rt, const struct qt_id *id)
{
	struct rt_copy *c = rt->copies;

	while (c && !qt_streq(c->id.s, id->s))
		c = c->next;
	return c;
}

struct rt_copy *rt_copy_from(const struct rt *rt, const struct qt_id *id)
{
	struct rt_copy *c = rt->copies;

	while (c && !qt_streq(c->source.s, id->s))
		c = c->next;
	return c;
}

int rt_copy_wait(struct rt_copy *c, const struct rt_call *call, struct qt_err *e)
{
	if (c->n_waiters == RT_WAITERS_MAX)
		return qt_fail(e, QT_E_UNAVAILABLE, "too many wait for this copy");
	c->waiters[c->n_waiters++] = *call;
	return 0;
}

void rt_copy_answer(struct rt_copy *c, const void *rep)
{
	for (unsigned i = 0; i < c->n_waiters; i++)
		rt_answer(c->rt, &c->waiters[i], rep);
}

void rt_copy_refuse(struct rt_copy *c, const struct qt_err *why)
{
	for (unsigned i = 0; i < c->n_waiters; i++)
		rt_refuse(c->rt, &c->waiters[i], why);
}

void rt_copies_close(struct rt *rt)
{
	while (rt->copies) {
		struct rt_copy *c = rt->copies;

		rt->copies = c->next;
		rt_job_cancel(&c->job);
		thaw(c);
		rt_copy_free(c);
	}
}
