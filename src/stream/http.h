/* http.h - a client: its request, which a thread answers by the pipeline of the workers (src/api), and the stream that may come of it. */
#ifndef QT_STREAM_HTTP_H
#define QT_STREAM_HTTP_H

#include "blob.h"
#include "dispatch.h"
#include "stream.h"

struct sq_http;

/* What a stream must do. */
struct sq_stream_ops {
	void (*drained)(void *stream); /* all that was queued has gone out */
	void (*left)(void *stream);    /* the client is gone, and H with it: release everything */
};

/* Begin the stream of a kind: SELF and OPS into H by sq_http_stream(), or -1, and then B is as it was. What the stream keeps of B, it takes out. */
typedef int (*sq_begin)(struct sq *sq, struct sq_http *h, struct qt_begun *b, struct qt_err *e);

void sq_http_stream(struct sq_http *h, const struct sq_stream_ops *ops, void *self);

/* Queue B for the client (a reference of its own); false without memory. */
bool sq_http_send(struct sq_http *h, struct sq_blob *b);
/* Bytes that wait. */
size_t sq_http_queued(const struct sq_http *h);
/* No more comes: the connection is closed when all has gone out. `left` follows. */
void sq_http_end(struct sq_http *h);
/* For the log. */
const char *sq_http_request_id(const struct sq_http *h);

/* The callback of the protocol "http". */
int sq_http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

/* Clients of all kinds that are there now. */
unsigned sq_http_count(void);

#endif
