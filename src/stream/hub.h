/* hub.h - the one reader of Redis' news, for all clients of all tenants. */
#ifndef QT_STREAM_HUB_H
#define QT_STREAM_HUB_H

#include "blob.h"
#include "stream.h"

/* An event as it goes out: the frame, and what filters go by. Counted. */
struct sq_news {
	unsigned refs;
	struct qt_event_id id; /* 0-0: of a sample, which has none */
	uint32_t kind;	       /* a bit; 0: not in our table */
	char operation[QT_ID_MAX + 1], container[QT_ID_MAX + 1], snapshot[QT_ID_MAX + 1]; /* "": not about one */
	struct sq_blob *frame;
};
struct sq_news *sq_news_new(const struct qt_heard *ev); /* any thread; NULL without memory */
void sq_news_unref(struct sq_news *n);			/* the loop, or who made it and told nobody */

/* How things are with a tenant (sample.c): of each kind the newest, and its number. */
enum { SQ_SAMPLE_STATS, SQ_SAMPLE_METRICS, SQ_SAMPLES };
struct sq_samples {
	struct sq_news *news[SQ_SAMPLES]; /* NULL: nothing to tell */
	unsigned number[SQ_SAMPLES];
	unsigned next; /* container whose turn it is */
	bool busy;
};

/* Who listens to a tenant. Lives in its owner. */
struct sq_listener {
	struct sq_tenant *tenant;
	struct sq_listener *next, **self;
	void (*hear)(struct sq_listener *l, const struct sq_news *n);
	/* What happened just now may have been missed: look into the stream. */
	void (*look)(struct sq_listener *l);
	void (*beat)(struct sq_listener *l, struct sq_blob *frame); /* each heartbeat_s seconds */
	unsigned turn;
	bool wants_samples;
	unsigned sampled[SQ_SAMPLES]; /* numbers of those that it had */
};

int sq_hub_open(struct sq *sq, struct qt_err *e);
int sq_hub_join(struct sq *sq, const struct qt_id *tenant, struct sq_listener *l, struct qt_err *e);
void sq_hub_leave(struct sq *sq, struct sq_listener *l);
/* The newest sample of that kind that L did not have yet; NULL: none. It has it now. */
const struct sq_news *sq_hub_sample(struct sq_listener *l, unsigned kind);
/* Those of TENANT; NULL: nobody listens any more. */
struct sq_samples *sq_hub_samples(struct sq *sq, const struct qt_id *tenant);

/* sample.c: look at TENANT, whose samples are S, and tell it S when it is known. */
void sq_sample(struct sq *sq, const struct qt_id *tenant, struct sq_samples *s);
void sq_samples_done(struct sq_samples *s);

#endif
