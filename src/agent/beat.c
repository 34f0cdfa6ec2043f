/* Every two seconds: the node's heartbeat, the leases of what is being executed, samples of what runs when a period has passed, and the copy of tenants and keys, from which they come back
 * when Redis has lost them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent.h"
#include "cleanup.h"
#include "client.h"
#include "clock.h"
#include "fdio.h"
#include "life.h"
#include "log.h"
#include "str.h"

#define BEAT_MS	       2000
#define RENEW_MS       (AGENT_LEASE_MS / 3)
#define INFO_BUDGET_MS 1000
#define COPY_NAME      "keys.json"
#define COPY_MAX       (64U << 20)

struct copy {
	char *text; /* of the file, "" if there is none */
};

static void read_copy(struct agent *a, struct copy *c)
{
	struct qt_err e = {0};
	struct stat st;
	size_t size;

	c->text = NULL;
	if (fstatat(a->dir_fd, COPY_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size < COPY_MAX) {
		size = (size_t)st.st_size + 1;
		c->text = malloc(size);
		if (c->text && qt_read_file(a->dir_fd, COPY_NAME, c->text, size, &e) >= 0)
			return;
		qt_log_err(QT_LOG_ERROR, &e, "the copy of the keys cannot be read");
	} else if (errno != ENOENT) {
		(void)qt_fail_sys(&e, errno, "look at " COPY_NAME);
		qt_log_err(QT_LOG_ERROR, &e, "the copy of the keys cannot be read");
	}
	free(c->text);
	c->text = strdup("");
}

static char *export_text(struct qt_store *s, struct qt_err *e)
{
	json_t *j = qt_store_export(s, e);
	char *text = j ? json_dumps(j, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;

	json_decref(j);
	if (j && !text)
		(void)qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	return text;
}

static int put_back(struct qt_store *s, const struct copy *c, struct qt_err *e)
{
	json_t *j = json_loads(c->text, JSON_REJECT_DUPLICATES, NULL);
	int r;

	if (!j)
		return 0; /* there is none yet */
	r = qt_store_import(s, j, e);
	json_decref(j);
	return r;
}

/* Redis says something else than the copy: it has new keys, or it has lost some. What it lost is put back first, so that nothing is
 * taken out of the copy. */
static int follow(struct agent *a, struct qt_store *s, struct copy *c, struct qt_err *e)
{
	auto_free char *now = export_text(s, e), *whole = NULL;

	if (!now)
		return -1;
	if (qt_streq(now, c->text))
		return 0;
	if (put_back(s, c, e) < 0)
		return -1;
	whole = export_text(s, e);
	if (!whole)
		return -1;
	if (!qt_streq(whole, now)) {
		qt_log(QT_LOG_WARN, "the store had lost tenants or keys: they are put back from the copy");
		agent_all_due(a); /* containers are gone from it as well */
	}
	if (!qt_streq(whole, c->text) && qt_replace_file(a->dir_fd, COPY_NAME, whole, strlen(whole), 0600, true, e) < 0)
		return -1;
	free(c->text);
	c->text = qt_take(&whole);
	return 0;
}

static json_t *facts(struct qt_life *l)
{
	struct rt_info_req req = {0};
	struct qt_err e = {0};
	struct rt_info_rep i;

	if (rt_info(&l->rt, &req, &i, INFO_BUDGET_MS, &e) < 0)
		return json_pack("{s:s, s:s}", "version", PACKAGE_VERSION, "runtime", "away");
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:I}", "version", PACKAGE_VERSION, "runtime", "well",
			 "containers", (json_int_t)i.containers, "running", (json_int_t)i.running, "cpus", (json_int_t)i.cpus,
			 "memory_bytes", (json_int_t)i.memory_bytes, "pool_bytes", (json_int_t)i.pool_bytes, "pool_free_bytes",
			 (json_int_t)i.pool_free_bytes, "cgroup_version", (json_int_t)i.cgroup_version, "storage_driver",
			 i.storage_driver.s, "max_containers", (json_int_t)l->conf->max_containers);
}

