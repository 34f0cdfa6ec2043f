#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "cleanup.h"
#include "clock.h"
#include "loop.h"

#define EVENTS_A_TURN 64

struct slot {
	rt_io_fn fn; /* NULL: free */
	void *arg;
	int fd;
	uint32_t generation, next_free; /* index + 1; 0: none */
};

struct rt_loop {
	int epoll_fd;
	bool stop;
	struct slot *slots;
	uint32_t n_slots, free; /* index + 1; 0: none */
	struct rt_timer **heap; /* 1-based */
	size_t n_timers, heap_cap;
	struct rt_later *later, **later_end;
};

int rt_loop_open(struct rt_loop **ret, struct qt_err *e)
{
	struct rt_loop *l = calloc(1, sizeof(*l));

	if (!l)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	l->later_end = &l->later;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0) {
		free(l);
		return qt_fail_sys(e, errno, "epoll_create");
	}
	*ret = l;
	return 0;
}

static int grow_slots(struct rt_loop *l, struct qt_err *e)
{
	uint32_t n = l->n_slots ? l->n_slots * 2 : 64;
	struct slot *s = realloc(l->slots, n * sizeof(*s));

	if (!s)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	memset(s + l->n_slots, 0, (n - l->n_slots) * sizeof(*s));
	l->slots = s;
	for (uint32_t i = n; i > l->n_slots; i--) {
		s[i - 1].next_free = l->free;
		l->free = i;
	}
	l->n_slots = n;
	return 0;
}

static struct slot *find(struct rt_loop *l, rt_watch_t w)
{
	uint32_t i = (uint32_t)w, generation = (uint32_t)(w >> 32);

	if (i == 0 || i > l->n_slots)
		return NULL;
	return l->slots[i - 1].fn && l->slots[i - 1].generation == generation ? &l->slots[i - 1] : NULL;
}

int rt_loop_add(struct rt_loop *l, int fd, uint32_t events, rt_io_fn fn, void *arg, rt_watch_t *ret, struct qt_err *e)
{
	struct epoll_event ev = {.events = events};
	uint32_t i;
	struct slot *s;

	if (!l->free && grow_slots(l, e) < 0)
		return -1;
	i = l->free;
	s = &l->slots[i - 1];
	ev.data.u64 = (uint64_t)s->generation << 32 | i;
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return qt_fail_sys(e, errno, "watch a descriptor");
	l->free = s->next_free;
	s->fn = fn;
	s->arg = arg;
	s->fd = fd;
	*ret = ev.data.u64;
	return 0;
}

void rt_loop_mod(struct rt_loop *l, rt_watch_t w, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.u64 = w};
	struct slot *s = find(l, w);

	/* Cannot fail for a descriptor that is watched; if it does, somebody closed it under us. */
	if (s && epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, s->fd, &ev) < 0)
		abort();
}

void rt_loop_del(struct rt_loop *l, rt_watch_t *w)
{
	struct slot *s = find(l, *w);

	if (s) {
		(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
		s->fn = NULL;
		s->generation++;
		s->next_free = l->free;
		l->free = (uint32_t)*w;
	}
	*w = 0;
}

void *rt_loop_arg(struct rt_loop *l, rt_watch_t w)
{
	struct slot *s = find(l, w);

	return s ? s->arg : NULL;
}

/* --- timers: a binary heap whose entries know their place --------------------------------------------- */

static void put(struct rt_loop *l, size_t i, struct rt_timer *t)
{
	l->heap[i] = t;
	t->place = i;
}

static void sift_up(struct rt_loop *l, size_t i)
{
	struct rt_timer *t = l->heap[i];

	for (; i > 1 && l->heap[i / 2]->at > t->at; i /= 2)
		put(l, i, l->heap[i / 2]);
	put(l, i, t);
}

static void sift_down(struct rt_loop *l, size_t i)
{
	struct rt_timer *t = l->heap[i];

	for (;;) {
		size_t child = 2 * i;

		if (child < l->n_timers && l->heap[child + 1]->at < l->heap[child]->at)
			child++;
		if (child > l->n_timers || l->heap[child]->at >= t->at)
			break;
		put(l, i, l->heap[child]);
		i = child;
	}
	put(l, i, t);
}

int rt_timer_set(struct rt_loop *l, struct rt_timer *t, int64_t in_ms, rt_call_fn fn, void *arg, struct qt_err *e)
{
	rt_timer_clear(l, t);
	if (l->n_timers + 1 >= l->heap_cap) {
		size_t cap = l->heap_cap ? l->heap_cap * 2 : 64;
		struct rt_timer **h = realloc(l->heap, cap * sizeof(struct rt_timer *));

		if (!h)
			return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
		l->heap = h;
		l->heap_cap = cap;
	}
	t->at = qt_mono_ms() + in_ms;
	t->fn = fn;
	t->arg = arg;
	put(l, ++l->n_timers, t);
	sift_up(l, l->n_timers);
	return 0;
}

void rt_timer_clear(struct rt_loop *l, struct rt_timer *t)
{
	size_t i = t->place;
	struct rt_timer *last;

	if (i == 0)
		return;
	t->place = 0;
	last = l->heap[l->n_timers--];
	if (last == t)
		return;
	put(l, i, last);
	sift_up(l, i);
	sift_down(l, last->place);
}

static int until_first(const struct rt_loop *l)
{
	/* One more: a timer that is due within this millisecond must not make the loop spin. */
	int left = l->n_timers ? qt_left_ms(l->heap[1]->at) : -1;

	return left > 0 ? left + 1 : left;
}

static void run_timers(struct rt_loop *l)
{
	int64_t now = qt_mono_ms();

	while (l->n_timers > 0 && l->heap[1]->at <= now) {
		struct rt_timer *t = l->heap[1];

		rt_timer_clear(l, t);
		t->fn(t->arg);
	}
}

/* --- turns --------------------------------------------------------------------------------------------- */

void rt_loop_later(struct rt_loop *l, struct rt_later *entry, rt_call_fn fn, void *arg)
{
	if (entry->queued)
		return;
	*entry = (struct rt_later){.fn = fn, .arg = arg, .queued = true};
	*l->later_end = entry;
	l->later_end = &entry->next;
}

static void run_later(struct rt_loop *l)
{
	while (l->later) {
		struct rt_later *entry = l->later;
		rt_call_fn fn = entry->fn;
		void *arg = entry->arg;

		l->later = entry->next;
		if (!l->later)
			l->later_end = &l->later;
		entry->queued = false;
		fn(arg); /* may release the entry */
	}
}

void rt_loop_close(struct rt_loop *l)
{
	if (!l)
		return;
	run_later(l);
	qt_close(l->epoll_fd);
	free(l->slots);
	free(l->heap);
	free(l);
}

int rt_loop_run(struct rt_loop *l, struct qt_err *e)
{
	struct epoll_event ev[EVENTS_A_TURN];

	while (!l->stop) {
		int n = epoll_wait(l->epoll_fd, ev, EVENTS_A_TURN, until_first(l));

		if (n < 0 && errno != EINTR)
			return qt_fail_sys(e, errno, "epoll_wait");
		for (int i = 0; i < n; i++) {
			struct slot *s = find(l, ev[i].data.u64);

			if (s)
				s->fn(s->arg, ev[i].events);
		}
		run_timers(l);
		run_later(l);
	}
	return 0;
}

void rt_loop_stop(struct rt_loop *l)
{
	l->stop = true;
}
