/* loop.h - one epoll, timers in a heap, work put off to the end of a turn. Nothing in a callback may block. */
#ifndef RT_LOOP_H
#define RT_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct rt_loop;

/* Names a watched descriptor: slot and generation. 0 is none. An event that was already fetched when its watch was taken away
 * is dropped, even if the slot is in use again. */
typedef uint64_t rt_watch_t;

typedef void (*rt_io_fn)(void *arg, uint32_t events);
typedef void (*rt_call_fn)(void *arg);

int rt_loop_open(struct rt_loop **ret, struct qt_err *e);
void rt_loop_close(struct rt_loop *l);

/* Watch FD, which is borrowed and must be taken away with rt_loop_del() before it is closed. EVENTS as for epoll, level triggered. */
int rt_loop_add(struct rt_loop *l, int fd, uint32_t events, rt_io_fn fn, void *arg, rt_watch_t *ret, struct qt_err *e);
void rt_loop_mod(struct rt_loop *l, rt_watch_t w, uint32_t events);
void rt_loop_del(struct rt_loop *l, rt_watch_t *w); /* *W may be 0; it is 0 afterwards */

/* The ARG of a watch, or NULL if it was taken away: a handle is a safe way to name its owner. */
void *rt_loop_arg(struct rt_loop *l, rt_watch_t w);

/* A timer lives in the struct of whoever waits; zeroed means not set. FN runs once, AT (qt_mono_ms) or later. */
struct rt_timer {
	int64_t at;
	rt_call_fn fn;
	void *arg;
	size_t place; /* in the heap, counted from 1; 0: not set */
};
int rt_timer_set(struct rt_loop *l, struct rt_timer *t, int64_t in_ms, rt_call_fn fn, void *arg, struct qt_err *e);
void rt_timer_clear(struct rt_loop *l, struct rt_timer *t);

/* FN(ARG) at the end of this turn, when no callback is on the stack: the place for releasing what a callback may still use.
 * Never fails: the entry lies in the caller's struct until it ran. */
struct rt_later {
	struct rt_later *next;
	rt_call_fn fn;
	void *arg;
	bool queued;
};
void rt_loop_later(struct rt_loop *l, struct rt_later *entry, rt_call_fn fn, void *arg);

/* Until rt_loop_stop(). */
int rt_loop_run(struct rt_loop *l, struct qt_err *e);
void rt_loop_stop(struct rt_loop *l);

#endif
