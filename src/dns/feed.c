#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "cleanup.h"
#include "feed.h"
#include "log.h"
#include "netaddr.h"
#include "store.h"
#include "str.h"

#define IDLE_MS 250 /* between readings that nobody asked for; each costs Redis one EXISTS when nothing has changed */
#define GAP_MS	20  /* between any two */

struct dns_feed {
	const struct qt_conf *conf;
	struct qt_store *store;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	int fd;
	bool stopping, running;
	atomic_bool ready;
	/* under the lock */
	uint64_t begun, ended, wanted;
	struct dns_zone *made;
	/* the thread's */
	uint64_t version; /* that was read last; 0: none */
	bool away;
};

static void pause_until(struct dns_feed *f, int ms, bool for_wanted)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += ms * 1000000L;
	t.tv_sec += t.tv_nsec / 1000000000L;
	t.tv_nsec %= 1000000000L;
	while (!f->stopping && !(for_wanted && f->wanted > f->begun) && pthread_cond_timedwait(&f->wake, &f->lock, &t) != ETIMEDOUT)
		;
}

struct reading {
	struct dns_zone *zone;
	struct qt_err e;
};

static void add(const struct qt_name *n, void *arg)
{
	struct reading *r = arg;
	struct dns_host h = {.tenant = n->tenant};

	if (r->e.code == QT_OK && rt_net_parse(&h.ip, n->ip) && qt_copy(h.name, sizeof(h.name), n->name))
		(void)dns_zone_add(r->zone, &h, &r->e);
}

/* NULL: nothing new. */
static struct dns_zone *read_once(struct dns_feed *f)
{
	uint64_t version = f->version;
	struct reading r = {0};
	struct qt_err e = {0};
	int changed;

	if (dns_zone_new(&r.zone, &e) < 0)
		return NULL;
	changed = qt_store_names(f->store, f->conf->node, &version, add, &r, &e);
	if (changed >= 0 && r.e.code != QT_OK) {
		e = r.e;
		changed = -1;
	}
	if (changed < 0) {
		if (!f->away)
			qt_log_err(QT_LOG_WARN, &e, "the names cannot be read: those of before are answered");
		f->away = true;
	} else if (f->away) {
		qt_log(QT_LOG_INFO, "the names can be read again");
		f->away = false;
	}
	if (changed >= 0)
		atomic_store(&f->ready, true);
	if (changed <= 0) {
		dns_zone_free(r.zone);
		return NULL;
	}
	f->version = version;
	dns_zone_seal(r.zone);
	return r.zone;
}

static void *run(void *arg)
{
	struct dns_feed *f = arg;
	const uint64_t one = 1;

	(void)pthread_mutex_lock(&f->lock);
	while (!f->stopping) {
		struct dns_zone *z;

		f->begun++;
		(void)pthread_mutex_unlock(&f->lock);
		z = read_once(f);
		(void)pthread_mutex_lock(&f->lock);
		f->ended = f->begun;
		if (z) {
			dns_zone_free(f->made);
			f->made = z;
		}
		(void)!write(f->fd, &one, sizeof(one));
		pause_until(f, GAP_MS, false);
		pause_until(f, IDLE_MS, true);
	}
	(void)pthread_mutex_unlock(&f->lock);
	return NULL;
}

int dns_feed_open(struct dns_feed **ret, const struct qt_conf *conf, struct qt_err *e)
{
	struct dns_feed *f = calloc(1, sizeof(*f));
	pthread_condattr_t attr;
	int sys;

	if (!f)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	f->conf = conf;
	(void)pthread_mutex_init(&f->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&f->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	f->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	*ret = f;
	if (f->fd < 0)
		return qt_fail_sys(e, errno, "eventfd");
	if (qt_store_new(&f->store, conf, e) < 0)
		return -1;
	sys = pthread_create(&f->thread, NULL, run, f);
	if (sys != 0)
		return qt_fail_sys(e, sys, "start a thread");
	f->running = true;
	return 0;
}

void dns_feed_close(struct dns_feed *f)
{
	if (!f)
		return;
	if (f->running) {
		(void)pthread_mutex_lock(&f->lock);
		f->stopping = true;
		(void)pthread_cond_signal(&f->wake);
		(void)pthread_mutex_unlock(&f->lock);
		(void)pthread_join(f->thread, NULL);
	}
	qt_store_free(f->store);
	dns_zone_free(f->made);
	qt_close(f->fd);
	(void)pthread_cond_destroy(&f->wake);
	(void)pthread_mutex_destroy(&f->lock);
	free(f);
}

int dns_feed_fd(const struct dns_feed *f)
{
	return f->fd;
}

struct dns_zone *dns_feed_take(struct dns_feed *f, uint64_t *ended)
{
	struct dns_zone *z;
	uint64_t n;

	(void)!read(f->fd, &n, sizeof(n));
	(void)pthread_mutex_lock(&f->lock);
	z = qt_take(&f->made);
	*ended = f->ended;
	(void)pthread_mutex_unlock(&f->lock);
	return z;
}

uint64_t dns_feed_want(struct dns_feed *f)
{
	uint64_t n;

	(void)pthread_mutex_lock(&f->lock);
	n = f->begun + 1;
	f->wanted = n;
	(void)pthread_cond_signal(&f->wake);
	(void)pthread_mutex_unlock(&f->lock);
	return n;
}

bool dns_feed_ready(const struct dns_feed *f)
{
	return atomic_load(&f->ready);
}
