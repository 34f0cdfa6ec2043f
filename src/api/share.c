#include "share.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

/* A place for each thread, with whom it works for: who dies with it leaves nothing that had to be counted back. */
struct qt_share {
	unsigned threads_max;
	atomic_uint used;	   /* rows: those behind were never open */
	_Atomic uint64_t places[]; /* a row: its number of threads, 0 if it is not open; then of each a hash of the tenant, 0 for nobody */
};

static _Atomic uint64_t *row_of(struct qt_share *s, unsigned row)
{
	return &s->places[(size_t)row * (s->threads_max + 1)];
}

int qt_share_new(struct qt_share **ret, unsigned rows, unsigned threads_max, struct qt_err *e)
{
	size_t size = sizeof(struct qt_share) + (size_t)rows * (threads_max + 1) * sizeof(uint64_t);
	struct qt_share *s = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (s == MAP_FAILED)
		return qt_fail_sys(e, errno, "memory for the tenants' shares");
	s->threads_max = threads_max;
	*ret = s;
	return 0;
}

void qt_share_open(struct qt_share *s, unsigned row, unsigned threads)
{
	_Atomic uint64_t *r = row_of(s, row);

	for (unsigned i = 1; i <= threads; i++)
		atomic_store(&r[i], 0);
	atomic_store(&r[0], threads);
	if (row >= atomic_load(&s->used))
		atomic_store(&s->used, row + 1);
}

void qt_share_shut(struct qt_share *s, unsigned row)
{
	atomic_store(row_of(s, row), 0);
}

/* FNV-1a. Tenants' ids are ours, and random. */
static uint64_t hash(const char *text)
{
	uint64_t h = 14695981039346656037ULL;

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 1099511628211ULL;
	return h ? h : 1;
}

/* What is told of the others may be old by a moment: two that come at the same time may both be refused, but never are too many let in. */
bool qt_share_take(struct qt_share *s, unsigned row, unsigned thread, const char *tenant, unsigned percent)
{
	uint64_t who = hash(tenant), mine = 0, held = 0, all = 0;

	if (!s)
		return true;
	atomic_store(&row_of(s, row)[thread + 1], who);
	for (unsigned i = 0; i < atomic_load(&s->used); i++) {
		_Atomic uint64_t *r = row_of(s, i);
		uint64_t threads = atomic_load(r);

		all += threads;
		for (uint64_t k = 1; k <= threads; k++) {
			uint64_t is = atomic_load_explicit(&r[k], memory_order_relaxed);

			held += is != 0;
			mine += is == who;
		}
	}
	/* Whoever has nothing else is never in the way. */
	if (mine <= 1 || mine * (100 - percent) <= percent * (all - held))
		return true;
	qt_share_give(s, row, thread);
	return false;
}

void qt_share_give(struct qt_share *s, unsigned row, unsigned thread)
{
	if (s)
		atomic_store(&row_of(s, row)[thread + 1], 0);
}