static int beat(struct agent *a, struct qt_life *l, struct qt_err *e)
{
	json_t *f = facts(l);
	int r = qt_store_node_beat(l->store, a->conf.node, f, e);

	json_decref(f);
	return r;
}

/* What is known of them stays while the runtime is away. */
static int gpus(struct qt_life *l, struct qt_err *e)
{
	if (qt_life_tell_gpus(l, e) == 0)
		return 0;
	if (e->code != QT_E_RUNTIME_UNAVAILABLE && e->code != QT_E_TIMEOUT)
		return -1;
	qt_err_reset(e);
	return 0;
}

/* Their names only: what executes them frees the rest meanwhile. */
static unsigned leases(struct agent *a, struct qt_op_entry *v)
{
	unsigned n = 0;

	(void)pthread_mutex_lock(&a->lock);
	for (unsigned i = 0; i < AGENT_SLOTS; i++)
		if (a->slots[i].busy)
			v[n++] = a->slots[i].lease;
	for (unsigned i = 0; i < a->n_queue; i++)
		v[n++] = a->queue[i];
	(void)pthread_mutex_unlock(&a->lock);
	return n;
}

bool agent_renewed(struct agent *a, int ms)
{
	bool is;

	(void)pthread_mutex_lock(&a->lock);
	is = qt_mono_ms() - a->renewed_at < ms;
	(void)pthread_mutex_unlock(&a->lock);
	return is;
}

int agent_renew(struct agent *a, struct qt_store *s, struct qt_err *e)
{
	auto_free struct qt_op_entry *v = calloc(AGENT_SLOTS + AGENT_QUEUE, sizeof(*v));
	int64_t begun = qt_mono_ms();
	unsigned n = v ? leases(a, v) : 0;

	if (!v)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	for (unsigned i = 0; i < n; i++) {
		if (qt_store_op_renew(s, &v[i], AGENT_LEASE_MS, e) == 0)
			continue;
		if (e->code != QT_E_CONFLICT)
			return -1;
		qt_err_reset(e); /* it ended meanwhile */
	}
	(void)pthread_mutex_lock(&a->lock);
	a->renewed_at = begun;
	(void)pthread_mutex_unlock(&a->lock);
	return 0;
}

/* Usage of what runs, once a period: Redis's record of each container says whether that was, so trying again and again is well. */
static int sample(struct agent *a, struct qt_store *s, int64_t *last, struct qt_err *e)
{
	int64_t period = qt_now_ms() / 1000 / (int64_t)a->conf.usage_sample_s;

	if (period == *last)
		return 0;
	if (qt_store_usage_sample(s, a->conf.node, (unsigned)a->conf.usage_sample_s, e) < 0)
		return -1;
	*last = period;
	return 0;
}

void *agent_beat_main(void *arg)
{
	struct agent *a = arg;
	struct agent_trouble away = {.what = "the store does not take the heartbeat"};
	int64_t next_beat = 0, sampled = -1;
	struct qt_err e = {0};
	struct qt_life l;
	struct copy copy;

	read_copy(a, &copy);
	while (qt_life_init(&l, &a->conf, &e) < 0 && !atomic_load(&a->stopping)) {
		agent_trouble(&away, &e);
		qt_err_reset(&e);
		agent_pause(a, BEAT_MS);
	}
	while (copy.text && !atomic_load(&a->stopping)) {
		qt_err_reset(&e);
		if (!agent_renewed(a, RENEW_MS))
			(void)agent_renew(a, l.store, &e); /* the heartbeat tells why not */
		if (qt_left_ms(next_beat) == 0) {
			qt_err_reset(&e);
			/* First of all the one that a store takes which is full. */
			if (beat(a, &l, &e) < 0 || follow(a, l.store, &copy, &e) < 0 || gpus(&l, &e) < 0 || sample(a, l.store, &sampled, &e) < 0)
				agent_trouble(&away, &e);
			else
				agent_well(&away);
			next_beat = qt_mono_ms() + BEAT_MS;
		}
		agent_pause(a, 500);
	}
	free(copy.text);
	qt_life_done(&l);
	return NULL;
}
