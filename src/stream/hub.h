/* hub.h - the one reader of Redis' news, for all clients of all tenants. */
#ifndef QT_STREAM_HUB_H
#define QT_STREAM_HUB_H

#include "blob.h"
#include "stream.h"

/* An event as it goes out: the frame, and what filters go by. Counted. */
struct sq_news {
	unsigned refs;
	struct qt_event_id id;
	char operation[QT_ID_MAX + 1], container[QT_ID_MAX + 1], snapshot[QT_ID_MAX + 1]; /* "": not about one */
	struct sq_blob *frame;
};
struct sq_news *sq_news_new(const struct qt_heard *ev); /* any thread; NULL without memory */
void sq_news_unref(struct sq_news *n);			/* the loop, or who made it and told nobody */

/* Who listens to a tenant. Lives in its owner. */
struct sq_listener {
	struct sq_tenant *tenant;
	struct sq_listener *next, **self;
	void (*hear)(struct sq_listener *l, const struct sq_news *n);
	/* What happened just now may have been missed: look into the stream. */
	void (*look)(struct sq_listener *l);
	void (*beat)(struct sq_listener *l, struct sq_blob *frame); /* now and then */
	unsigned turn;
};

int sq_hub_open(struct sq *sq, struct qt_err *e);
int sq_hub_join(struct sq *sq, const struct qt_id *tenant, struct sq_listener *l, struct qt_err *e);
void sq_hub_leave(struct sq *sq, struct sq_listener *l);

#endif
