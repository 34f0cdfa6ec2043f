/* ticket.h - from the request that was found in order to the WebSocket that comes of it: http.c issues a ticket for what a handler began, nginx asks again with it. */
#ifndef QT_STREAM_TICKET_H
#define QT_STREAM_TICKET_H

#include "dispatch.h"
#include "stream.h"

/* For B, which is the ticket's then: OUT has 33 bytes. Good once, for 15 s. */
int sq_ticket_issue(struct qt_begun *b, char *out, struct qt_err *e);
/* What the ticket that the request of WSI names was issued for, if that is of KIND: the caller's, to qt_begun_done(). */
bool sq_ticket_take(struct lws *wsi, enum qt_begun_kind kind, struct qt_begun *ret);
/* Drops those whose time is over; called now and then. */
void sq_tickets_sweep(int64_t now_ms);

#endif
