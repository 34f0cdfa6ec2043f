/* follow.h - GET /api/containers/{id}/logs?follow=true: one client's view of a container's log files. */
#ifndef QT_STREAM_FOLLOW_H
#define QT_STREAM_FOLLOW_H

#include "http.h"

int sq_follow_begin(struct sq *sq, struct sq_http *h, struct qt_begun *b, struct qt_err *e);

#endif
