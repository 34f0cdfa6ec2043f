/* events.h - GET /api/events: one client's view of its tenant's stream. */
#ifndef QT_STREAM_EVENTS_H
#define QT_STREAM_EVENTS_H

#include "http.h"

int sq_events_begin(struct sq *sq, struct sq_http *h, struct qt_begun *b, struct qt_err *e);

#endif
