#include "lease.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "clock.h"
#include "str.h"

#define SLOTS 256 /* of two keys that share one, the second asks Redis each time */

struct slot {
	pthread_mutex_t lock;
	int64_t until; /* monotonic milliseconds, which are the same for all processes */
	unsigned left;
	struct qt_apikey key; /* .sha256 "": nobody's */
};

struct qt_leases {
	struct slot slots[SLOTS];
};

int qt_leases_new(struct qt_leases **ret, struct qt_err *e)
{
	struct qt_leases *l = mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t a;

	if (l == MAP_FAILED)
		return qt_fail_sys(e, errno, "memory for leases of keys");
	/* A worker may die with one of them. */
	(void)pthread_mutexattr_init(&a);
	(void)pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	(void)pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	for (size_t i = 0; i < SLOTS; i++)
		(void)pthread_mutex_init(&l->slots[i].lock, &a);
	(void)pthread_mutexattr_destroy(&a);
	*ret = l;
	return 0;
}

static struct slot *slot_of(struct qt_leases *l, const char *sha256)
{
	char first[3] = {sha256[0], sha256[1]};

	return &l->slots[strtoul(first, NULL, 16) % SLOTS];
}

static void enter(struct slot *s)
{
	if (pthread_mutex_lock(&s->lock) != EOWNERDEAD)
		return;
	/* Half written, perhaps. */
	s->left = 0;
	s->key.sha256[0] = '\0';
	(void)pthread_mutex_consistent(&s->lock);
}

static void leave(struct slot *s)
{
	(void)pthread_mutex_unlock(&s->lock);
}

/* One of the lease. Else what T is to ask for: what is left of the lease, which is over, goes back; and while the place is another's, one is taken. */
static bool use(struct slot *s, const char *sha256, struct qt_apikey *ret, struct qt_taking *t)
{
	bool is_it, holds, found;

	enter(s);
	is_it = qt_streq(s->key.sha256, sha256);
	holds = s->left > 0 && s->until > qt_mono_ms();
	found = is_it && holds;
	if (found) {
		s->left--;
		*ret = s->key;
	} else if (is_it) {
		t->back = s->left;
		s->left = 0;
	} else if (holds) {
		t->most = 1;
	}
	leave(s);
	return found;
}

static void put(struct slot *s, const char *sha256, const struct qt_apikey *key, unsigned more)
{
	enter(s);
	/* Two keys came to an empty place at once: the second one's are lost. */
	if (!qt_streq(s->key.sha256, sha256) && s->left > 0 && s->until > qt_mono_ms()) {
		leave(s);
		return;
	}
	if (!qt_streq(s->key.sha256, sha256))
		s->left = 0;
	s->key = *key;
	(void)qt_copy(s->key.sha256, sizeof(s->key.sha256), sha256);
	s->left += more;
	s->until = qt_mono_ms() + QT_LEASE_MS;
	leave(s);
}

static unsigned most_of(const struct qt_conf *conf)
{
	uint64_t least = conf->rate_per_second < conf->rate_burst ? conf->rate_per_second : conf->rate_burst, n = least / 20;

	return n < 1 ? 1 : n > QT_LEASE_MAX ? QT_LEASE_MAX : (unsigned)n;
}

int qt_leases_auth(struct qt_leases *l, struct qt_store *s, const struct qt_conf *conf, const char *key, struct qt_apikey *ret, unsigned *retry_after_s,
		   struct qt_err *e)
{
	struct qt_taking t = {.most = l ? most_of(conf) : 1};
	struct slot *slot = NULL;
	char sha256[65];

	if (qt_store_digest(sha256, key, e) < 0)
		return -1;
	if (l && t.most > 1) {
		slot = slot_of(l, sha256);
		if (use(slot, sha256, ret, &t))
			return 0;
	}
	if (qt_store_auth_sha(s, sha256, &t, ret, retry_after_s, e) < 0)
		return -1;
	if (slot && t.taken > 1)
		put(slot, sha256, ret, t.taken - 1);
	return 0;
}
