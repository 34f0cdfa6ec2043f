/* idem.h - Idempotency-Key: whoever sends a request again gets the first one's answer, and nothing is done twice. */
#ifndef QT_IDEM_H
#define QT_IDEM_H

#include "dispatch.h"

/* Does the header count for R? It does for what changes something. */
bool qt_idem_for(const struct qt_route *r);

/* 0: go on, and call qt_idem_end() with the answer if IDEM->token is set; 1: OUT is the answer. VALIDATION_ERROR: the key is none;
 * IDEMPOTENCY_CONFLICT, IDEMPOTENCY_IN_PROGRESS. */
int qt_idem_begin(struct qt_call *c, const struct qt_in *in, struct qt_idem *idem, struct qt_out *out, struct qt_err *e);
void qt_idem_end(struct qt_call *c, const struct qt_idem *idem, const struct qt_out *out);

#endif
