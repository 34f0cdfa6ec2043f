/* What peers are sent: answers, refusals, events. Queues are bounded. */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "peer_in.h"

#define QUEUE_MAX \
	1024 /* messages that a peer has not read: a watcher that is so far behind starts over */

void rt_peer_drop(struct rt_peer *p)
{
	while (p->queue) {
		struct rt_out *o = p->queue;

		p->queue = o->next;
		while (o->n_fds > 0)
			qt_close(o->fds[--o->n_fds]);
		free(o);
	}
	p->queue_end = &p->queue;
	p->queued = 0;
}

void rt_peer_listen(struct rt_peer *p)
{
	uint32_t ev = 0;

	/* Who does not read what was answered is not read from either. */
	if (!p->busy && !p->queue)
		ev |= EPOLLIN;
	if (p->queue)
		ev |= EPOLLOUT;
	rt_loop_mod(p->all->rt->loop, p->watch, ev);
}

/* FDS are taken over. */
static void queue_out(struct rt_peer *p, const void *data, size_t len, const int *fds, size_t n_fds)
{
	struct rt_out *o = p->queued < QUEUE_MAX ? malloc(sizeof(*o) + len) : NULL;

	if (!o) {
		qt_log(QT_LOG_WARN, "a peer (%s, pid %d) does not read and is closed",
		       rt_peer_role(p), (int)p->pid);
		for (size_t i = 0; i < n_fds; i++)
			qt_close(fds[i]);
		rt_peer_close(p);
		return;
	}
	*o = (struct rt_out){.len = len, .n_fds = n_fds};
	memcpy(o->data, data, len);
	for (size_t i = 0; i < n_fds; i++)
		o->fds[i] = fds[i];
	*p->queue_end = o;
	p->queue_end = &o->next;
	p->queued++;
}

/* FDS are taken over. */
static void send_out(struct rt_peer *p, const void *data, size_t len, const int *fds, size_t n_fds)
{
	struct qt_err e = {0};

	if (!p->queue && qt_send_fds(p->fd, data, len, fds, n_fds, &e) == 0) {
		for (size_t i = 0; i < n_fds; i++)
			qt_close(fds[i]);
		return;
	}
	if (p->queue || e.sys == EAGAIN) {
		queue_out(p, data, len, fds, n_fds);
		return;
	}
	for (size_t i = 0; i < n_fds; i++)
		qt_close(fds[i]);
	rt_peer_close(p); /* it went away */
}

void rt_peer_flush(struct rt_peer *p)
{
	while (p->queue) {
		struct rt_out *o = p->queue;
		struct qt_err e = {0};

		if (qt_send_fds(p->fd, o->data, o->len, o->fds, o->n_fds, &e) < 0) {
			if (e.sys != EAGAIN)
				rt_peer_close(p);
			return;
		}
		p->queue = o->next;
		p->queued--;
		while (o->n_fds > 0)
			qt_close(o->fds[--o->n_fds]);
		free(o);
	}
	p->queue_end = &p->queue;
}

void rt_peer_reply_error(struct rt_peer *p, const struct qt_err *why)
{
	struct rt_head h = {.magic = RT_MAGIC, .op = (uint16_t)p->op, .serial = p->serial};
	int len = rt_encode_error(p->all->out, sizeof(p->all->out), &h, why);

	rt_peer_forget(p);
	if (qt_err_row(why->code)->status >= 500 && why->code != QT_E_NOT_IMPLEMENTED)
		qt_log_err(QT_LOG_WARN, why, "%s failed", rt_shapes[p->op].name);
	if (len < 0) /* cannot be: an error's texts are shorter than their bounds */
		rt_peer_close(p);
	else
		send_out(p, p->all->out, (size_t)len, NULL, 0);
}

void rt_peer_reply(struct rt_peer *p, const void *rep, const int *fds, size_t n_fds)
{
	const struct rt_op_shape *shape = &rt_shapes[p->op];
	struct rt_head h = {.magic = RT_MAGIC, .op = (uint16_t)p->op, .serial = p->serial};
	struct qt_err e = {0};
	int len =
		rt_encode(p->all->out, sizeof(p->all->out), &h, shape->rep, shape->n_rep, rep, &e);

	if (len < 0) {
		struct qt_err bug = {0};

		for (size_t i = 0; i < n_fds; i++)
			qt_close(fds[i]);
		(void)qt_fail(&bug, QT_E_INTERNAL_ERROR, "the answer to %s does not fit: %s",
			      shape->name, e.msg);
		rt_peer_reply_error(p, &bug);
		return;
	}
	rt_peer_forget(p);
	send_out(p, p->all->out, (size_t)len, fds, n_fds);
}

/* --- answers and events -------------------------------------------------------------------------------- */

struct rt_peer *rt_peer_waiting(const struct rt *rt, const struct rt_call *call)
{
	struct rt_peer *p = rt_loop_arg(rt->loop, call->peer);

	return p && p->busy && p->serial == call->serial && p->op == call->op ? p : NULL;
}

void rt_answer_fd(struct rt *rt, const struct rt_call *call, const void *rep, int fd)
{
	struct rt_peer *p = rt_peer_waiting(rt, call);

	if (!p) {
		qt_close(fd);
		return;
	}
	rt_peer_reply(p, rep, &fd, fd >= 0 ? 1 : 0);
	if (!p->closed)
		rt_peer_listen(p);
}

void rt_answer(struct rt *rt, const struct rt_call *call, const void *rep)
{
	rt_answer_fd(rt, call, rep, -1);
}

void rt_refuse(struct rt *rt, const struct rt_call *call, const struct qt_err *why)
{
	struct rt_peer *p = rt_peer_waiting(rt, call);

	if (!p)
		return;
	rt_peer_reply_error(p, why);
	if (!p->closed)
		rt_peer_listen(p);
}

void rt_event(struct rt *rt, const struct qt_id *id, enum rt_event kind, uint32_t exit_code)
{
	struct rt_event_rep ev = {
		.id = *id, .kind = kind, .exit_code = exit_code, .at_ms = (uint64_t)qt_now_ms()};
	struct rt_head h = {.magic = RT_MAGIC, .op = RT_EVENT};
	struct qt_err e = {0};
	char buf[512];
	int len = rt_encode(buf, sizeof(buf), &h, rt_shapes[RT_EVENT].rep,
			    rt_shapes[RT_EVENT].n_rep, &ev, &e);

	if (!rt->peers || len < 0)
		return;
	for (struct rt_peer *p = rt->peers->first, *next; p; p = next) {
		next = p->next;
		if (!p->watching || p->busy)
			continue;
		send_out(p, buf, (size_t)len, NULL, 0);
		if (!p->closed)
			rt_peer_listen(p);
	}
}
