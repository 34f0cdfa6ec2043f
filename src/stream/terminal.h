/* terminal.h - terminals, and who is attached to them. */
#ifndef QT_STREAM_TERMINAL_H
#define QT_STREAM_TERMINAL_H

#include "http.h"

struct sq_client; /* one WebSocket */

/* Begins what is done now and then, and takes up the sessions that there are. */
void sq_terminals_open(struct sq *sq);

/* What a WebSocket is to write next: NULL if nothing. The caller's; TEXT says which kind of frame. */
struct sq_blob *sq_client_next(struct sq_client *c, bool *text);
/* After which it is to be closed with this code; 0: not yet. */
int sq_client_closing(const struct sq_client *c);
void sq_client_begin(struct sq_client *c);
/* A part of a message. False: too much of it waits already; take no more until the writable callback. */
bool sq_client_hear(struct sq_client *c, const void *data, size_t len, bool binary, bool final);
void sq_client_left(struct sq_client *c);

unsigned sq_client_count(void);

/* Tell all clients that the server restarts (1012). How many there are still. */
unsigned sq_terminals_stop(void);

/* The callback of the protocol "terminal". */
int sq_ws_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

#endif
