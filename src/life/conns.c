#include "conns.h"

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "cleanup.h"
#include "clock.h"
#include "str.h"

struct qt_conns {
	pthread_mutex_t lock;
	struct entry {
		struct qt_id container;
		int fd; /* -1: a free place */
		int64_t since;
	} v[QT_CONNS_MAX];
};

int qt_conns_new(struct qt_conns **ret, struct qt_err *e)
{
	struct qt_conns *c = calloc(1, sizeof(*c));

	if (!c)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	(void)pthread_mutex_init(&c->lock, NULL);
	for (size_t i = 0; i < QT_CONNS_MAX; i++)
		c->v[i].fd = -1;
	*ret = c;
	return 0;
}

void qt_conns_free(struct qt_conns *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < QT_CONNS_MAX; i++)
		qt_close(c->v[i].fd);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

/* An init that has nothing to answer says nothing: whatever is there to be read is its end. */
static bool is_there(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 0;
}

/* Of the container; else a free place, else the oldest one. */
static struct entry *find(struct qt_conns *c, const struct qt_id *container, bool *is_its)
{
	struct entry *best = &c->v[0];

	*is_its = false;
	for (struct entry *n = c->v; n < c->v + QT_CONNS_MAX; n++) {
		if (n->fd >= 0 && qt_streq(n->container.s, container->s)) {
			*is_its = true;
			return n;
		}
		if (best->fd >= 0 && (n->fd < 0 || n->since < best->since))
			best = n;
	}
	return best;
}

int qt_conns_take(struct qt_conns *c, const struct qt_id *container)
{
	auto_close int fd = -1;
	struct entry *n;
	bool is_its;

	if (!c)
		return -1;
	(void)pthread_mutex_lock(&c->lock);
	n = find(c, container, &is_its);
	if (is_its)
		fd = qt_take_fd(&n->fd);
	(void)pthread_mutex_unlock(&c->lock);
	return fd >= 0 && is_there(fd) ? qt_take_fd(&fd) : -1;
}

void qt_conns_put(struct qt_conns *c, const struct qt_id *container, int fd)
{
	auto_close int old = fd;
	struct entry *n;
	bool is_its;

	if (!c || fd < 0)
		return;
	(void)pthread_mutex_lock(&c->lock);
	n = find(c, container, &is_its);
	old = qt_take_fd(&n->fd);
	*n = (struct entry){*container, fd, qt_mono_ms()};
	(void)pthread_mutex_unlock(&c->lock);
}

void qt_conns_sweep(struct qt_conns *c)
{
	int64_t old = qt_mono_ms() - QT_CONNS_MS;

	(void)pthread_mutex_lock(&c->lock);
	for (struct entry *n = c->v; n < c->v + QT_CONNS_MAX; n++)
		if (n->fd >= 0 && (n->since <= old || !is_there(n->fd)))
			qt_reset_fd(&n->fd, -1);
	(void)pthread_mutex_unlock(&c->lock);
}
